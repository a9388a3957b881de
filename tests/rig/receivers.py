"""Receivers of uploads written from the tus 1.0.0 text alone, plain listeners, and links that break off on the way out.

`Tus` shares nothing with the companion: it is the independent server that `pix.tus` is judged by.
"""

import base64
import binascii
import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rig.patience import patient


class Tus:
    """A tus 1.0.0 server in memory. `files` maps id -> bytearray, `lengths` id -> announced length.

    Switches: `extensions`, `checksums` (of the OPTIONS answer), `digests` (Repr-Digest on complete uploads), `absolute`
    (Location with scheme and host), `token`. Troubles, each used up by one request:
    `cuts`: read so many body bytes, keep them, then drop the connection; `mute`: take everything, then drop the
    connection without an answer; `statuses`: (method, status, fields) answered instead of the right answer;
    `flips`: damage a byte of the body on its way.
    """

    def __init__(self):
        self.files = {}
        self.lengths = {}
        self.metadata = {}
        self.extensions = "creation,creation-with-upload,checksum"
        self.checksums = "sha1,sha256"
        self.digests = True
        self.absolute = False
        self.token = None
        self.cuts = []
        self.mute = []
        self.statuses = []
        self.flips = []
        self.requests = []
        self.busy = 0
        self.quiet = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._process, self._server.process_request = self._server.process_request, self._begin
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/tus/"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def _begin(self, request, address):
        with self.quiet:
            self.busy += 1
        self._process(request, address)

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    @property
    def whole(self):
        """Contents of the complete uploads."""
        return [bytes(body) for key, body in self.files.items() if len(body) == self.lengths[key]]

    def methods(self):
        return [request[0] for request in self.requests]


def _handler(server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def finish(self):
            super().finish()
            with server.quiet:
                server.busy -= 1
                server.quiet.notify_all()

        def answer(self, status, **fields):
            self.send_response(status)
            self.send_header("Tus-Resumable", "1.0.0")
            for name, value in fields.items():
                self.send_header(name.replace("_", "-"), str(value))
            if status != 204 and "Content_Length" not in fields:
                self.send_header("Content-Length", "0")
            self.end_headers()
            self.close_connection = True

        def taken(self):
            """Handle what all requests have in common; True when it was answered."""
            server.requests.append((self.command, self.path, dict(self.headers.items())))
            for entry in server.statuses:
                if entry[0] == self.command:
                    server.statuses.remove(entry)
                    self.body()
                    self.answer(entry[1], **entry[2])
                    return True
            if server.token and self.headers.get("Authorization") != "Bearer " + server.token:
                self.body()
                self.answer(401)
                return True
            if self.command != "OPTIONS" and self.headers.get("Tus-Resumable") != "1.0.0":
                self.answer(412, Tus_Version="1.0.0")
                return True
            return False

        def body(self):
            """(bytes, came whole)."""
            length = int(self.headers.get("Content-Length", 0))
            limit = length
            if length and server.cuts:
                limit = min(length, server.cuts.pop(0))
            data = self.rfile.read(limit)
            if server.flips and len(data) > server.flips[0]:
                data = bytearray(data)
                data[server.flips.pop(0)] ^= 0x20
            return bytes(data), limit == length and len(data) == length

        def drop(self):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def do_OPTIONS(self):
            if not self.taken():
                fields = {"Tus_Version": "1.0.0", "Tus_Extension": server.extensions}
                if "checksum" in server.extensions:
                    fields["Tus_Checksum_Algorithm"] = server.checksums
                self.answer(204, **fields)

        def do_POST(self):
            if self.taken():
                return
            key = f"u{len(server.files)}"
            server.files[key] = bytearray()
            server.lengths[key] = int(self.headers["Upload-Length"])
            server.metadata[key] = {
                name: base64.b64decode(value).decode()
                for name, _, value in (pair.partition(" ") for pair in self.headers["Upload-Metadata"].split(","))
            }
            where = f"/tus/{key}"
            fields = {"Location": f"http://127.0.0.1:{server.port}{where}" if server.absolute else where}
            if "creation-with-upload" in server.extensions and self.headers["Content-Type"]:
                if not self.append(key):
                    return
                fields["Upload_Offset"] = len(server.files[key])
            else:
                self.body()
            self.answer(201, **fields, **self.digest(key))

        def do_HEAD(self):
            # The kernel may hold the rest of an earlier request, all of it even: its end comes first.
            with server.quiet:
                assert server.quiet.wait_for(lambda: server.busy == 1, 10)
            if self.taken():
                return
            key = self.path.rpartition("/")[2]
            if key not in server.files:
                self.answer(404)
                return
            at, length = len(server.files[key]), server.lengths[key]
            self.answer(200, Upload_Offset=at, Upload_Length=length, Cache_Control="no-store", **self.digest(key))

        def do_PATCH(self):
            if self.taken():
                return
            key = self.path.rpartition("/")[2]
            if key not in server.files:
                self.body()
                self.answer(404)
            elif self.headers["Content-Type"] != "application/offset+octet-stream":
                self.answer(415)
            elif int(self.headers["Upload-Offset"]) != len(server.files[key]):
                self.body()
                self.answer(409)
            elif self.append(key):
                self.answer(204, Upload_Offset=len(server.files[key]), **self.digest(key))

        def append(self, key):
            data, whole = self.body()
            checksum = self.headers.get("Upload-Checksum")
            if checksum:
                name, _, told = checksum.partition(" ")
                if name not in server.checksums.split(","):
                    self.answer(400)
                    return False
                if not whole or hashlib.new(name, data).digest() != binascii.a2b_base64(told):
                    if whole:
                        self.answer(460)
                    else:
                        self.drop()
                    return False
            server.files[key] += data
            if not whole or (server.mute and server.mute.pop(0)):
                self.drop()
                return False
            return True

        def digest(self, key):
            body = server.files[key]
            if not server.digests or len(body) != server.lengths[key]:
                return {}
            return {"Repr_Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"}

    return Handler


class Listener:
    """What `nc -l` does, again and again: every connection's bytes until its end, in `received`.

    `limits`: a connection with a limit is reset after so many bytes. `answer(bytes) -> bytes | None` may speak.
    """

    def __init__(self, answer=None):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received = []
        self.limits = []
        self._answer = answer
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            data = bytearray()
            self.received.append(data)
            limit = self.limits.pop(0) if self.limits else None
            threading.Thread(target=self._serve, args=(connection, data, limit), daemon=True).start()

    def _serve(self, connection, data, limit):
        with connection:
            connection.settimeout(patient(20))
            try:
                while piece := connection.recv(4096):
                    data += piece
                    if limit is not None and len(data) >= limit:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                        return
                    reply = self._answer(bytes(data)) if self._answer else None
                    if reply is not None:
                        connection.sendall(reply)
                        return
            except OSError:
                return


class Sending:
    """A connector over real sockets whose links break off after `cuts` bytes written, one entry a connection (None:
    never). `largest` is the largest single write seen. The first `damaged_answers` links deliver damaged bytes and do
    not vouch for them."""

    def __init__(self, device):
        self.device = device
        self.cuts = []
        self.links = []
        self.largest = 0
        self.damaged_answers = 0

    def connect(self, host, port, timeout_ms, pipelined=False):
        try:
            sock = socket.create_connection((host, port), timeout_ms / 1000)
        except OSError as e:
            raise self.device.PixError("refused", f"{host}:{port}") from e
        self.links.append(_Link(self, sock, self.cuts.pop(0) if self.cuts else None))
        if self.damaged_answers:
            self.damaged_answers -= 1
            self.links[-1].trusted = 0
        return self.links[-1]


class _Link:
    def __init__(self, owner, sock, cut):
        self._owner = owner
        self._sock = sock
        self._cut = cut
        self.timeout_ms = 5000
        self.sent = 0
        self.error = ""

    def _failed(self, cause=None):
        self.error = "link-lost"
        raise self._owner.device.PixError("link-lost") from cause

    def write(self, data):
        self._owner.largest = max(self._owner.largest, len(data))
        if self.error:
            self._failed()
        piece = bytes(data)
        cut = self._cut is not None and self.sent + len(piece) > self._cut
        if cut:
            piece = piece[: self._cut - self.sent]
        try:
            self._sock.sendall(piece)
        except OSError as e:
            self._failed(e)
        self.sent += len(piece)
        if cut:
            self._sock.close()
            self._failed()
        return len(data)

    def readinto(self, buffer):
        if self.error:
            self._failed()
        self._sock.settimeout(self.timeout_ms / 1000)
        try:
            got = self._sock.recv_into(buffer, len(buffer))
            if hasattr(self, "trusted") and got:
                buffer[0] ^= 0x15
            return got
        except TimeoutError as e:
            raise self._owner.device.PixError("timeout") from e
        except OSError as e:
            return self._failed(e)

    def close(self):
        self._sock.close()
