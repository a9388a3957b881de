# The pages of the set-up portal: networks to choose from, what is being tried, how that ended. They work without
# script and cookies, as the small browsers that telephones open for a portal have neither, and in a network whose
# packets are small (an MTU of 576).

from pix.config import network_fault
from pix.errors import PixError
from pix.url import parse
from pix.webpage import begin, escape, render

APPS = ("show", "frame", "snap", "send", "get", "panel")

# What systems ask to find out whether they are in the Internet, and what makes them show the page: anything but the
# text or status they hope for. A redirect is what all of them follow.
PROBES = (
    "/hotspot-detect.html",  # iOS, macOS: captive.apple.com
    "/library/test/success.html",  # older ones: www.apple.com
    "/generate_204",  # Android, ChromeOS: connectivitycheck.gstatic.com, clients3.google.com
    "/gen_204",  # the same: www.google.com
    "/connecttest.txt",  # Windows 10 and 11: www.msftconnecttest.com
    "/ncsi.txt",  # Windows before: www.msftncsi.com
    "/redirect",  # and what Windows then opens in the browser
    "/canonical.html",  # Firefox: detectportal.firefox.com
    "/success.txt",  # the same
    "/check_network_status.txt",  # NetworkManager: nmcheck.gnome.org, network-test.debian.org
)

# Apple's browser takes a page for the Internet when a certain word is in it: it is nowhere here.
_STYLE = (
    "fieldset{border:1px solid #bbb;border-radius:.5em;margin:0 0 1em;padding:.5em .8em}legend{font-weight:bold}"
    "label{display:block;padding:.45em 0}label.n{border-bottom:1px solid #e4e4e4;display:flex;gap:.6em}"
    "label.n span{flex:1;overflow:hidden;text-overflow:ellipsis}label.n .i{flex:none}meter{width:3.5em}"
    "input[type=text],input[type=password],select{width:100%}"
    "button{width:100%;padding:.7em;background:#063;color:#fff;border:0;border-radius:.4em}"
    ".bad{background:#fdd;border-left:.3em solid #b00;padding:.5em .7em}.i{color:#555;white-space:nowrap}"
)

_TOP = "<h1>{{board}}</h1><p>Choose the Wi-Fi network that this board is to use.</p>"
_BAD = '<p class="bad" role="alert"><b>{{title}}</b><br>{{why}}</p>'
_FORM = (
    '<form method="post" action="/join" autocomplete="off"><input type="hidden" name="csrf" value="{{token}}">'
    "<fieldset><legend>Network</legend>"
)
_NETWORK = (
    '<label class="n"><input type="radio" name="ssid" value="{{name}}"{{{on}}}><span>{{name}}</span>'
    '<span class="i">{{info}} <meter max="4" value="{{bars}}">{{bars}}/4</meter></span></label>'
)
_AGAIN = '<p><a href="/?scan=1">Look again</a></p>'
_KEY = (
    '<label>Another one, or a hidden one<input type="text" name="other" value="{{other}}" maxlength="32"'
    ' autocapitalize="off" spellcheck="false"></label>'
    '<label>Key (none for an open network)<input type="password" name="key" maxlength="64" autocomplete="off"></label>'
    "</fieldset><fieldset><legend>Board</legend>"
    '<label>Server with the pictures<input type="text" name="server" value="{{server}}" placeholder="192.168.1.20:8765"'
    ' autocapitalize="off" spellcheck="false"></label><label>What it does<select name="app">'
)
_END = "</select></label></fieldset><button>Join</button>%s</form></body></html>"
_WPS = '<p>Or: <button name="wps" value="1">Push the router\'s button (WPS)</button></p>'
_TRYING = (
    "<h1>Joining {{name}}</h1><p>This takes up to 20 seconds; meanwhile nothing else is answered. "
    'This page comes again by itself, or <a href="/state">look now</a>.</p></body></html>'
)
_DONE = (
    "<h1>It works</h1><p>The board is in <b>{{name}}</b> and has the address <b>{{address}}</b> there.</p>"
    "<p>The network of the board closes in a moment. Go back to your own, then the board is at "
    '<a href="http://{{address}}/">http://{{address}}/</a> if it has a page.</p></body></html>'
)


def form(portal, failure=None, chosen="", other=""):
    # The page to choose on, piece by piece. `portal` has board, token, wps, networks, server and app; `failure` is
    # (title, reason) of the attempt before.
    yield begin(portal.board, _STYLE)
    yield render(_TOP, board=portal.board)
    if failure:
        yield render(_BAD, title=failure[0], why=failure[1])
    yield render(_FORM, token=portal.token)
    for name, locked, level, _ in portal.networks:
        on = " checked" if name == chosen else ""
        yield render(_NETWORK, name=name, on=on, info="locked" if locked else "open", bars=_bars(level))
    if not portal.networks:
        yield "<p>None was heard.</p>"
    yield _AGAIN + render(_KEY, other=other, server=portal.server)
    apps = APPS if portal.app in APPS else APPS + (portal.app,)
    for app in apps:
        on = " selected" if app == portal.app else ""
        yield "<option%s>%s</option>" % (on, escape(app))
    yield _END % (_WPS if portal.wps else "")


def trying(name):
    # The page while a network is being joined; that of a router's button has no name yet.
    if not name:
        from pix import wps

        return wps.page()
    return begin("Joining", _STYLE) + render(_TRYING, name=name)


def done(name, address):
    # The page with the new address.
    return begin("It works", _STYLE) + render(_DONE, name=name, address=address)


def _bars(level):
    # Four steps of strength (dBm), as telephones draw them.
    return 1 + (level >= -80) + (level >= -70) + (level >= -60)


def fault(portal, name, key):
    # What is wrong with the network that was filled in, a sentence, or "".
    bad = network_fault(name, key) if name else "Choose a network."
    if bad:
        return bad
    for network in portal.networks:
        if network[0] == name:
            if network[1] and not key:
                return "%s wants a key." % name
            if not network[1] and key:
                return "%s is open: leave the key empty." % name
    if key and not 8 <= len(key.encode()) <= 64:
        return "A key has 8 to 63 characters."
    return ""


def unfit(portal, server, app):
    # The same of what the board is to do.
    if app not in APPS and app != portal.app:
        return "There is no app of that name."
    if server:
        try:
            parse(whole_server(server))
        except PixError as error:
            return "%s. %s." % (error.cause, error.remedy)
    return ""


def whole_server(text):
    # The setting "server" as people mean it: a host with or without a port is an address of HTTP.
    return text if not text or "://" in text else "http://" + text


def reason(error, name):
    # Why the network `name` could not be joined, as people need to know it.
    if error.code == "wrong-password":
        return "%s refused the key. Upper and lower case count." % name
    if error.code == "no-network":
        return "%s is not in the air here. This board has 2.4 GHz only: a network at 5 GHz is none for it." % name
    if error.code == "no-address":
        return "%s let the board in but gave it no address: look at DHCP in the router." % name
    return "%s. %s." % (error.cause, error.remedy)
