# http URLs: taken apart for the request, put together for redirects (RFC 3986), and made from the settings.

from micropython import const

from pix.errors import PixError

_PORT = const(80)
_TCP_PORT = const(3456)
_DIGITS = "0123456789"


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


def parse(text, port=_PORT):
    # The Url of an absolute http URL, `port` where it names none. Spaces and letters beyond ASCII are percent-encoded;
    # a fragment is dropped. Raises PixError "https" or "bad-url".
    scheme, rest = _scheme(text)
    if scheme == "https":
        raise PixError("https", _split(public(text)[8:], "/?#")[0])
    if scheme != "http" or rest[:2] != "//":
        raise PixError("bad-url", "it does not begin with http://")
    authority, rest = _split(rest[2:], "/?#")
    user = None
    at = authority.rfind("@")
    if at >= 0:
        user = _decoded(authority[:at])
        authority = authority[at + 1 :]
    host, port = _host(authority, port)
    rest, _ = _split(rest, "#")
    return Url(host, port, quote(rest if rest[:1] == "/" else "/" + rest, ""), user)


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
        base_path, base_query = _split(base.target, "?")
        if not path:
            path = base_path
            query = query or base_query
        else:
            if path[0] != "/":
                path = base_path[: base_path.rfind("/") + 1] + path
            path = _without_dots(path)
        url = Url(base.host, base.port, quote(path + query, ""))
    if url.user is None and base.same_origin(url):
        url.user = base.user
    return url


def quote(text, marks='%?#&+;=<>"'):
    # `text` with what cannot stand in a request line and the characters `marks` percent-encoded; unless given, these
    # are all that have a meaning in a URL, "/" excepted. An existing %20 stays without marks.
    out = ""
    for b in text.encode():
        if b < 0x20 or b == 0x7F:
            raise PixError("bad-url", "it holds a control character")
        out += "%%%02X" % b if b == 0x20 or b > 0x7F or chr(b) in marks else chr(b)
    return out


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
        if "?" in settings.server or "#" in settings.server:
            raise PixError("bad-url", "a server's address has no ? or #")
        path = path or "pictures/%s?" % quote(url)
        size = (screen.width, screen.height, settings.fit, settings.format)
        url = "%s/%ssize=%dx%d&fit=%s&format=%s" % ((settings.server.rstrip("/"), path) + size)
    parse(url)
    return url


def upload_target(text):
    # What the setting "upload" means: ("http", Url of a tus server), ("tcp", Url with the host and port of a plain
    # listener) or ("tcp+name", the same with a line both ways). "host:port" is tcp://; an address without a path means
    # the companion's own, /files/; tcp:// without a port 3456. Raises PixError "https" or "bad-url".
    scheme, rest = _scheme(text)
    if "://" not in text and ":" in text and "/" not in text:
        scheme, rest = "tcp", "//" + text
    if scheme != "tcp" and scheme != "tcp+name":
        where = parse(text)
        if where.target == "/":
            where.target = "/files/"
        return "http", where
    where = parse("http:" + rest, _TCP_PORT)
    if where.target != "/":
        raise PixError("bad-url", "tcp:// has no path")
    return scheme, where


def token_for(url, settings):
    # The setting "token" if `url` (a Url) is of the receiver that it belongs to, which "upload" names, else "". That
    # is the same host and port; a door of plain TCP has no web pages, so there the host decides. Raises PixError
    # "https" or "bad-url".
    if not settings.token or not settings.upload:
        return ""
    scheme, own = upload_target(settings.upload)
    return settings.token if own.same_origin(url) or (scheme != "http" and own.host == url.host) else ""


def _scheme(text):
    # ("http", "//host/path"), or ("", text) for a relative reference.
    head, tail = _split(text, ":/?#")
    head = head.lower()
    if tail[:1] != ":" or not "a" <= head[:1] <= "z" or head.strip("abcdefghijklmnopqrstuvwxyz0123456789+-."):
        return "", text
    return head, tail[1:]


def _split(text, marks):
    # `text` before the first of the characters `marks`, and from there on.
    for i in range(len(text)):
        if text[i] in marks:
            return text[:i], text[i:]
    return text, ""


def _host(authority, default):
    if authority[:1] == "[":
        raise PixError("bad-url", "the Wi-Fi module cannot do IPv6")
    host, port = _split(authority, ":")
    host = host.lower()
    if not host:
        raise PixError("bad-url", "the host is missing")
    wrong = host.strip("abcdefghijklmnopqrstuvwxyz0123456789.-_")
    if wrong:
        raise PixError("bad-url", "a host name cannot have %s" % repr(wrong[0]))
    port = port[1:]
    if not port:
        return host, default
    if port.strip(_DIGITS) or len(port) > 5 or not 0 < int(port) < 65536:
        raise PixError("bad-url", "the port must be 1 to 65535")
    return host, int(port)


def _decoded(text):
    # Bytes of `text` with its percent escapes undone.
    parts = text.split("%")
    out = parts[0].encode()
    for part in parts[1:]:
        if len(part) < 2 or part[:2].strip("0123456789abcdefABCDEF"):
            raise PixError("bad-url", "a % needs two hex digits")
        out += bytes([int(part[:2], 16)]) + part[2:].encode()
    return out


def _without_dots(path):
    # RFC 3986 5.2.4 for a path that begins with "/".
    segments = path.split("/")[1:]
    if segments[-1] in (".", ".."):
        segments.append("")
    out = []
    for segment in segments:
        if segment == "..":
            out = out[:-1]
        elif segment != ".":
            out.append(segment)
    return "/" + "/".join(out)
