# http URLs: taken apart for the request, put together for redirects (RFC 3986), and made from the settings.

from pix.errors import PixError

_HOST = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
_PORT = 80


class Url:
    # `host` in lower case, `port`, `target` (path and query, ready for the request line), `user` ("name:password" as
    # bytes, or None).
    def __init__(self, host, port, target, user=None):
        self.host = host
        self.port = port
        self.target = target
        self.user = user

    def authority(self):
        # What belongs into the Host field.
        return self.host if self.port == _PORT else "%s:%d" % (self.host, self.port)

    def text(self):
        # The URL without user and password.
        return "http://%s%s" % (self.authority(), self.target)

    def same_origin(self, other):
        # True when credentials for this URL may go to `other` as well.
        return self.host == other.host and self.port == other.port


def parse(text):
    # The Url of an absolute http URL. Spaces and letters beyond ASCII are percent-encoded; a fragment is dropped.
    # Raises PixError "https" or "bad-url".
    scheme, rest = _scheme(text)
    if scheme == "https":
        raise PixError("https")
    if scheme != "http" or rest[:2] != "//":
        raise PixError("bad-url", "it does not begin with http://")
    authority, rest = _split(rest[2:], "/?#")
    user = None
    at = authority.rfind("@")
    if at >= 0:
        user = _decoded(authority[:at])
        authority = authority[at + 1 :]
    host, port = _host(authority)
    return Url(host, port, _target(rest), user)


def resolve(base, reference):
    # The Url that the Location `reference` means, seen from the Url `base` (RFC 3986 5.2). User and password of `base`
    # are kept only for the same host and port. Raises PixError "https" or "bad-url".
    scheme, rest = _scheme(reference)
    if scheme:
        url = parse(reference)
    elif rest[:2] == "//":
        url = parse("http:" + rest)
    else:
        path, tail = _split(rest, "?#")
        query, _ = _split(tail, "#")
        base_path, base_tail = _split(base.target, "?")
        if not path:
            target = base_path + (query if query else base_tail)
        elif path[0] == "/":
            target = _without_dots(path) + query
        else:
            target = _without_dots(base_path[: base_path.rfind("/") + 1] + path) + query
        url = Url(base.host, base.port, _encoded(target))
    if url.user is None and base.same_origin(url):
        url.user = base.user
    return url


def quote(text):
    # `text` with all percent-encoded that has a meaning in a URL, "/" excepted.
    return _encoded(text, '%?#&+;=<>"')


def public(text):
    # The URL `text` as it may be shown: without user and password.
    at = text.find("://")
    if at < 0:
        return text
    authority, rest = _split(text[at + 3 :], "/?#")
    return text[: at + 3] + authority[authority.rfind("@") + 1 :] + rest


def picture_url(settings, screen, path=""):
    # What to fetch for `screen`: the setting "picture" if that is a URL, else the picture of that name, or `path`
    # (up to "?" or "&", encoded), from the server, which is asked for exactly the size of the panel. Raises PixError
    # "settings", "https" or "bad-url".
    url = settings.picture
    if "://" not in url:
        if not settings.server or not (path or url):
            raise PixError("settings", "%s is not set" % ("picture" if settings.server else "server"))
        path = path or "pictures/%s?" % quote(url)
        size = (screen.width, screen.height, settings.fit, settings.format)
        url = "%s/%ssize=%dx%d&fit=%s&format=%s" % ((settings.server.rstrip("/"), path) + size)
    parse(url)
    return url


def _scheme(text):
    # ("http", "//host/path"), or ("", text) for a relative reference.
    head, tail = _split(text, ":/?#")
    if tail[:1] != ":" or not head or not head[0].isalpha():
        return "", text
    for c in head.lower():
        if not ("a" <= c <= "z" or "0" <= c <= "9" or c in "+-."):
            return "", text
    return head.lower(), tail[1:]


def _split(text, marks):
    # `text` before the first of the characters `marks`, and from there on.
    for i in range(len(text)):
        if text[i] in marks:
            return text[:i], text[i:]
    return text, ""


def _host(authority):
    if authority[:1] == "[":
        raise PixError("bad-url", "the Wi-Fi module cannot do IPv6")
    host, port = _split(authority, ":")
    host = host.lower()
    if not host:
        raise PixError("bad-url", "the host is missing")
    for c in host:
        if c not in _HOST:
            raise PixError("bad-url", "a host name cannot have %s" % repr(c))
    port = port[1:]
    if not port:
        return host, _PORT
    if not port.isdigit() or len(port) > 5 or not 0 < int(port) < 65536:
        raise PixError("bad-url", "the port must be 1 to 65535")
    return host, int(port)


def _target(rest):
    rest, _ = _split(rest, "#")
    if rest[:1] != "/":
        rest = "/" + rest
    return _encoded(rest)


def _encoded(text, marks=""):
    # What cannot stand in a request line and the characters `marks`; an existing %20 stays.
    out = ""
    for b in text.encode():
        if b < 0x20 or b == 0x7F:
            raise PixError("bad-url", "it holds a control character")
        out += "%%%02X" % b if b == 0x20 or b > 0x7F or chr(b) in marks else chr(b)
    return out


def _decoded(text):
    # Bytes of `text` with its percent escapes undone.
    out = b""
    i = 0
    while i < len(text):
        if text[i] == "%":
            try:
                out += bytes([int(text[i + 1 : i + 3], 16)])
            except ValueError:
                raise PixError("bad-url", "a % needs two hex digits")
            i += 3
        else:
            out += text[i].encode()
            i += 1
    return out


def _without_dots(path):
    # RFC 3986 5.2.4 for a path that begins with "/".
    out = []
    segments = path.split("/")[1:]
    for i in range(len(segments)):
        segment = segments[i]
        last = i == len(segments) - 1
        if segment == "..":
            if out:
                out.pop()
        elif segment != ".":
            out.append(segment)
            continue
        if last:
            out.append("")
    return "/" + "/".join(out)
