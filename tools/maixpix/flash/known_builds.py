"""Digests of official MaixPy builds that this project has seen, by the name of the file.

The download site has neither digests nor signatures. A file that carries one of these names must be this very file,
also over plain http and from any mirror; a build that is not listed can only be "first seen".
"""

from __future__ import annotations

SHA256 = {
    "maixpy_v0.5.1_106_g6d66d6e_minimum_with_ide_support.bin": (
        "a2f6ce820db5b3a60fbbdb3b18395bbcd43344962feed5cf4be56b74ad28c9b2"
    ),
    "maixpy_v0.6.2_15_g0118a9a77.bin": "5f016843802865f2e232149d1ce2d8ae55704cfcb133cce335cc0e0467514e40",
    "maixpy_v0.6.2_44_gd9dc6c58c_minimum_with_ide_support.bin": (
        "42b08175c0cbb97af470c2decb6f85c8bb2f116b3dcbeaacfc7321fe2eacd5c5"
    ),
}
