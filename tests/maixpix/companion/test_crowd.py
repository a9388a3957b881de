"""Fifty boards at once before a disk that has stopped: what they send waits with them, not in our memory."""

from __future__ import annotations

import hashlib
import selectors
import socket
import threading
import tracemalloc

from maixpix.companion.uploads.partial import Partial
from rig.patience import patient

BOARDS = 50
SIZE = 2_000_000
MIB = 1024 * 1024


class Board:
    """One sender that never waits: `push` gives the kernel whatever it takes."""

    def __init__(self, number: int, server, body: bytes) -> None:
        self.by_tus = number % 2 == 0
        head = number.to_bytes(4, "big")
        self.digest = hashlib.sha256(head + body).hexdigest()
        opening = (
            "POST /files/ HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nConnection: close\r\n"
            f"Upload-Length: {len(body) + 4}\r\nContent-Length: {len(body) + 4}\r\n"
            "Content-Type: application/offset+octet-stream\r\n\r\n"
            if self.by_tus
            else f"#maixpix size={len(body) + 4}\n"
        )
        self._pieces = [memoryview(opening.encode() + head), memoryview(body)]
        self.socket = socket.socket()
        # Else the kernel would hold megabytes of each sender, and none would ever have to wait.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        self.socket.connect(("127.0.0.1", server.port if self.by_tus else server.tcp_port))
        self.socket.setblocking(False)

    def push(self) -> bool:
        """Send once; True when all is sent."""
        try:
            self._pieces[0] = self._pieces[0][self.socket.send(self._pieces[0]) :]
        except BlockingIOError:
            return False
        if not self._pieces[0]:
            del self._pieces[0]
        return not self._pieces

    def is_answered(self) -> bool:
        """Read to the end; whether it was acknowledged with the right digest."""
        self.socket.settimeout(patient(60))
        answer = b""
        while piece := self.socket.recv(4096):
            answer += piece
        self.socket.close()
        if self.by_tus:
            return answer.startswith(b"HTTP/1.1 201 ")
        return answer == f"ok {self.digest} {SIZE}\n".encode()


def test_memory_is_bounded_with_fifty_boards_and_a_disk_that_stops(receiver, monkeypatch, uploads):
    disk = threading.Event()
    write = Partial.write

    def write_later(self: Partial, piece: bytes | memoryview) -> None:
        assert disk.wait(patient(60))
        write(self, piece)

    monkeypatch.setattr(Partial, "write", write_later)
    body = bytes(range(250)) * (SIZE // 250)
    body = body[: SIZE - 4]
    boards = [Board(number, receiver, body) for number in range(BOARDS)]
    tracemalloc.start()
    try:
        with selectors.DefaultSelector() as selector:
            for board in boards:
                selector.register(board.socket, selectors.EVENT_WRITE, board)

            def push_until_nobody_can(patience_s: float) -> None:
                while selector.get_map() and (ready := selector.select(patience_s)):
                    for key, _ in ready:
                        if key.data.push():
                            selector.unregister(key.fileobj)

            # When nobody could send for a while, all wait for the disk; were it only slow, the test would be easier.
            push_until_nobody_can(0.3)
            stopped = tracemalloc.get_traced_memory()[1]
            disk.set()
            push_until_nobody_can(60)
            assert not selector.get_map(), "the receiver stopped reading"
        answers = [board.is_answered() for board in boards]
        assert all(answers)
        running = tracemalloc.get_traced_memory()[1]
    finally:
        disk.set()
        tracemalloc.stop()
    # At most 1 MiB each (measured: 24 and 31 MiB in all); held as a whole, the files alone would be 95 MiB.
    assert stopped < BOARDS * MIB
    assert running < BOARDS * MIB
    kept = [hashlib.sha256(path.read_bytes()).hexdigest() for path in uploads.glob("2*/*")]
    assert sorted(kept) == sorted(board.digest for board in boards)
