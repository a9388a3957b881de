"""`/update`: the software of this installation for boards that were deployed with a secret.

A board asks with its name and a random number, and gets the list of files of a version, sealed by HMAC-SHA256 with the
board's own secret (firmware/pix/update.py has the form). The files themselves are no secret and go to anybody who names
one by its digest. Off unless the companion was started with `--update`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from maixpix.board import bundle, own, update_keys
from maixpix.companion.problems import Refused
from maixpix.companion.requests import note
from maixpix.companion.respond import Representation, send
from maixpix.companion.settings import ServeSettings
from maixpix.companion.work import in_thread
from maixpix.errors import UserError

MAGIC = "maixpix-update 1"
FORMS = {"mpy": True, "py": False}

_NONCE = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Version:
    """One form of the software. `by_digest` has each file's content by its SHA-256 as hexadecimal digits."""

    name: str
    files: Mapping[str, bytes]
    by_digest: Mapping[str, bytes]

    @classmethod
    def of(cls, built: bundle.Bundle) -> Version:
        by_digest = {hashlib.sha256(data).hexdigest(): data for data in built.files.values()}
        return cls(built.files[bundle.VERSION].decode(), built.files, by_digest)


class UpdateDoor:
    """Request handlers. `build(mpy)` makes the software in that form, `state()` changes whenever it would differ."""

    def __init__(
        self,
        settings: ServeSettings,
        executor: Executor,
        build: Callable[[bool], bundle.Bundle] | None = None,
        state: Callable[[], object] | None = None,
    ) -> None:
        self._settings = settings
        self._executor = executor
        self._build = build or self._built
        self._state = state or self._files_state
        self._versions: dict[str, tuple[object, Version]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/update", self.listing), web.get("/update/file", self.file)]

    async def listing(self, request: web.Request) -> web.StreamResponse:
        """The sealed list for one board."""
        note(request, "the list of its software")
        name, nonce = request.query.get("board", ""), request.query.get("nonce", "")
        if not _NONCE.fullmatch(nonce):
            raise Refused(400, "bad-nonce", "no random number is told", "add nonce=, 16 hexadecimal digits")
        version = await self._version(request.query.get("form", ""))
        try:
            key = (await in_thread(self._executor, update_keys.keys)).get(name)
        except UserError as error:
            raise Refused(500, "keys", error.message, error.remedy) from None
        if key is None:
            raise Refused(403, "no-key", f"there is no secret of a board {name[:40]!r}", "maixpix deploy --update")
        body = sealed(version, name, nonce, key)
        found = Representation(body, len(body), hashlib.sha256(body).digest(), "text/plain")
        return await send(request, found, self._settings.http.write_s)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """One file by its digest."""
        digest = request.query.get("digest", "")
        version = await self._version(request.query.get("form", ""))
        data = version.by_digest.get(digest)
        if data is None:
            raise Refused(404, "not-found", "no file has that digest now", "ask for the list again")
        note(request, "a file of its software")
        found = Representation(data, len(data), bytes.fromhex(digest), "application/octet-stream")
        return await send(request, found, self._settings.http.write_s)

    async def _version(self, form: str) -> Version:
        if form not in FORMS:
            raise Refused(400, "bad-form", f"form={form[:20]!r} is not understood", "use mpy or py")
        try:
            return await in_thread(self._executor, self._current, form)
        except UserError as error:
            raise Refused(503, "software", error.message, error.remedy) from None

    def _current(self, form: str) -> Version:
        state = self._state()
        known = self._versions.get(form)
        if known is None or known[0] != state:
            known = self._versions[form] = state, Version.of(self._build(FORMS[form]))
        return known[1]

    def _built(self, mpy: bool) -> bundle.Bundle:
        return bundle.named(own.add(bundle.build(mpy=mpy), map(own.read, self._settings.update_apps)))

    def _files_state(self) -> object:
        root = bundle.source_root()
        paths = [*(root / "firmware").rglob("*.py"), *(root / "apps").glob("*.py")]
        for app in self._settings.update_apps:
            paths += [path for path in app.rglob("*") if path.is_file()] if app.is_dir() else [app]
        return sorted((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths)


def sealed(version: Version, board: str, nonce: str, key: bytes) -> bytes:
    """The list of `version` for that board and question."""
    lines = [MAGIC, f"nonce {nonce}", f"board {board}", f"version {version.name}"]
    for path, data in sorted(version.files.items()):
        lines.append(f"{hashlib.sha256(data).hexdigest()} {len(data)} {path}")
    text = "\n".join([*lines, f"end {len(version.files)}"]).encode() + b"\n"
    return text + b"hmac " + hmac.new(key, text, hashlib.sha256).hexdigest().encode() + b"\n"


def check_apps(paths: tuple[Path, ...]) -> None:
    """Raise UserError for an app that no board could run."""
    for path in paths:
        own.read(path)
