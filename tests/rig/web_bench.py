"""A board's own web service on CPython: pix.web on the real driver and the virtual modem, with scripts as clients.

Everything passes in virtual time. The card is the virtual board's, with FatFs's rules.
"""

import types

from rig.device import Device
from rig.modem_bench import Bench
from virtualboard.clock import MS
from virtualboard.network.script import Script

PORT = 80
HOST = b"Host: 192.168.4.50\r\n"


def get(path, *fields, method="GET"):
    """The bytes of a request without a body."""
    return f"{method} {path} HTTP/1.1\r\n".encode() + HOST + b"".join(f.encode() + b"\r\n" for f in fields) + b"\r\n"


def post(path, body, *fields, kind="application/x-www-form-urlencoded"):
    """The bytes of a request with a body."""
    return get(path, f"Content-Type: {kind}", f"Content-Length: {len(body)}", *fields, method="POST") + body


def multipart(*parts, boundary="xYz"):
    """(body, its type) of a form; parts are (name, value) or (name, filename, bytes)."""
    body = b""
    for part in parts:
        named = f'--{boundary}\r\nContent-Disposition: form-data; name="{part[0]}"'.encode()
        if len(part) == 3:
            named += f'; filename="{part[1]}"\r\nContent-Type: image/jpeg'.encode()
        value = part[-1]
        body += named + b"\r\n\r\n" + (value.encode() if isinstance(value, str) else value) + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Client(Script):
    """A browser's link: sends `pieces` (numbers are pauses in ms, "finish" and "reset" ends), keeps what it hears."""

    def __init__(self, *pieces):
        self._pieces = list(pieces)
        self.heard = b""
        self.closed = False
        self.accepted_ns = 0
        self.first_ns = 0
        self.closed_ns = 0

    def connected(self):
        self.accepted_ns = self.clock.now
        self._go_on()

    def _go_on(self):
        while self._pieces and not self.closed:
            piece = self._pieces.pop(0)
            if isinstance(piece, int):
                self.clock.after(piece * MS, self._go_on)
                return
            if piece == "finish":
                self.finish()
            elif piece == "reset":
                self.reset()
            else:
                self.send(piece)

    def received(self, data):
        self.first_ns = self.first_ns or self.clock.now
        self.heard += data

    def finished(self):
        self.closed = True
        self.closed_ns = self.clock.now

    @property
    def status(self):
        """Of the answer, 0 without one."""
        return int(self.heard.split(b" ")[1]) if self.heard.startswith(b"HTTP/1.1 ") else 0

    @property
    def fields(self):
        """The answer's fields, lower-case."""
        lines = self.heard.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def body(self):
        """Of the answer, its chunks joined; AssertionError when it is not as long as it tells."""
        body = self.heard.partition(b"\r\n\r\n")[2]
        if self.fields.get("transfer-encoding") == "chunked":
            return _joined(body)
        length = self.fields.get("content-length")
        assert length is None or len(body) == int(length), (length, len(body))
        return body


def _joined(data):
    out = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        assert data[count : count + 2] == b"\r\n"
        if not count:
            assert data == b"\r\n"
            return out
        out += data[:count]
        data = data[count + 2 :]


class WebBench(Bench):
    """`app` is a pix.web.Web, `folder` its card; `client(...)` calls it, `until(...)` lets it work."""

    def __init__(self, folder, profile="1.1", baud=1000000, **kwargs):
        super().__init__(profile, **kwargs)
        self.network.listen_on = None
        folder.mkdir(exist_ok=True)
        self.device = Device(folder)
        self.folder = folder
        self.free = 200000
        self.collections = 0
        system = self.device.system
        self._system.update({name: system[name] for name in ("uos", "ubinascii", "uhashlib")})
        self._system["gc"] = types.SimpleNamespace(collect=self._collect, mem_free=lambda: self.free)
        self._builtins["open"] = self.device.open
        self.errors = []
        self.longest_ms = 0.0
        self.baud = baud

    def _collect(self):
        self.collections += 1

    def start(self, define=None, **options):
        """Join and serve; `define(app, bench)` adds routes."""
        self.driver = self.bring_up(baud=self.baud)
        log = types.SimpleNamespace(error=self.errors.append)
        self.app = self.load("web").Web(PORT, log=log, **options)
        if define is not None:
            define(self.app, self)
        self.app.start(self.driver)
        return self.app

    def client(self, *pieces):
        """A new client; its link is the module's once time moves on."""
        made = Client(*pieces)
        assert self.network.call(PORT, made)
        return made

    def poll(self):
        before = self.clock.now
        self.app.poll()
        self.longest_ms = max(self.longest_ms, (self.clock.now - before) / MS)

    def until(self, done, limit_ms=30000):
        """Poll once a millisecond until `done()`; AssertionError after `limit_ms`."""
        end = self.clock.now + limit_ms * MS
        while not done():
            assert self.clock.now < end, "it did not happen"
            self.poll()
            self.run(1)

    def ask(self, *pieces, limit_ms=30000):
        """What a client that says `pieces` has heard when its link is closed."""
        made = self.client(*pieces)
        self.until(lambda: made.closed, limit_ms)
        return made

    @property
    def at_rest(self):
        """No link is open, on either side."""
        open_there = [link for link in range(5) if self.modem.links[link] is not None]
        return not self.app.busy and self.driver.links == [None] * 5 and not open_there
