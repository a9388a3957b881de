"""Where a version is installed: the file system of a board behind its REPL, or a mounted card.

Both do the same few things; `install` builds on them. Paths are relative to the place ("maixpix/a/pix/log.mpy").
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from maixpix.board import bundle
from maixpix.board.link import COMMAND_LIMIT, BoardError, Link
from maixpix.errors import UserError

DEMO_MARK = b"Welcome to MaixPy"
"""In the main.py that MaixPy writes by itself where there is none (MaixPy-v1 _boot.py)."""


class Place(Protocol):
    """File operations of a card or flash file system; they raise UserError with cause and remedy."""

    name: str
    flat: bool

    def scan(self, folder: str) -> dict[str, str]:
        """Files under `folder` by their path in it, with the first 16 digits of their SHA-256; {} when absent."""

    def read(self, path: str) -> bytes | None:
        """Contents, or None when there is no such file."""

    def write(self, path: str, data: bytes) -> None:
        """Create or overwrite a file, folders included."""

    def copy(self, source: str, target: str) -> None:
        """Copy a file within the place, without the line between."""

    def remove(self, path: str) -> None:
        """Remove a file; one that is absent is fine."""

    def rename(self, source: str, target: str) -> None:
        """Rename a file, replacing `target`."""

    def move(self, source: str, target: str) -> None:
        """As `rename`, into a folder that need not be there yet."""

    def patch(self, path: str, data: bytes) -> None:
        """Overwrite the bytes of a file of the same length in place."""

    def free(self) -> int:
        """Free bytes, as far as the file system tells."""


# Runs once a session. The flash has no folders and lists all its files whatever is asked, so one function serves both.
# A serial line has no checksum: `_x` runs a command only as it was sent, and proves what the command has told by `_p`.
_HELPERS = """
import uos
from ubinascii import hexlify,a2b_base64,b2a_base64,crc32
from uhashlib import sha256
def _x(n,s):
 global _z
 if crc32(s)&0xffffffff!=n:print('damaged');return
 _z=0;exec(s,globals());print('=%d'%(_z&0xffffffff))
def _p(*l):
 global _z
 s=' '.join([str(e) for e in l]);_z=crc32(s,_z);print('='+s)
def _h(p):
 h=sha256();b=bytearray(1024);m=memoryview(b)
 with open(p,'rb') as f:
  while 1:
   n=f.readinto(b)
   if not n:break
   h.update(m[:n])
 return hexlify(h.digest())[:16].decode()
def _t(r,s=''):
 try:l=list(uos.ilistdir(r))
 except OSError:return
 for e in l:
  if e[1]&0x4000:_t(r+'/'+e[0],s+e[0]+'/')
  else:_p(s+e[0],_h(r+'/'+e[0]))
def _f(r,s):
 for e in uos.ilistdir(r):
  if e[0].startswith(s):_p(e[0][len(s):],_h(r+'/'+e[0]))
def _d(p):
 try:uos.remove(p)
 except OSError:pass
def _c(a,b):
 m=bytearray(1024)
 with open(a,'rb') as f:
  with open(b,'wb') as g:
   while 1:
    n=f.readinto(m)
    if not n:break
    g.write(memoryview(m)[:n])
"""


_TRIES = 3


class _Damaged(UserError):
    """A command or its answer did not come through the line as it was."""


class BoardPlace:
    """The card ("/sd") or flash ("/flash") of a board."""

    def __init__(self, link: Link, root: str) -> None:
        self.link = link
        self.root = root
        self.name = "the card" if root == "/sd" else "the flash"
        self.flat = root == "/flash"
        self._folders: set[str] = set()
        if "places" not in link.prepared:
            for part in _in_pieces(_HELPERS):
                link.run(part)
            link.prepared.add("places")

    def scan(self, folder: str) -> dict[str, str]:
        if self.flat:
            lines = self._learn(f"_f({self.root!r},{folder + '/'!r})", timeout_s=30)
        else:
            lines = self._learn(f"_t({self.root + '/' + folder!r})", timeout_s=30)
        found = {}
        for line in lines:
            path, _, digest = line.rpartition(" ")
            if path:
                found[path.lower()] = digest
        return found

    def read(self, path: str) -> bytes | None:
        full = f"{self.root}/{path}"
        if self._learn(f"try:_p(uos.stat({full!r})[6])\nexcept OSError:_p(-1)") == ["-1"]:
            return None
        lines = self._learn(
            f"f=open({full!r},'rb')\nwhile 1:\n b=f.read(384)\n if not b:break\n"
            " _p(b2a_base64(b).decode().strip())\nf.close()"
        )
        return b"".join(base64.b64decode(line) for line in lines)

    def write(self, path: str, data: bytes) -> None:
        self._make_folders(path)
        try:
            self._do(f"f=open({self.root + '/' + path!r},'wb');w=f.write")
            for text, piece in self.link.stream(data):
                # A line that changes a letter of it must not get it under its name.
                told = self.link.run(f"d={text}\nprint(w(d),crc32(d)&0xffffffff)").split()
                if told[:1] in ([], ["None"]):
                    raise UserError(f"{self.name} took no data for {path}", "check it on a PC")
                if told != [str(len(piece)), str(zlib.crc32(piece))]:
                    self._abandon(path)
                    raise UserError(f"{path} did not arrive whole on {self.name}", "run the command again")
        except BoardError as error:
            raise self._failed(error, path) from None
        self._do("f.close()")

    def copy(self, source: str, target: str) -> None:
        self._make_folders(target)
        try:
            self._do(f"_c({self.root + '/' + source!r},{self.root + '/' + target!r})", timeout_s=30)
        except BoardError as error:
            raise self._failed(error, target) from None

    def remove(self, path: str) -> None:
        self._do(f"_d({self.root + '/' + path!r})")

    def rename(self, source: str, target: str) -> None:
        # FAT cannot replace by renaming; both steps go in one command, so a cut cable cannot come between. A power loss
        # can: settings are then completed by the board itself (pix/start.py), and without a main.py MaixPy writes its
        # demo, which the next deployment replaces.
        old, new = f"{self.root}/{target}", f"{self.root}/{source}"
        self._do(f"_d({old!r})\nuos.rename({new!r},{old!r})")

    def move(self, source: str, target: str) -> None:
        self._make_folders(target)
        self.rename(source, target)

    def patch(self, path: str, data: bytes) -> None:
        # All of the data arrives before the command runs, so a cut cable cannot tear it; and what the line has damaged
        # is not written over what was good.
        ((text, _),) = self.link.stream(data)
        self._do(f"d={text}\nf=open({self.root + '/' + path!r},'r+b')\nf.write(d)\nf.close()")

    def free(self) -> int:
        ((block, free),) = (line.split() for line in self._learn(f"s=uos.statvfs({self.root!r})\n_p(s[0],s[3])"))
        return int(block) * int(free)

    def try_import(self, folder: str) -> None:
        """Import pix's errors, which needs no other file, from the version in `folder`.

        Raises BoardError when the board cannot use what is there ("ValueError: incompatible .mpy file").
        """
        # As a top-level module: the package itself would set memory aside. SPIFFS wants relative entries in sys.path.
        path, name = (folder, "pix_errors") if self.flat else (f"{folder}/pix", "errors")
        self.link.run(
            f"import sys,uos\nuos.chdir({self.root!r})\nsys.path.insert(0,{path!r})\n"
            f"try:__import__({name!r})\nfinally:sys.path.pop(0)\ndel sys.modules[{name!r}]"
        )

    def _do(self, code: str, timeout_s: float = 10) -> list[str]:
        """Run `code` on the board as it stands here, or not at all, and return the lines that it has told by `_p`."""
        text = self.link.run(f"_x({zlib.crc32(code.encode())},{code!r})", timeout_s=timeout_s)
        # MaixPy's own code prints in between ("[MaixPy]:SPIFFS Error Code -10002").
        told = [line[1:].rstrip("\r") for line in text.split("\n") if line.startswith("=")]
        *lines, proof = told or [""]
        if proof != str(zlib.crc32("".join(lines).encode())):
            raise _Damaged("the serial line changes what goes over it", "use a shorter cable, run the command again")
        return lines

    def _learn(self, code: str, timeout_s: float = 10) -> list[str]:
        """The same for `code` that changes nothing: a few times, until it has come through."""
        for _ in range(_TRIES - 1):
            with contextlib.suppress(_Damaged):
                return self._do(code, timeout_s)
        return self._do(code, timeout_s)

    def _make_folders(self, path: str) -> None:
        if self.flat:
            return
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if folder not in self._folders:
                full = f"{self.root}/{folder}"
                self._do(f"try:uos.mkdir({full!r})\nexcept OSError as e:\n if e.args[0]!=17:raise")
                self._folders.add(folder)

    def _failed(self, error: BoardError, path: str) -> UserError:
        """The error for a file that could not be written; what there is of it is removed."""
        self._abandon(path)
        # A full card says ENOSPC; a full SPIFFS says EIO to a write and ENOENT to any open that fails.
        if error.number not in (5, 28) and not (self.flat and error.number == 2):
            return error
        full = "full" if error.number == 28 or self.flat else "full or damaged"
        return UserError(f"{self.name} is {full}, {path} was not written", "remove files from it, or use another card")

    def _abandon(self, path: str) -> None:
        try:
            self._do(f"try:f.close()\nexcept OSError:pass\n_d({self.root + '/' + path!r})")
        except UserError:
            return  # the board is gone; what is there is part of no version


_PRIVATE = ("pix.json", "pix.new")


class FolderPlace:
    """A mounted card."""

    flat = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder)

    def scan(self, folder: str) -> dict[str, str]:
        base = self.folder / folder
        return {
            path.relative_to(base).as_posix().lower(): bundle.digest(path.read_bytes())
            for path in sorted(base.rglob("*"))
            if path.is_file()
        }

    def read(self, path: str) -> bytes | None:
        try:
            return (self.folder / path).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, path: str, data: bytes) -> None:
        target = self.folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Settings hold the network's key and the token: on a file system that knows modes they are the owner's.
            mode = 0o600 if path in _PRIVATE else 0o666
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
            with os.fdopen(os.open(target, flags, mode), "wb") as file:
                if path in _PRIVATE and hasattr(os, "fchmod"):
                    with contextlib.suppress(OSError):  # FAT knows no modes
                        os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                if hasattr(os, "posix_fadvise"):
                    # Whoever reads it back is to get it from the card, not from this PC's memory.
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise UserError(f"cannot write {target}: {error.strerror}", _card_remedy(error)) from None

    def copy(self, source: str, target: str) -> None:
        self.write(target, (self.folder / source).read_bytes())

    def remove(self, path: str) -> None:
        (self.folder / path).unlink(missing_ok=True)

    def rename(self, source: str, target: str) -> None:
        (self.folder / source).replace(self.folder / target)

    def move(self, source: str, target: str) -> None:
        try:
            (self.folder / target).parent.mkdir(parents=True, exist_ok=True)
            self.rename(source, target)
        except OSError as error:
            raise UserError(f"cannot write {self.folder / target}: {error.strerror}", _card_remedy(error)) from None

    def patch(self, path: str, data: bytes) -> None:
        with (self.folder / path).open("r+b") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def free(self) -> int:
        return shutil.disk_usage(self.folder).free


def sizes(files: Mapping[str, bytes], cluster: int = 32 * 1024) -> int:
    """Bytes that `files` take on a card with clusters of `cluster` bytes (32 KiB is the largest usual one)."""
    return sum(-(-len(data) // cluster) * cluster for data in files.values())


def _in_pieces(code: str) -> list[str]:
    """Split top-level code at unindented lines into commands that fit the console's ring."""
    pieces, piece = [], ""
    for block in code.strip().replace("\n ", "\0").split("\n"):
        block = block.replace("\0", "\n ") + "\n"
        if len(piece) + len(block) > COMMAND_LIMIT:
            pieces.append(piece)
            piece = ""
        piece += block
    return [*pieces, piece]


def _card_remedy(error: OSError) -> str:
    if error.errno == 28:
        return "remove files from the card"
    return "is the card write-protected or mounted read-only?"
