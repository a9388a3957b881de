"""The scripted server of software: sealed lists and files, and all the ways in which it gives out what it must not.

Whatever it does, a board with its own secret can find out: the list is sealed over the board's name and question, each
file has its digest there. A version that is sealed rightly and does not work is one of its ways, too.
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from maixpix.board import bundle, install
from maixpix.board.places import Place
from maixpix.companion.updates import Version, sealed
from maixpix.torture import easel
from maixpix.torture.scenario import UPDATE_KEY, Lie
from maixpix.torture.talk import Do, Request, Step, head

OLD, NEXT, LAST, BAD = "old", "next", "last", "bad"
"""The version in the other folder, two better ones, and one that crashes; what runs at first is called ""."""

CRASH = "this version is bad"
"""What the bad one says when it crashes."""


@cache
def version(name: str) -> Version:
    """A version by its name; "" is what runs at first."""
    built = easel.software(byte_code=True)
    if not name:
        return Version.of(built)
    files = dict(built.files)
    rng = random.Random(name)
    # One of its modules as source, so that another text runs; files of every size beside it.
    del files["pix/led.mpy"]
    text = bundle.device_text(bundle.source_root(), "pix/led.py") or ""
    files["pix/led.py"] = f"{text}# {name}\n".encode()
    files["own/mine/mine.py"] = b"TEXT = %r\n" % base64.b64encode(rng.randbytes(700))
    files["own/mine/data.txt"] = base64.b64encode(rng.randbytes(3000))
    files["apps/more.py"] = b"NAME = %r\n" % name.encode()
    if name == BAD:
        del files["apps/frame.mpy"]
        files["apps/frame.py"] = f"raise ValueError({CRASH!r})\n".encode()
    return Version.of(bundle.named(replace(built, files=files)))


def put(place: Place, name: str) -> None:
    """Deploy the version `name`, without what others had beside it."""
    built = bundle.Bundle(version(name).files, easel.software(byte_code=True).loader, compiled=True)
    install.install(place, built, without=["mine"])


class Software:
    """The server. `last`: it offers its last version, and everything rightly, from now on; `offered` are the names of
    those whose list was sealed for this board's question."""

    def __init__(self) -> None:
        self.last = False
        self.offered: list[str] = []
        self._old_list = b""

    def steps(self, request: Request, lie: Lie | None) -> Iterator[Step]:
        """What is answered to `request`."""
        do = lie.do if lie is not None else ""
        if do in ("500", "404"):
            yield head(f"{do} No", ("Content-Length", 0))
        elif do == "silent":
            yield Do.STAY
        else:
            if do == "slow":
                yield 6000
            told, data = self._found(request, do, random.Random(repr(lie)))
            if told is None:
                yield head("404 Not Found", ("Content-Length", 0))
                return
            said = head("200 OK", ("Content-Type", "text/plain"), ("Content-Length", len(data))) + data
            yield said[: len(said) // 2] if do == "reset" else said
            if do == "reset":
                yield Do.RESET

    def _found(self, request: Request, do: str, rng: random.Random) -> tuple[str | None, bytes]:
        """("list", "file" or None, content)."""
        path, _, query = request.path.partition("?")
        asked = dict(re.findall(r"(\w+)=([^&\s]+)", query))
        offer = BAD if do == "bad-version" else LAST if self.last else NEXT
        if path == "/update":
            return "list", self._list(asked, do, offer, rng)
        if path != "/update/file":
            return None, b""
        for name in (NEXT, LAST, BAD):
            data = version(name).by_digest.get(asked.get("digest", ""))
            if data is not None:
                return "file", _damaged(data, do, "file", rng)
        return None, b""

    def _list(self, asked: dict[str, str], do: str, offer: str, rng: random.Random) -> bytes:
        found, key = version(offer), bytes.fromhex(UPDATE_KEY)
        board, nonce = asked.get("board", ""), asked.get("nonce", "")
        if do == "forged":
            key = rng.randbytes(32)
        elif do == "replayed":
            self._old_list = self._old_list or sealed(found, board, "0" * 16, key)
            return self._old_list
        elif do == "other-board":
            board = "another"
        elif do == "evil-path":
            path = rng.choice(["../main.py", "main.py", "pix/../../pix.json", "boot.py", "pix/longername.py", "ready"])
            found = Version(found.name, {**found.files, path: b"bad"}, {})
        elif do == "many-files":
            found = Version(found.name, {f"own/x/f{n}.py": b"" for n in range(200)}, {})
        elif do == "long-list":
            found = Version(found.name, {f"own/{'x' * 8}/{n:08}.py": b"" for n in range(400)}, {})
        if do not in ("forged", "replayed", "other-board", "evil-path", "many-files", "long-list"):
            self.offered.append(offer)
        return _damaged(sealed(found, board, nonce, key), do, "list", rng)


def _damaged(data: bytes, do: str, what: str, rng: random.Random) -> bytes:
    """`data` with what the lie `do` does to a `what`, "list" or "file"."""
    at = rng.randrange(max(1, len(data)))
    if do == f"flipped-{what}":
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if do == f"torn-{what}":
        return data[:at]
    return rng.randbytes(len(data)) if do == f"other-{what}" else data


def chosen(files: dict[str, bytes]) -> tuple[str, bytes]:
    """(folder, state) of the version that the loader would start from a card with `files`; ("", b"") for none."""
    best = b"", ""
    for slot in install.SLOTS:
        ready = files.get(f"{install.HOME}/{slot}/{install.READY}", b"")
        if ready[9:] > b"0":
            best = max(best, (ready, f"{install.HOME}/{slot}"))
    return best[1], best[0][9:]


def whole(files: dict[str, bytes], slot: str) -> str | None:
    """The name of the version in the folder `slot`, byte by byte; None when it is none of them."""
    there = {
        path.removeprefix(slot + "/"): hashlib.sha256(data).digest()
        for path, data in files.items()
        if path.startswith(slot + "/") and not path.endswith("/" + install.READY)
    }
    for name in ("", OLD, NEXT, LAST, BAD):
        if there == _digests(name):
            return name
    return None


@cache
def _digests(name: str) -> dict[str, bytes]:
    return {path: hashlib.sha256(data).digest() for path, data in version(name).files.items()}
