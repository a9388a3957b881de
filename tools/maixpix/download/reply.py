"""One HTTP answer of aiohttp and its body, and every way in which aiohttp can fail told as a `Trouble`."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import Callable

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDictProxy

from maixpix.download.answer import Answer
from maixpix.download.long_body import LongBody
from maixpix.download.trouble import Broken, DownloadError, Lie, Stalled, Trouble

LONG = 4 * 1024 * 1024
"""Bytes still to come that are worth going past aiohttp, though the connection then serves no second request."""

NEAR_RATE = 250_000_000
"""Bytes a second for which the buffer of a connection has room, whatever the way takes."""

FAR_BUFFER = 2 * 1024 * 1024
"""From so many bytes on the system decides itself."""

NOTHING_S = 0.5
"""An empty file is rare, and a length of nought told by mistake is not: for so long the rest may take to come."""

LOOK_S = 0.01
"""Between two looks whether it has."""

WATCH_S = 1.0


class Response(aiohttp.ClientResponse):
    """Remembers its connection also when the body is over, which for a short one is at once: the connection alone knows
    of bytes behind the body."""

    protocol: ResponseHandler | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        self.protocol = connection.protocol
        return await super().start(connection)


class Reply:
    """One answer and its body, to be closed by whoever opened it."""

    def __init__(self, response: Response, headers: CIMultiDictProxy[str], answer: Answer, idle_s: float) -> None:
        self.answer = answer
        self.headers = headers
        self.url = str(response.url)
        self._response = response
        self._failure: BaseException | None = None
        self._protocol = response.protocol
        self._long: LongBody | None = None
        self._idle_s = idle_s
        self._waits_since: float | None = None
        self._loop = asyncio.get_running_loop()
        self._watch = self._loop.call_later(WATCH_S, self._look)

    def _look(self) -> None:
        """End a wait that aiohttp has forgotten: it does not tell of damage in the middle of a body, nor time out."""
        if self._long is not None:
            if self._waits_since is not None and self._loop.time() - self._waits_since > self._idle_s:
                self._long.fail(Stalled("sends nothing"))
            else:
                self._watch = self._loop.call_later(WATCH_S, self._look)
            return
        content = self._response.content
        if content.is_eof() or content.exception() is not None:
            return
        failure = self._protocol.exception() if self._protocol is not None else None
        if isinstance(failure, HttpProcessingError):
            content.set_exception(Lie("answers with what is no HTTP: " + _first_words(failure.message)))
        elif self._waits_since is not None and self._loop.time() - self._waits_since > self._idle_s + WATCH_S:
            content.set_exception(Stalled("sends nothing"))
        else:
            self._watch = self._loop.call_later(WATCH_S, self._look)

    def take_over(self, block: Callable[[], int]) -> None:
        """Let the rest of a long body come in blocks of `block()` bytes, if that can be done; see `LongBody`."""
        content, protocol = self._response.content, self._protocol
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or "Transfer-Encoding" in self.headers or protocol is None:
            return
        missing, transport = int(length) - content.total_bytes, protocol.transport
        if missing < LONG or transport is None or content.exception() is not None or protocol.exception() is not None:
            return
        protocol.pause_reading()  # which ends its own watch over the time, too
        self._long = LongBody(transport, protocol, content.read_nowait(), missing, block)

    def buffer_at_most(self, share: int) -> None:
        """Let the system hold no more than `share` bytes that nobody has read, where the server is near enough.

        It would grow to megabytes a connection on a busy machine, all of which a killed program loses. From afar so
        much is on the way at any time, and a smaller buffer would make the download slower.
        """
        transport = self._protocol.transport if self._protocol is not None else None
        sock = transport.get_extra_info("socket") if transport is not None else None
        if sock is not None and (rtt_s := _round_trip_s(sock)) is not None:
            size = max(share, int(NEAR_RATE * rtt_s))
            if size < FAR_BUFFER:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    async def read(self) -> bytes | memoryview:
        """The next bytes of the body, b"" at its proper end. Raises `Broken`, `Stalled` or `Lie`."""
        if self._long is not None:
            self._waits_since = self._loop.time()
            data = await self._long.read()
            self._waits_since = None
            return data
        content = self._response.content
        if self._failure is None and content.exception() is not None:
            # aiohttp tells a cut at once and would keep for itself what came before; that may be all of a short answer.
            self._failure = content.exception()
            content.set_exception(None)
            if data := content.read_nowait():
                return data
        try:
            if self._failure is not None:
                raise self._failure
            self._waits_since = self._loop.time()
            data = await content.readany()
            self._waits_since = None
            return data
        except RuntimeError:  # aiohttp's word for a read behind damage that has closed the connection
            failure = self._protocol.exception() if self._protocol is not None else None
            if isinstance(failure, HttpProcessingError):
                raise Lie("answers with what is no HTTP: " + _first_words(failure.message)) from None
            raise Broken("closes the connection too early") from None
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError, ValueError) as error:
            raise trouble_of(error) from None

    async def linger(self) -> None:
        """Behind no body at all: whoever has told a length of nought by mistake sends the rest now."""
        if self.headers.get("Content-Length") == "0" and (protocol := self._protocol) is not None:
            until = self._loop.time() + NOTHING_S
            while protocol.is_connected() and protocol.exception() is None and self._loop.time() < until:
                await asyncio.sleep(LOOK_S)

    def check_surplus(self) -> None:
        """Raises `Lie` when the server sent more than the length that it had told."""
        is_too_long = self._long is not None and self._long.has_surplus
        if is_too_long or (self._protocol is not None and isinstance(self._protocol.exception(), HttpProcessingError)):
            raise Lie("sends more bytes than the Content-Length that it told")

    def close(self) -> None:
        """Give the connection back after a whole body, else close it."""
        self._watch.cancel()
        if self._long is not None:
            self._long.give_back()
        self._response.release() if self._response.content.is_eof() else self._response.close()


def _round_trip_s(sock: socket.socket) -> float | None:
    """The shortest way there and back so far; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    # struct tcp_info of linux/tcp.h: tcpi_min_rtt, in microseconds, stands at 148 since Linux 4.6.
    told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 152)
    shortest = int.from_bytes(told[148:152], sys.byteorder)
    return shortest / 1e6 if len(told) == 152 and shortest else None


def trouble_of(error: BaseException) -> Trouble | DownloadError:
    """What a failure of aiohttp or of the network means."""
    text = " ".join(str(error).split())[:200]
    if isinstance(error, (aiohttp.ConnectionTimeoutError, aiohttp.SocketTimeoutError, asyncio.TimeoutError)):
        return Stalled("sends nothing")
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError)):
        return DownloadError(f"the server's certificate is not to be trusted: {text}", "check the address", "refused")
    if isinstance(error, (aiohttp.ClientConnectorDNSError, socket.gaierror)):
        return Broken(f"cannot be found by name ({text})")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Broken(f"cannot be reached ({_reason(error.os_error)})")
    if isinstance(error, aiohttp.ClientResponseError):
        return Lie("answers with what is no HTTP: " + _first_words(error.message))
    if isinstance(error, aiohttp.ClientPayloadError):
        return Broken("ends the answer too early")
    if isinstance(error, aiohttp.InvalidURL):
        return DownloadError(f"{text} is no address", "check the address", "refused")
    if isinstance(error, (aiohttp.ServerDisconnectedError, ConnectionError, aiohttp.ClientOSError)):
        return Broken("closes the connection too early")
    return Broken(f"fails: {text or type(error).__name__}")


def _reason(error: OSError) -> str:
    """What the system says of a connection that failed; aiohttp's own text speaks of TLS for plain HTTP, too."""
    if error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return " ".join(str(error).split())[:200]


def _first_words(message: str) -> str:
    """The parser's own words, which name the header or the byte, without its picture of the place."""
    lines = [line.strip() for line in message.splitlines() if line.strip(" ^")]
    return " ".join(lines[:2])[:160]
