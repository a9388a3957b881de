"""`network` and `usocket`: MaixPy's stock driver, for programs written against it.

Source: MaixPy-v1 `modesp8285.c`, `esp8285.c`, `modusocket.c`. What crashes the firmware crashes here (`Crash`).
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from virtualboard.clock import US
from virtualboard.hosted.buffers import raw
from virtualboard.hosted.chip import Chip
from virtualboard.hosted.errors import Crash, DeviceOSError
from virtualboard.hosted.stdlib import make_module
from virtualboard.hosted.stock_at import BUFFER_SIZE, EOF, MAX_SEND, AtDriver, Statics
from virtualboard.hosted.uart import UART

_MAX_SOCKETS = 160
EINVAL, EPIPE, ENOMEM, ENOTCONN = 22, 32, 12, 128


class Network:
    """The network statics of one power cycle."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self.statics = Statics()
        self.nic: ESP8285 | None = None
        self.sockets = 0

    def factories(self) -> dict[str, Callable[[], types.ModuleType]]:
        """Makers of `network`, `usocket` and `socket`."""
        return {
            "network": self._network_module,
            "usocket": lambda: self._socket_module("usocket"),
            "socket": lambda: self._socket_module("socket"),
        }

    def crash(self) -> None:
        """The firmware follows a pointer to nowhere."""
        self._chip.console("core dump: illegal instruction\r\nCause 0x0000000000000002, EPC 0x0000000000000000\r\n")
        self._chip.halt(Crash())
        self._chip.check()

    def _network_module(self) -> types.ModuleType:
        def missing(*args: Any, **options: Any) -> Any:
            raise NotImplementedError("network.ESP32_SPI is not in the hosted engine")

        kind = type("ESP8285", (ESP8285,), {"_network": self, "_chip": self._chip})
        return make_module("network", ESP8285=kind, ESP32_SPI=missing, route=lambda: self.nic)

    def _socket_module(self, name: str) -> types.ModuleType:
        kind = type("socket", (Socket,), {"_network": self, "_chip": self._chip})
        return make_module(
            name,
            socket=kind,
            getaddrinfo=self._getaddrinfo,
            AF_INET=2,
            AF_INET6=10,
            SOCK_STREAM=1,
            SOCK_DGRAM=2,
            SOCK_RAW=3,
        )

    def _getaddrinfo(self, host: str, port: int, /, *ignored: Any) -> list[tuple[Any, ...]]:
        if self.nic is None:
            self.crash()
        assert self.nic is not None
        address = self.nic.resolve(host)
        if address is None:
            self._chip.console("[MaixPy] get_host_byname | get_host_byname failed\r\n")
            raise DeviceOSError(EINVAL)
        return [(2, 1, 0, "", (address, port))]


class ESP8285:
    """The NIC object."""

    OPEN, WPA_PSK, WPA2_PSK, WPA_WPA2_PSK = 0, 2, 3, 4

    _network: Network
    _chip: Chip

    def __init__(self, uart: Any, /) -> None:
        if not isinstance(uart, UART):
            raise ValueError("invalid uart stream")
        chip = self._chip
        if not chip.heap.own(self, BUFFER_SIZE):
            raise MemoryError(f"memory allocation failed, allocating {BUFFER_SIZE} bytes")
        self.driver = AtDriver(chip, uart, self._network.statics)
        if not self._init():
            raise DeviceOSError("couldn't init nic esp8285 ,try again please\n")
        self._network.nic = self

    def _init(self) -> bool:
        d = self.driver
        if not any(d.command("AT", b"OK") for _ in range(3)):
            return False
        if not d.command("ATE0", b"OK") or not d.command("AT+CIPMODE=0", b"OK"):
            return False
        answer = d.command("AT+CWMODE?", b"OK")
        if answer is None or b"+CWMODE:" not in answer or b"\r\n\r\nOK" not in answer:
            return False
        mode = answer.partition(b"+CWMODE:")[2].partition(b"\r\n\r\nOK")[0]
        if mode != b"1" and not d.command("AT+CWMODE=1", b"OK", b"no change"):
            return False
        answer = d.command("AT+CIPMUX=0", b"OK", b"Link is builded", timeout_ms=5000)
        if answer is None or b"OK" not in answer:
            return False
        return d.command("AT+CWQAP", b"OK") is not None

    # -- stations -----------------------------------------------------------------------------------------

    def connect(self, ssid: str, key: str | None = None) -> None:
        if key is None:
            self._network.crash()
        answer = self.driver.command(f'AT+CWJAP="{ssid}","{key}"', b"OK", b"FAIL", timeout_ms=10_000)
        if answer is None or b"OK" not in answer:
            raise DeviceOSError(f"could not connect to ssid={ssid}\n")
        self._network.statics.connected = True

    def disconnect(self) -> None:
        if self.driver.command("AT+CWQAP", b"OK") is None:
            raise DeviceOSError("conldn't disconnect wifi,plase try again or reboot nic\n")
        self._network.statics.connected = False

    def isconnected(self) -> bool:
        self._chip.charge(self._chip.costs.call)
        return self._network.statics.connected

    def ifconfig(self) -> tuple[str, ...] | None:
        answer = self.driver.command("AT+CIPSTA_CUR?", b"OK")
        if answer is None:
            return None
        ip, gateway, netmask = (_quoted(answer, name) for name in (b"ip:", b"gateway:", b"netmask:"))
        answer = self.driver.command("AT+CWJAP_CUR?", b"OK")
        if answer is None:
            return None
        _, found, rest = answer.partition(b"+CWJAP_CUR:")
        if not found:
            self._network.crash()
        parts = rest.split(b'"')
        return (ip, netmask, gateway, "0", "0", parts[3].decode(), parts[1].decode())

    def scan(self) -> list[str]:
        d = self.driver
        d.empty()
        d.send_line("AT+CWLAP")
        found = []
        while True:
            answer = d.expect(b"\r\n+CWLAP:", b"\r\n\r\nOK", timeout_ms=10_000)
            if answer is None:
                raise DeviceOSError("wifi scan fail:-2")
            _, opened, rest = answer.partition(b"(")
            if not opened:
                raise DeviceOSError("wifi scan fail:-3")
            entry, closed, _ = rest.partition(b")")
            if not closed:
                raise DeviceOSError("wifi scan fail:-4")
            found.append(entry.decode())
            if b"\r\n\r\nOK" in answer:
                return found

    def enable_ap(self, ssid: str, key: str, chl: int = 5, ecn: int = 3) -> None:
        d = self.driver
        if not d.command("AT+CWMODE=3", b"OK", b"no change") or not d.command(
            f'AT+CWSAP="{ssid}","{key}",{chl},{ecn}', b"\r\nOK", timeout_ms=3000
        ):
            raise DeviceOSError("wifi enable fail")

    def disable_ap(self) -> None:
        if not self.driver.command("AT+CWMODE=1", b"OK", b"no change"):
            raise DeviceOSError("wifi disable fail")

    # -- links --------------------------------------------------------------------------------------------

    def resolve(self, host: str) -> str | None:
        """CIPDOMAIN; 3 s, errors not looked for."""
        answer = self.driver.command(f'AT+CIPDOMAIN="{host}"', b"OK", timeout_ms=3000)
        if answer is None or b"+CIPDOMAIN:" not in answer:
            return None
        token = answer.partition(b"+CIPDOMAIN:")[2].split()[0].decode()
        return token if _dotted(token) else "0.0.0.0"

    def open_link(self, kind: str, address: str, port: int) -> bool:
        """CIPSTART; 10 s."""
        line = f'AT+CIPSTART="{kind}","{address}",{port}'
        answer = self.driver.command(line, b"OK", b"ERROR", b"ALREADY CONNECT", timeout_ms=10_000)
        return answer is not None and (b"OK" in answer or b"ALREADY CONNECT" in answer)

    def send(self, data: bytes, timeout_ms: int) -> bool:
        """CIPSEND in pieces of 2048, then the fixed wait of 50 us a byte."""
        d = self.driver
        for start in range(0, len(data), MAX_SEND):
            piece = data[start : start + MAX_SEND]
            if d.command(f"AT+CIPSEND={len(piece)}", b">", timeout_ms=5000) is None:
                return False
            d.empty()
            d.write(piece)
            if d.expect(b"SEND OK", timeout_ms=timeout_ms) is None:
                return False
        self._chip.wait(len(data) * 50 * US)
        return True

    def close_link(self) -> None:
        """CIPCLOSE; 5 s."""
        self.driver.command("AT+CIPCLOSE", b"OK", b"ERROR", timeout_ms=5000)


class Socket:
    """`socket.socket`: one link in all, whichever object uses it."""

    _network: Network
    _chip: Chip

    def __init__(self, af: int = 2, type: int = 1, proto: int = 0, fileno: int = 0, /) -> None:
        self._nic: ESP8285 | None = None
        if self._network.sockets >= _MAX_SOCKETS:
            raise DeviceOSError(ENOMEM)
        self._network.sockets += 1
        self._type = type
        self._timeout_ms = 10_000
        self._first = False

    def __repr__(self) -> str:
        return f"<usocket.socket fd=0, family=2, type={self._type}>"

    def connect(self, address: tuple[str, int], /) -> None:
        ip, port = address
        if not _dotted(ip):
            raise ValueError("invalid arguments")
        if self._network.nic is None:
            raise DeviceOSError("no available NIC")
        self._nic = self._network.nic
        if not self._nic.open_link("UDP" if self._type == 2 else "TCP", ip, port):
            raise DeviceOSError(-1)

    def settimeout(self, seconds: float, /) -> None:
        if seconds is None:
            raise TypeError("can't convert NoneType to float")
        if seconds < 0:
            raise ValueError("[MaixPy] timeout parameter error")
        self._timeout_ms = int(seconds * 1000)

    def setblocking(self, on: Any, /) -> None:
        self._timeout_ms = 0xFFFFFFFF if on else 0

    # -- data ---------------------------------------------------------------------------------------------

    def send(self, data: Any, /) -> int:
        return self._send(raw(data))

    def write(self, data: Any, /, *limits: int) -> int:
        block = raw(data)
        if len(limits) == 1:
            block = block[: limits[0]]
        return self._send(block)

    def _send(self, data: bytes) -> int:
        if self._nic is None:
            raise DeviceOSError(EPIPE)
        self._nic.driver.clear()
        self._first = True
        if not self._nic.send(data, self._timeout_ms):
            raise DeviceOSError(EPIPE)
        return len(data)

    def _receive(self, count: int) -> bytes | None:
        """Bytes, b"" at a timeout, None at the flagged end."""
        self._chip.charge(self._chip.costs.call)
        if self._nic is None:
            raise DeviceOSError(ENOTCONN)
        first, self._first = self._first, False
        got = self._nic.driver.receive(count, self._timeout_ms, first)
        if isinstance(got, bytes):
            return got
        assert got == EOF
        return None

    def recv(self, count: int, /) -> bytes:
        return self._receive(count) or b""

    def read(self, count: int = -1, /) -> bytes | None:
        out = bytearray()
        while count < 0 or len(out) < count:
            piece = self._receive(256 if count < 0 else count - len(out))
            if piece is None and not out:
                return None
            if not piece:
                break
            out += piece
        return bytes(out) if out or count >= 0 else None

    def readinto(self, buffer: Any, count: int = -1, /) -> int | None:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view) if count < 0 else min(count, len(view)))
        if data is None:
            return None
        view[: len(data)] = data
        return len(data)

    def readline(self, limit: int = -1, /) -> bytes | None:
        line = bytearray()
        while limit < 0 or len(line) < limit:
            piece = self._receive(1)
            if piece is None and not line:
                return None
            if not piece:
                break
            line += piece
            if piece == b"\n":
                break
        return bytes(line)

    def sendto(self, data: Any, address: Any, /) -> int:
        self._network.crash()
        return 0

    def recvfrom(self, count: int, /) -> Any:
        self._network.crash()

    def close(self) -> None:
        if self._nic is not None:
            nic, self._nic = self._nic, None
            self._network.sockets -= 1
            nic.close_link()

    def __del__(self) -> None:
        # A forgotten socket closes the one link, whoever uses it by then, when it is collected.
        nic = self._nic
        if nic is not None:
            self._chip.heap.finalisers.append(nic.close_link)


def _dotted(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(part.isdigit() and int(part) < 256 for part in parts)


def _quoted(answer: bytes, name: bytes) -> str:
    return answer.partition(name)[2].split(b'"')[1].decode()
