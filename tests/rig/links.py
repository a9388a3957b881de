"""Links for pix.http and pix.fetch without a modem: bytes from memory, or a socket of this machine."""

import errno
import socket


class Bytes:
    """A link that gives out `pieces`, each at most one `readinto`, then ends, or raises `error`."""

    def __init__(self, pieces, error=None):
        self._pieces = [bytes(piece) for piece in pieces if piece]
        self._error = error
        self.sent = b""
        self.direct = []
        self.closed = False

    def write(self, data):
        self.sent += bytes(data)
        return len(data)

    def readinto(self, buffer):
        if not self._pieces:
            if self._error is not None:
                raise self._error
            return 0
        piece = self._pieces[0][: len(buffer)]
        self._pieces[0] = self._pieces[0][len(piece) :]
        if not self._pieces[0]:
            del self._pieces[0]
        buffer[: len(piece)] = piece
        self.direct.append(len(buffer))
        return len(piece)

    def close(self):
        self.closed = True


class Sockets:
    """A connector over real sockets. Faults, each used up by one connection:

    `cuts`: after so many bytes the link breaks off with "link-lost".
    `damages`: (proven, seen): the link vouches for `proven` bytes, delivers others changed up to `seen` (or the end),
    and then raises "bytes-lost".
    """

    def __init__(self, device, limit=None):
        self.device = device
        self.limit = limit
        self.cuts = []
        self.damages = []
        self.links = []
        self.calls = []

    def connect(self, host, port, timeout_ms):
        error = self.device.PixError
        self.calls.append((host, port))
        try:
            sock = socket.create_connection((host, port), timeout_ms / 1000)
        except socket.gaierror as e:
            raise error("dns-failed", host) from e
        except TimeoutError as e:
            raise error("connect-timeout", host) from e
        except ConnectionRefusedError as e:
            raise error("refused", host) from e
        link = _SocketLink(self, sock)
        self.links.append(link)
        return link


class _SocketLink:
    def __init__(self, connector, sock):
        self._error = connector.device.PixError
        self._limit = connector.limit
        self._sock = sock
        self._cut = connector.cuts.pop(0) if connector.cuts else None
        self._damage = connector.damages.pop(0) if connector.damages else None
        self.timeout_ms = 5000
        self.received = 0
        self.closed = False
        if self._damage:
            self.trusted = 0

    def write(self, data):
        self._sock.sendall(data)
        return len(data)

    def readinto(self, buffer):
        want = len(buffer) if self._limit is None else min(len(buffer), self._limit)
        if self._cut is not None:
            want = min(want, self._cut - self.received)
            if not want:
                raise self._error("link-lost")
        if self._damage:
            want = min(want, self._damage[1] - self.received)
            if not want:
                raise self._error("bytes-lost")
        self._sock.settimeout(self.timeout_ms / 1000)
        try:
            got = self._sock.recv_into(buffer, want)
        except TimeoutError as e:
            raise self._error("timeout") from e
        except OSError as e:
            assert e.errno in (errno.ECONNRESET, errno.EPIPE), e
            raise self._error("link-lost") from e
        if self._damage:
            if not got and self.received > self._damage[0]:
                raise self._error("bytes-lost")
            for i in range(got):
                if self.received + i >= self._damage[0]:
                    buffer[i] ^= 0x55
            self.trusted = min(self.received + got, self._damage[0])
        self.received += got
        return got

    def close(self):
        self.closed = True
        self._sock.close()
