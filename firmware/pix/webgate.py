# Who may do what: the key of the service, and proof that a form was filled in on one of our own pages.
#
# There is no TLS, so a key keeps out the neighbours' children, not somebody who listens on the same network.

import ubinascii
import uos
import utime
from micropython import const

from pix.atline import address
from pix.webreq import WebError

_TRIES = const(5)  # wrong keys that are taken without a pause
_PAUSE_MS = const(2000)  # then one every two seconds
_AT_HOME = ("local", "localhost", "lan", "home", "internal", "localdomain", "home.arpa", "fritz.box")


class Gate:
    # `key`: "" for none, "user:password", or a token, which comes as bearer or as the password of any user. `csrf`:
    # forms must bring `token` as their field `csrf`. `any_host`: answer to any name, as a portal has to.
    def __init__(self, key="", csrf=False, any_host=False):
        self._key = key
        self.csrf = csrf
        self.any_host = any_host
        self.token = ubinascii.hexlify(uos.urandom(12)).decode()
        self._wrong = 0
        self._until = 0

    def check(self, request):
        # Judge the head of `request`. Raises WebError 400, 401, 403 or 429.
        host = _host(request.header("host"))
        if not self.any_host and not _own(host):
            # A name from elsewhere that leads here is how foreign pages get around their own limits (DNS rebinding).
            raise WebError(403, "Use the board's address, or its name ending in .local.")
        if request.method not in ("GET", "HEAD"):
            self._same_origin(request)
        if self._key:
            self._login(request)

    def check_form(self, request, pairs):
        # Judge the fields of a form, [(name, value)], where `csrf` is on. Raises WebError 403.
        if not self.csrf:
            return
        if request.query.get("csrf") == self.token or request.header("x-token") == self.token:
            return
        for name, value in pairs:
            if name == "csrf" and value == self.token:
                return
        raise WebError(403, "This form is of before the last restart: load the page again.")

    def _same_origin(self, request):
        # Browsers tell where a form comes from; other programs tell nothing.
        origin = request.header("origin") or request.header("referer")
        if not origin:
            return
        at = origin.find("://")
        told = origin[at + 3 :].split("/")[0] if at > 0 else ""
        if told.lower() != request.header("host").lower():
            raise WebError(403, "This form comes from another place.")

    def _login(self, request):
        now = utime.ticks_ms()
        scheme, _, told = request.header("authorization").partition(" ")
        if self._right(scheme.lower(), told.strip()):
            self._wrong = 0
            return
        if not told:
            raise _login_wanted()
        if self._wrong >= _TRIES and utime.ticks_diff(self._until, now) > 0:
            raise WebError(429, "Too many wrong keys.", (("Retry-After", "2"),))
        self._wrong += 1
        self._until = utime.ticks_add(now, _PAUSE_MS)
        raise _login_wanted()

    def _right(self, scheme, told):
        if self._wrong >= _TRIES and utime.ticks_diff(self._until, utime.ticks_ms()) > 0:
            return False
        if scheme == "bearer":
            return ":" not in self._key and _same(told.encode(), self._key.encode())
        if scheme != "basic":
            return False
        try:
            pair = ubinascii.a2b_base64(told)
        except ValueError:
            return False
        if ":" not in self._key:
            pair = pair[pair.find(b":") + 1 :]
        return _same(pair, self._key.encode())


def _login_wanted():
    return WebError(401, "A key is wanted.", (("WWW-Authenticate", 'Basic realm="maixpix", charset="UTF-8"'),))


def _same(one, other):
    # Compares all of it, so that the time tells nothing of where they differ.
    wrong = len(one) ^ len(other)
    for i in range(min(len(one), len(other))):
        wrong |= one[i] ^ other[i]
    return not wrong


def _host(told):
    # The name in a field Host, without its port.
    colon = told.rfind(":")
    return (told[:colon] if colon >= 0 else told).lower().strip(".")


def _own(host):
    if not host or "." not in host or address(host):
        return True
    for end in _AT_HOME:
        if host == end or host[-len(end) - 1 :] == "." + end:
            return True
    return False
