"""Is a file a neural network that a board's firmware can load?

Header of version 3 (Kendryte standalone SDK kpu.h, `kpu_model_header_t`): seven 32-bit words, little-endian: version 3,
flags, arch, layers, highest address, main memory, outputs; then 8 bytes an output, 8 bytes a layer (type, size of its
body), then the bodies. Version 4 (nncase 0.2) begins with the word 'KMDL' and its version.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from maixpix.errors import UserError

BUILDS = {"minimum": (3,), "minimum-v4": (3, 4), "full": (3, 4)}
"""Model versions that the kinds of MaixPy builds load (MaixPy-v1 config_defaults.mk)."""

SUFFIX = ".kmodel"
"""KPU.load refuses any path without it (MaixPy-v1 Maix_kpu.c), so these names are longer than 8.3."""

_HEADER = struct.Struct("<7I")
_MOST = 4096


@dataclass(frozen=True)
class Model:
    """`version` is 3 or 4; `layers` is 0 where the format does not tell."""

    version: int
    layers: int = 0


def read_model(data: bytes, name: str) -> Model:
    """Raises `UserError` for what is no model, or only a piece of one."""
    if data[:4] in (b"LDMK", b"KMDL"):
        (version,) = struct.unpack_from("<I", data.ljust(8, b"\0"), 4)
        return Model(version)
    if len(data) < _HEADER.size or data[:4] != b"\x03\0\0\0":
        raise UserError(f"{name} is no kmodel", "check where it comes from")
    _, _, arch, layers, _, _, outputs = _HEADER.unpack_from(data)
    start = _HEADER.size + 8 * outputs
    if arch != 0 or not 0 < layers <= _MOST or not 0 < outputs <= _MOST or len(data) < start + 8 * layers:
        raise UserError(f"{name} is no kmodel for the K210, or cut off", "download it again")
    bodies = sum(size for _, size in struct.iter_unpack("<II", data[start : start + 8 * layers]))
    missing = start + 8 * layers + bodies - len(data)
    if missing > 0:
        raise UserError(f"{name} is cut off: {missing:,} bytes of its layers are missing", "download it again")
    return Model(3, layers)


def check_model(data: bytes, name: str, build: str) -> Model:
    """Raises `UserError` unless the firmware build (a key of `BUILDS`, "" if unknown) loads the model in `data`."""
    model = read_model(data, name)
    if build and model.version not in BUILDS[build]:
        raise UserError(
            f"{name} is a kmodel of version {model.version}, which {build} builds of MaixPy do not load",
            "use a full build, or convert the network to version 3 (nncase 0.1)",
        )
    return model
