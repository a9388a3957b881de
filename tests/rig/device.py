"""Runs modules of firmware/pix on CPython, with a card of the virtual board under them.

Each `Device` has modules of its own: nothing is left in `sys.modules`. MaixPy's modules are played by thin
equivalents of CPython's; files are those of `virtualboard.card.card` with FatFs's rules, and power can be cut at any
file operation.
"""

import array
import binascii
import builtins
import functools
import gc
import hashlib
import json
import os
import time
import types
from pathlib import Path

from rig.garbage import set_aside
from virtualboard.card.card import SdCard
from virtualboard.clock import Clock
from virtualboard.hosted.streams import BytesIO

PIX = Path(__file__).resolve().parents[2] / "firmware" / "pix"


@functools.cache
def pix_code(name):
    """The code of pix.`name`, compiled once for all boards of this process."""
    path = PIX / f"{name}.py"
    return compile(path.read_text(encoding="utf-8"), str(path), "exec")


class PowerCut(BaseException):
    """Nothing runs any more; no device code can catch it."""


class Device:
    """A board without screen and modem: `load("fetch")` gives pix.fetch, `folder` is the card on the host."""

    def __init__(self, folder, capacity=64 << 20):
        set_aside()
        self.folder = folder
        self.clock = Clock()
        self.card = SdCard(self.clock, folder, capacity=capacity)
        self.card.files.mount()
        self.pauses = []
        self.skipped_ms = 0
        self.operations = []
        self.cut_at = None
        self._modules = {}
        self.package = types.SimpleNamespace(
            home="/sd", slot="", version="", trial=False, BYTE_CODE=False, forget=lambda *names: None
        )
        self.system = {
            "gc": gc,
            "array": types.SimpleNamespace(array=array.array),
            "machine": types.SimpleNamespace(reset=self.step_reset),
            "micropython": types.SimpleNamespace(const=lambda value: value),
            "uio": types.SimpleNamespace(BytesIO=BytesIO),
            "ubinascii": binascii,
            "ujson": json,
            "uhashlib": types.SimpleNamespace(sha256=_Sha256),
            "uos": _Uos(self),
            "utime": types.SimpleNamespace(
                ticks_ms=self.ticks_ms, ticks_diff=lambda a, b: a - b, ticks_add=lambda a, b: a + b, sleep_ms=self.sleep
            ),
        }
        self._builtins = {**vars(builtins), "open": self.open, "__import__": self._import}
        self.PixError = self.load("errors").PixError

    def load(self, name):
        full = "pix." + name
        if full not in self._modules:
            module = types.ModuleType(full)
            module.__dict__["__builtins__"] = self._builtins
            self._modules[full] = module
            exec(pix_code(name), module.__dict__)
        return self._modules[full]

    def ticks_ms(self):
        return time.monotonic_ns() // 1_000_000 + self.skipped_ms

    def sleep(self, ms):
        """Pauses cost no time of ours."""
        self.pauses.append(ms)
        self.skipped_ms += ms

    def step_reset(self):
        """machine.reset()"""
        raise PowerCut

    def restart(self):
        """Power comes back: the same card, fresh modules and memory."""
        self.card.power_loss()
        board = Device.__new__(Device)
        board.__init__(self.folder)
        return board

    def step(self, name):
        """Every change of the card passes here first."""
        if self.cut_at is not None and len(self.operations) >= self.cut_at:
            raise PowerCut
        self.operations.append(name)

    def listing(self):
        return {entry.name: entry.read_bytes() for entry in sorted(self.folder.iterdir())}

    def open(self, path, mode="r"):
        if any(c in mode for c in "wxa+"):
            self.step("open " + mode)
        return _File(self, self.card.files.open(card_path(path), mode))

    def _import(self, name, globals=None, locals=None, fromlist=None, level=0):
        if name == "pix" and not fromlist:
            return self.package
        if name == "pix":
            return types.SimpleNamespace(**{item: self.load(item) for item in fromlist})
        if name.startswith("pix."):
            assert fromlist, "import pix.x is not used in pix"
            return self.load(name[4:])
        return self.system[name]


class _Uos:
    def __init__(self, device):
        self._device = device

    def _change(name):
        def call(self, *paths):
            self._device.step(name)
            return getattr(self._device.card.files, name)(*[card_path(path) for path in paths])

        return call

    def _look(name):
        def call(self, path):
            return getattr(self._device.card.files, name)(card_path(path))

        return call

    remove = _change("remove")
    rename = _change("rename")
    mkdir = _change("mkdir")

    def urandom(self, count):
        return os.urandom(count)

    stat = _look("stat")
    statvfs = _look("statvfs")
    ilistdir = _look("ilistdir")


class _File:
    """An open file; after the power cut it does nothing any more."""

    def __init__(self, device, handle):
        self._device = device
        self._handle = handle

    def __getattr__(self, name):
        return getattr(self._handle, name)

    def write(self, data):
        self._device.step("write")
        return self._handle.write(data)

    def flush(self):
        self._device.step("flush")
        self._handle.flush()

    def close(self):
        if self._handle.modified:
            self._device.step("close")
        self._handle.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


class _Sha256:
    """The chip's hasher gives its digest once (MaixPy-v1 moduhashlib_maixpy.c)."""

    def __init__(self, data=b""):
        self._hash = hashlib.sha256(data)

    def update(self, data):
        self._hash.update(data)

    def digest(self):
        digest = self._hash.digest()
        del self._hash
        return digest


def card_path(path):
    assert path == "/sd" or path.startswith("/sd/"), path
    return path[3:] or "/"
