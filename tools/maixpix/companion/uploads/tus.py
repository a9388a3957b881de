"""The tus 1.0.0 door: resumable uploads over HTTP at `/files/`.

Core, creation, creation-with-upload, checksum (sha1, sha256), termination and expiration of the tus protocol. An
offset is told to the sender only when the bytes before it are durable; a finished upload answers with `Repr-Digest`,
also on later HEAD requests, so that a sender whose connection broke can still learn that its picture is safe.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import email.utils
import hashlib
import hmac
import re
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from aiohttp import ClientPayloadError, web

from maixpix.companion.problems import Refused
from maixpix.companion.ranges import parse_repr_digest, repr_digest
from maixpix.companion.settings import ServeSettings
from maixpix.companion.tokens import check_bearer
from maixpix.companion.uploads.pace import Pace, acknowledge_at_once
from maixpix.companion.uploads.partial import Facts, Partial
from maixpix.companion.uploads.storage import UploadStore
from maixpix.companion.work import in_thread

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,termination,expiration"
CHECKSUMS = ("sha1", "sha256")
CONTENT_TYPE = "application/offset+octet-stream"

_MAX_METADATA = 4096
_TAKE_OVER_S = 10.0

Result = TypeVar("Result")


class TusDoor:
    """Request handlers of `/files/`."""

    def __init__(self, settings: ServeSettings, store: UploadStore, executor: Executor) -> None:
        self.settings = settings
        self.store = store
        self._executor = executor
        self._locks: dict[str, _Turn] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.options("/files/", self.options),
            web.post("/files/", self.create),
            web.options("/files/{id}", self.options),
            web.head("/files/{id}", self.head),
            web.patch("/files/{id}", self.patch),
            web.delete("/files/{id}", self.delete),
            web.post("/files/{id}", self.override),
        ]

    async def options(self, request: web.Request) -> web.Response:
        """What this server can do."""
        return web.Response(
            status=204,
            headers={
                "Tus-Resumable": VERSION,
                "Tus-Version": VERSION,
                "Tus-Extension": EXTENSIONS,
                "Tus-Max-Size": str(self.store.limits.max_file_bytes),
                "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
            },
        )

    async def create(self, request: web.Request) -> web.Response:
        """POST: begin an upload; with a body, also send its first or all bytes."""
        self._admit(request)
        if "Upload-Defer-Length" in request.headers:
            raise _bad("the length must be known at creation", "send Upload-Length")
        metadata_text = request.headers.get("Upload-Metadata", "")
        metadata = parse_metadata(metadata_text)
        facts = Facts(
            id="",
            name=metadata.get("filename", "") or metadata.get("name", ""),
            length=_number(request, "Upload-Length"),
            board=metadata.get("board", "") or request.headers.get("X-Maixpix-Board", ""),
            sender=request.remote or "",
            expected=_expected_digest(request, metadata),
            metadata=metadata_text,
        )
        has_body = request.content_type == CONTENT_TYPE
        algorithm = self._check_body(request, 0, facts.length or 0) if has_body else None
        partial = await self._run(self.store.create, facts)
        headers = {"Location": f"/files/{facts.id}"}
        try:
            if has_body:
                async with self._turn(request, facts.id):
                    headers |= await self._receive(request, partial, algorithm)
            else:
                await self._run(self.store.rest, partial)
                headers |= {"Upload-Offset": "0"} | self._expiry(partial)
        except BaseException:
            # The sender never learned the address, so nobody could go on with it or end it.
            with contextlib.suppress(Refused):
                await asyncio.shield(self._run(self.store.drop, partial))
            raise
        return self._answer(201, headers)

    async def head(self, request: web.Request) -> web.Response:
        """How much of an upload is durable here; takes an upload over from a connection that died unnoticed."""
        self._admit(request)
        async with self._turn(request, request.match_info["id"]):
            partial = await self._run(self.store.resume, request.match_info["id"])
            headers = {"Cache-Control": "no-store", "Upload-Length": str(partial.facts.length)}
            if partial.facts.metadata:
                headers["Upload-Metadata"] = partial.facts.metadata
            headers |= await self._settle(partial)
        return self._answer(200, headers)

    async def patch(self, request: web.Request) -> web.Response:
        """More bytes, beginning at exactly the durable offset."""
        self._admit(request)
        if request.content_type != CONTENT_TYPE:
            raise Refused(415, "content-type", "the body has the wrong type", f"send Content-Type: {CONTENT_TYPE}")
        offset = _number(request, "Upload-Offset")
        async with self._turn(request, request.match_info["id"]):
            partial = await self._run(self.store.resume, request.match_info["id"])
            if offset != partial.offset:
                at = partial.offset
                await self._settle(partial)
                raise Refused(
                    409, "offset", f"the upload is at byte {at}, not {offset}", "ask with HEAD and go on there"
                )
            if partial.facts.is_done:
                return self._answer(204, await self._settle(partial))
            algorithm = self._check_body(request, offset, partial.facts.length or 0)
            return self._answer(204, await self._receive(request, partial, algorithm))

    async def delete(self, request: web.Request) -> web.Response:
        """Give an unfinished upload up. A finished one stays stored; only its address ends."""
        self._admit(request)
        async with self._turn(request, request.match_info["id"]):
            partial = await self._run(self.store.resume, request.match_info["id"])
            await self._run(self.store.drop, partial)
        return self._answer(204, {})

    async def override(self, request: web.Request) -> web.Response:
        """POST with `X-HTTP-Method-Override`, for senders whose way lets no PATCH through."""
        method = request.headers.get("X-HTTP-Method-Override", "").upper()
        handlers = {"PATCH": self.patch, "DELETE": self.delete, "HEAD": self.head}
        if method not in handlers:
            raise Refused(
                405, "method", "an upload takes no POST", "use PATCH", {"Allow": "HEAD, PATCH, DELETE, OPTIONS"}
            )
        return await handlers[method](request)

    # -- inner parts --------------------------------------------------------------------------------------

    def _admit(self, request: web.Request) -> None:
        check_bearer(self.settings.token, request.headers.get("Authorization", ""))
        if request.headers.get("Tus-Resumable") != VERSION:
            raise Refused(
                412, "tus-version", "this is a tus 1.0.0 server", "send Tus-Resumable: 1.0.0", {"Tus-Version": VERSION}
            )

    def _check_body(self, request: web.Request, offset: int, length: int) -> Any:
        """Refuse a body that cannot be right before any of it is read; the hash for `Upload-Checksum`, if asked for."""
        announced = request.content_length
        if announced is not None and offset + announced > length:
            raise Refused(
                413, "too-long", f"{announced} bytes from {offset} go beyond {length}", "send the announced length"
            )
        if (value := request.headers.get("Upload-Checksum")) is None:
            return None
        name, _, digest = value.partition(" ")
        if name not in CHECKSUMS:
            raise _bad(f"the checksum {name[:20]!r} is unknown", "use one of " + ", ".join(CHECKSUMS))
        wanted = _base64(digest.strip())
        algorithm = hashlib.new(name)
        if wanted is None or len(wanted) != algorithm.digest_size:
            raise _bad("the checksum is no base64 of its algorithm's length", "send ALGORITHM BASE64")
        return algorithm, wanted

    async def _receive(self, request: web.Request, partial: Partial, checksum: Any) -> dict[str, str]:
        """Take the body into the upload; headers that tell how far it is now."""
        start = partial.offset
        length = partial.facts.length or 0
        transport = request.transport
        pace = Pace(self.store.limits, transport.abort if transport is not None else lambda: None)
        try:
            while piece := await request.content.readany():
                acknowledge_at_once(transport)
                pace.count(len(piece))
                if partial.offset + len(piece) > length:
                    await self._run(self.store.cut, partial, start)
                    raise Refused(413, "too-long", f"the body goes beyond {length} bytes", "send the announced length")
                with pace.busy():
                    await self._run(self._take, partial, piece, checksum)
            if checksum is not None and not hmac.compare_digest(checksum[0].digest(), checksum[1]):
                raise Refused(460, "checksum", "the piece does not match its checksum", "send it again")
        except BaseException as error:
            # What was received stays, unless its checksum was to prove it, and becomes durable before anyone asks.
            await asyncio.shield(self._run(self._rest, partial, None if checksum is None else start))
            if isinstance(error, ClientPayloadError):
                raise ConnectionResetError("the sender went away") from error
            raise
        finally:
            pace.stop()
        return await self._settle(partial)

    def _take(self, partial: Partial, piece: bytes, checksum: Any) -> None:
        self.store.write(partial, piece)
        if checksum is not None:
            checksum[0].update(piece)

    def _rest(self, partial: Partial, cut_to: int | None) -> None:
        if not partial.is_open:
            return
        if cut_to is not None:
            self.store.cut(partial, cut_to)
        self.store.rest(partial)

    async def _settle(self, partial: Partial) -> dict[str, str]:
        """Finish an upload that has all its bytes, else put it to rest; headers for either."""
        facts = partial.facts
        if not facts.is_done and partial.offset == facts.length:
            facts = await self._run(self.store.finish, partial)
        if facts.is_done and facts.sha256:
            digest = repr_digest(bytes.fromhex(facts.sha256))
            return {"Upload-Offset": str(facts.length), "Repr-Digest": digest, "Content-Location": f"/files/{facts.id}"}
        headers = {"Upload-Offset": str(partial.offset)} | self._expiry(partial)
        await self._run(self._rest, partial, None)
        return headers

    def _expiry(self, partial: Partial) -> dict[str, str]:
        return {"Upload-Expires": email.utils.formatdate(self.store.expires(partial.facts.id), usegmt=True)}

    def _turn(self, request: web.Request, upload_id: str) -> _Turn:
        return _Turn(self._locks, upload_id, request)

    def _answer(self, status: int, headers: dict[str, str]) -> web.Response:
        return web.Response(status=status, headers={"Tus-Resumable": VERSION, **headers})

    async def _run(self, function: Callable[..., Result], *arguments: object) -> Result:
        return await in_thread(self._executor, function, *arguments)


class _Turn:
    """Sole use of one upload; a later request for it ends an earlier one, whose connection is most likely dead.

    A board that was reset in mid-upload comes back at once, while its old connection still looks alive from here.
    """

    def __init__(self, turns: dict[str, _Turn], upload_id: str, request: web.Request) -> None:
        self._turns = turns
        self._id = upload_id
        self._request = request
        self._over = asyncio.Event()

    async def __aenter__(self) -> None:
        while (other := self._turns.get(self._id)) is not None:
            if other._request.transport is not None:
                other._request.transport.abort()
            try:
                await asyncio.wait_for(other._over.wait(), _TAKE_OVER_S)
            except (asyncio.TimeoutError, TimeoutError):
                raise Refused(423, "locked", "another connection is sending this upload", "try again") from None
        self._turns[self._id] = self

    async def __aexit__(self, *exception: object) -> None:
        del self._turns[self._id]
        self._over.set()


def parse_metadata(value: str) -> dict[str, str]:
    """Pairs of an `Upload-Metadata` header; raises `Refused` (400) for one that is damaged."""
    if len(value) > _MAX_METADATA:
        raise _bad(f"Upload-Metadata is longer than {_MAX_METADATA} characters", "shorten it")
    found: dict[str, str] = {}
    for pair in value.split(","):
        key, _, encoded = pair.strip().partition(" ")
        if not key:
            continue
        decoded = _base64(encoded.strip())
        if decoded is None or key in found:
            raise _bad("Upload-Metadata is damaged", "send each key once, followed by its value in base64")
        found[key] = decoded.decode("utf-8", "replace")
    return found


def _expected_digest(request: web.Request, metadata: dict[str, str]) -> str | None:
    """Hexadecimal SHA-256 that the sender says the whole file has: `Repr-Digest`, or `sha256` in the metadata."""
    if (digest := parse_repr_digest(request.headers.get("Repr-Digest", ""))) is not None:
        return digest.hex()
    if not (text := metadata.get("sha256", "")):
        return None
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise _bad("sha256 in Upload-Metadata is no digest", "send 64 hexadecimal digits")
    return text.lower()


def _number(request: web.Request, name: str) -> int:
    value = request.headers.get(name, "")
    if not (value.isascii() and value.isdigit() and len(value) <= 15):
        raise _bad(f"{name} is missing or no number", f"send {name}: BYTES")
    return int(value)


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _bad(cause: str, remedy: str) -> Refused:
    return Refused(400, "bad-request", cause, remedy)
