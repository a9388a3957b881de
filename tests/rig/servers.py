"""HTTP servers of our own for what no honest server does: raw answers, and an origin that can be told to misbehave."""

import base64
import hashlib
import re
import socket
import threading

from rig.patience import patient


class Raw:
    """A TCP server; `answer(connection, head)` is called in a thread of its own for each request."""

    def __init__(self, answer):
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.requests = []
        self.problems = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            connection.settimeout(patient(10))
            head = b""
            try:
                while b"\r\n\r\n" not in head:
                    piece = connection.recv(4096)
                    if not piece:
                        return
                    head += piece
                self.requests.append(head)
                self._answer(connection, head)
            except OSError as e:
                # The client left in the middle: what these tests are about.
                self.problems.append(e)


def field(head, name):
    """The value of a field of a request head, None when absent."""
    found = re.search(rb"(?im)^" + name.encode() + rb":[ \t]*(.*?)\r$", head)
    return found[1].decode() if found else None


class Origin(Raw):
    """One file behind every path, with validators, ranges and digests that can each be switched."""

    def __init__(self, content):
        super().__init__(self._file)
        self.content = content
        self.etag = '"v1"'
        self.modified = None
        self.ranges = True
        self.digest = False
        self.chunked = False
        self.statuses = []
        self.fields = []
        self.range_fields = None
        self.shorten = []

    def _file(self, connection, head):
        if self.statuses:
            status, extra = self.statuses.pop(0)
            connection.sendall(f"HTTP/1.1 {status} Told\r\nContent-Length: 0\r\n{extra}\r\n".encode())
            return
        fields = ["Date: Mon, 07 Sep 2026 10:00:00 GMT", *self.fields]
        if self.etag:
            fields.append(f"ETag: {self.etag}")
        if self.modified:
            fields.append(f"Last-Modified: {self.modified}")
        if self.digest:
            told = base64.b64encode(hashlib.sha256(self.content).digest()).decode()
            fields.append(f"Repr-Digest: sha-256=:{told}:")
        wanted = field(head, "If-None-Match")
        if wanted and wanted == self.etag:
            connection.sendall(self._head("304 Not Modified", fields))
            return
        body, status = self.content, "200 OK"
        asked = re.fullmatch(r"bytes=(\d+)-", field(head, "Range") or "")
        if asked and self.ranges and field(head, "If-Range") in (None, self.etag, self.modified):
            start = int(asked[1])
            if start >= len(body):
                connection.sendall(self._head("416 No", [f"Content-Range: bytes */{len(body)}", "Content-Length: 0"]))
                return
            status, body = "206 Partial Content", body[start:]
            told = f"Content-Range: bytes {start}-{len(self.content) - 1}/{len(self.content)}"
            fields += [told] if self.range_fields is None else self.range_fields
        if self.chunked:
            fields.append("Transfer-Encoding: chunked")
            coded = b"".join(b"%x\r\n%s\r\n" % (len(body[i : i + 3000]), body[i : i + 3000])
                             for i in range(0, len(body), 3000))  # fmt: skip
            body = coded + b"0\r\n\r\n"
        elif not any(f.lower().startswith("content-length") for f in fields):
            fields.append(f"Content-Length: {len(body)}")
        if self.shorten:
            body = body[: self.shorten.pop(0)]
        connection.sendall(self._head(status, fields) + body)

    def _head(self, status, fields):
        return (
            f"HTTP/1.1 {status}\r\n{''.join(f + chr(13) + chr(10) for f in fields)}Connection: close\r\n\r\n".encode()
        )
