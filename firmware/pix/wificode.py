# Texts of QR codes that join a network: "WIFI:T:WPA;S:name;P:key;H:true;;", as telephones make and read them.
#
# The form is that of the ZXing project's wiki; Android and iOS follow it. Backslash escapes \ ; , : and ".

_ESCAPED = '\\;,":'


def made(name, key, hidden=False):
    # The text for the network `name`; an empty `key` is an open one.
    text = "WIFI:T:%s;S:%s;" % ("WPA" if key else "nopass", _escape(name))
    if key:
        text += "P:%s;" % _escape(key)
    return text + ("H:true;;" if hidden else ";")


def parsed(text):
    # (name, key, hidden) of such a text, None for any other text, and for kinds of networks that the modem cannot join
    # with a name and a key (WPA2 Enterprise, WEP).
    if text[:5].upper() != "WIFI:":
        return None
    fields = {}
    for field in _split(text[5:]):
        mark, colon, value = field.partition(":")
        if colon and mark.upper() not in fields:
            fields[mark.upper()] = _plain(value)
    name = fields.get("S", "")
    key = fields.get("P", "")
    kind = fields.get("T", "").upper()
    if not name or kind == "WEP" or kind[:8] == "WPA2-EAP" or kind == "EAP" or fields.get("E"):
        return None
    if kind == "NOPASS":
        key = ""
    return name, key, fields.get("H", "").lower() == "true"


def _escape(text):
    for mark in _ESCAPED:
        text = text.replace(mark, "\\" + mark)
    # What looks like a hexadecimal number is taken for one, unless it is quoted.
    if text and not len(text) % 2 and not text.strip("0123456789abcdefABCDEF"):
        return '"%s"' % text
    return text


def _split(text):
    # The fields between semicolons that are not escaped, still escaped.
    fields = []
    field = ""
    escaped = False
    for c in text:
        if c == ";" and not escaped:
            fields.append(field)
            field = ""
        else:
            field += c
        escaped = c == "\\" and not escaped
    if field:
        fields.append(field)
    return fields


def _plain(text):
    # Without escapes, and without the quotes around a value that would be taken for a hexadecimal number.
    if len(text) > 1 and text[0] == '"' and text[-1] == '"' and text[-2] != "\\":
        text = text[1:-1]
    out = ""
    escaped = False
    for c in text:
        if c == "\\" and not escaped:
            escaped = True
        else:
            out += c
            escaped = False
    return out
