"""What becomes of a server's reply in MaixPy's stock driver: one program and one table for both engines.

The servers are scripts of virtual time. What comes out follows from the driver's source (MaixPy-v1 `esp8285.c`) and was
measured on the emulated chip with v0.6.2-44.
"""

from __future__ import annotations

from dataclasses import dataclass

from virtualboard.board import Board
from virtualboard.clock import MS
from virtualboard.network.script import Script

SERVER = "10.0.0.1"
FIRST_PORT = 8000
BAUDS = 115_200, 1_000_000
TIMEOUT_MS = 1000
"""The socket's timeout: how long the driver waits for what was lost."""
_SLACK_MS = 70
"""What commands, round trips, the modem's own time and an acknowledgement kept back for 40 ms add at most."""

JOIN = """
import time, usocket, network, gc
from machine import UART
from fpioa_manager import fm
fm.register(7, fm.fpioa.UART2_TX)
fm.register(6, fm.fpioa.UART2_RX)
u = UART(UART.UART2, 115200, read_buf_len=10240)
nic = network.ESP8285(u)
if {baud} != 115200:
    u.write("AT+UART_CUR={baud},8,1,0,0\\r\\n")
    time.sleep_ms(20)
    u = UART(UART.UART2, {baud}, read_buf_len=10240)
    nic = network.ESP8285(u)
nic.connect("home", "correct horse")

def ask(port, question, size, where="10.0.0.1"):
    s = usocket.socket()
    s.connect((where, port))
    s.settimeout(1)
    gc.collect()
    begun = time.ticks_ms()
    s.send(b"?" * question)
    got = b""
    while len(got) < size:
        piece = s.recv(min(1024, size - len(got)))
        if not piece:
            break
        got += piece
    answered = time.ticks_ms()
    whole = got == bytes(i & 255 for i in range(size))
    s.recv(1)
    end = time.ticks_diff(time.ticks_ms(), answered)
    s.close()
    print("reply", len(got), whole, time.ticks_diff(answered, begun), end)
"""


@dataclass(frozen=True)
class Case:
    """A question of `question` bytes, and a server that has heard `hears` of them and then thinks for `think_ms`."""

    think_ms: int = 0
    size: int = 504
    question: int = 42
    hears: int = 42
    closes_ms: int | None = None
    """How long after its reply the server closes; None: it does not."""
    got: int | None = None
    """Bytes that come out; None: all of them."""
    end_seen: bool = False
    """True when the driver knows of the end at once, False when it waits for its timeout."""

    def least_ms(self, baud: int) -> float:
        """What question and answer take at least: the question on the line, thinking beyond the driver's own pause of
        50 us for each byte sent, and the reply on the line, which may come during that pause."""
        line_ms, pause_ms = 10_000 / baud, self.question * 0.05
        return self.question * line_ms + max(pause_ms, self.think_ms + self.size * line_ms)


WHOLE = [Case(think_ms, size) for size in (50, 504, 1460, 5000) for think_ms in (0, 1, 5, 40, 300)]
"""A reply is never lost, however soon it comes: the driver stops reading at the K of `SEND OK`."""

ENDS = [
    Case(closes_ms=0, end_seen=True),  # CLOSED right behind the last byte, within 100 looks at the ring
    Case(closes_ms=100),  # the driver has left by then, and the next call takes CLOSED for noise
    Case(size=5000, closes_ms=0, end_seen=True),
]
EARLY = [
    # Two CIPSENDs of 2048 and 952 bytes: the reply to the first comes while the driver waits for the prompt or for
    # `SEND OK` of the second, and is thrown away with what it reads there.
    Case(question=3000, hears=2048, got=0),
    Case(question=3000, hears=3000),
]
CASES = [*WHOLE, *ENDS, *EARLY]


class Server(Script):
    """The server of one case."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._heard = 0

    def received(self, data: bytes) -> None:
        before, self._heard = self._heard, self._heard + len(data)
        if before < self._case.hears <= self._heard:
            self.clock.after(self._case.think_ms * MS, self._answer)

    def _answer(self) -> None:
        self.send(bytes(i & 0xFF for i in range(self._case.size)))
        if self._case.closes_ms is not None:
            self.clock.after(self._case.closes_ms * MS, self.finish)


def attach(board: Board, cases: list[Case]) -> str:
    """Put a server for each case on the board's network; returns the lines that ask them."""
    lines = []
    for port, case in enumerate(cases, FIRST_PORT):
        board.network.attach(SERVER, port, lambda case=case: Server(case))
        lines.append(f"ask({port}, {case.question}, {case.size})\n")
    return "".join(lines)


def expected(case: Case) -> tuple[int, bool]:
    """Bytes that come out, and whether they are the reply."""
    got = case.size if case.got is None else case.got
    return got, got == case.size


def judge(text: str, cases: list[Case], baud: int) -> list[str]:
    """What a board printed for `cases`, against the table; the differences, in words."""
    wrong = []
    lines = [line for line in text.splitlines() if line.startswith("reply ")]
    assert len(lines) == len(cases), text
    for case, line in zip(cases, lines, strict=True):
        got, whole, took, end = line.split()[1:]
        seen = int(end) < TIMEOUT_MS // 2
        if (int(got), whole == "True") != expected(case) or seen != case.end_seen:
            wrong.append(f"{baud} baud: {case}: {line}")
        elif got != "0" and not 0 <= int(took) - case.least_ms(baud) <= _SLACK_MS:
            wrong.append(f"{baud} baud: {case}: took {took} ms, its parts {case.least_ms(baud):.1f}")
    return wrong
