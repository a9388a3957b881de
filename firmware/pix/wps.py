# WPS by the push of the router's button, for the set-up portal: the module gets name and key from the router and stores
# both itself. No command tells the key, so the settings say only that the module has it (pix.config.WPS).

from micropython import const

from pix.atport import after, left
from pix.config import network_fault
from pix.errors import PixError
from pix.webpage import begin

_TITLE = "Not set up by WPS"
FAILED = (_TITLE, "The Wi-Fi module did not stay on.")  # (title, reason), as pix.portpage shows them

_PUSH_MS = const(130000)  # the module itself gives up after 120 s, the walk time of Wi-Fi Simple Configuration
_JOIN_MS = const(25000)  # from there to an address
_READ_MS = const(15000)  # for people to read the address on the panel

_PAGE = (
    "<h1>Push the router's button now</h1><p>It is called WPS there. You have two minutes; meanwhile the network of "
    "the board is closed.</p><p>When it works, the panel tells the board's new address. When nothing came of it, the "
    'network of the board comes back with the same key, and <a href="/">its page</a> says why.</p></body></html>'
)


def page():
    # What the telephone reads before the board's network closes.
    return begin("Push the button", "") + _PAGE


def push(station, screen, say):
    # Wait until somebody pushes a router's button: (name of its network, None), and the module is in it. Else ("",
    # failure as FAILED). It has no network of its own meanwhile. `say(stage, detail)` is told. Raises PixError.
    say("portal", "waiting for the push of a router's button")
    name, why = _pushed(station, screen)
    if name:
        return name, None
    say("portal", why)
    return "", (_TITLE, why)


def _pushed(station, screen):
    modem = station.modem
    if screen is not None:
        screen.blank()
        screen.stage("Push the WPS button of the router now.")
        screen.stage("Two minutes; after that the network of this board comes back.")
    # As a station, and back in its network by itself whenever the power comes: both are kept in the module's flash.
    station.stored = True
    modem.ask("+CWMODE_DEF=1")
    modem.ask("+CWAUTOCONN=1")
    if not modem.ask("+WPS=1"):
        return "", "The Wi-Fi module refuses WPS."
    modem.online = modem.associated = modem.dhcp_failed = False  # what was joined before is left
    generation = modem.generation
    said = _heard(station)
    if modem.generation != generation:
        raise PixError("modem-rebooted")
    if not modem.online:
        if modem.associated:
            return "", "The router let the board in but gave it no address: look at DHCP in the router."
        if said == b"wps success,connecting ap ...":
            return "", "The router told its key, but the network could not be joined."
        if said == b"wps fail":
            return "", "No router's button was pushed in two minutes."
        return "", "The Wi-Fi module did not tell how it ended."
    lines = []
    modem.ask("+CWJAP?", on_line=lines.append)
    return _name(lines)


def _heard(station):
    # The last that the module told of WPS, when it is joined or has given up.
    modem = station.modem
    heard = [b""]

    def hear(line):
        if line[:4] == b"wps ":
            heard[0] = line

    end = after(_PUSH_MS)
    found = False
    modem.on_line = hear
    try:
        while not modem.online and heard[0] != b"wps fail" and left(end) > 0 and modem.lost != "modem-rebooted":
            modem.poll()
            if station.idle is not None:
                station.idle()
            if not found and (modem.associated or heard[0][:11] == b"wps success"):
                found = True
                end = after(_JOIN_MS)
    finally:
        modem.on_line = None
    return heard[0]


def _name(lines):
    # (name, "") of the joined network that the answer to CWJAP? tells, or ("", what is wrong with it).
    for line in lines:
        if line[:8] == b'+CWJAP:"':
            try:
                name = line[8 : line.rfind(b'","')].decode()
            except UnicodeError:
                break  # no settings file can hold it
            return ("", "Its name cannot be used.") if network_fault(name, "") else (name, "")
    return "", "The name of the network cannot be read."


def hold(station):
    # Leave the panel as it is for a while.
    end = after(_READ_MS)
    while left(end) > 0:
        station.modem.poll()
        if station.idle is not None:
            station.idle()
