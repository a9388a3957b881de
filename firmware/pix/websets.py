# The page with the settings. Secrets are write-only: what is set is never sent out, an empty field leaves it as it is.

from pix import config, setfile
from pix.errors import PixError
from pix.webpage import begin, escape
from pix.webreq import WebError

_STYLE = (
    "label{display:flex;flex-wrap:wrap;gap:.2em .6em;padding:.2em 0;border-top:1px solid #eee}label>span{flex:0 0 7em}"
    "input:not([type=checkbox]),select{flex:1 1 10em}.m{background:#fd6;padding:.4em .6em}"
)
_HIDDEN = ("wifi",)  # has rows of its own


def body(pages, saved):
    # The page for `pages` (pix.webpages.Pages), in pieces; `saved`: it comes right after `save`.
    settings = pages.settings
    yield begin("Settings", _STYLE)
    yield '<h1>Settings</h1><p><a href="/">Back</a></p>'
    if saved:
        yield '<p class="m">Saved. Restart the board to have it use them.</p>'
    yield '<form method="post" action="/settings"><input type="hidden" name="csrf" value="%s">' % pages.web.gate.token
    yield "<h2>Wi-Fi</h2>"
    for index in range(len(settings.wifi)):
        name = escape(settings.wifi[index][0])
        yield '<label><span>%s</span><input type="checkbox" name="forget" value="%d"> forget</label>' % (name, index)
    yield (
        '<label><span>Add</span><input name="ssid" maxlength="32" placeholder="name" autocomplete="off"><input '
        'name="key" type="password" maxlength="64" placeholder="key" autocomplete="new-password"></label>'
        "<h2>All others</h2>"
    )
    for name in sorted(config.KEYS):
        if name not in _HIDDEN:
            yield "<label><span>%s</span>%s</label>" % (name, _field(name, getattr(settings, name)))
    yield "<p><button>Save</button></p></form></body></html>"


def _field(name, value):
    kind = config.KEYS[name][1]
    if kind == "secret":
        told = "is set; empty leaves it" if value else "not set"
        field = '<input name="%s" type="password" placeholder="%s" autocomplete="new-password">' % (name, told)
        return field + (' <input type="checkbox" name="remove" value="%s"> remove' % name if value else "")
    if isinstance(kind, str):
        # "text", or a text that pix.config looks into.
        return '<input name="%s" value="%s">' % (name, escape(value))
    if isinstance(kind[0], int):
        return '<input name="%s" type="number" min="%d" max="%d" value="%d">' % (name, kind[0], kind[1], value)
    options = ""
    for choice in kind:
        options += "<option%s>%s</option>" % (" selected" if choice == value else "", choice)
    return '<select name="%s">%s</select>' % (name, options)


def save(settings, form):
    # Write what `form` changes into the settings file, and into `settings`. Raises WebError 400 and PixError.
    changes = {}
    for name in config.KEYS:
        told = form.get(name)
        if told is None or name in _HIDDEN:
            continue
        kind = config.KEYS[name][1]
        if kind == "secret":
            if not told:
                continue
        elif kind != "text" and isinstance(kind[0], int):
            told = told.strip()
            digits = told[1:] if told[:1] == "-" else told
            if not digits or digits.strip("0123456789") or len(told) > 9:
                raise WebError(400, "%s must be a whole number." % name)
            told = int(told)
        if told != getattr(settings, name):
            changes[name] = told
    for name in form.all("remove"):
        if name in config.KEYS and config.KEYS[name][1] == "secret":
            changes[name] = ""
    forgotten = form.all("forget")
    networks = [pair for index, pair in enumerate(settings.wifi) if str(index) not in forgotten]
    ssid = form.get("ssid", "")
    if ssid:
        networks = [pair for pair in networks if pair[0] != ssid] + [[ssid, form.get("key", "")]]
    if networks != settings.wifi:
        changes["wifi"] = networks
    if not changes:
        return
    try:
        setfile.change(changes)
    except PixError as error:
        if error.code == "settings":
            raise WebError(400, error.cause)
        raise
    settings.update(changes, "form")
