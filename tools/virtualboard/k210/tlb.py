"""Which pages of a core's memory hold code: found out as they are fetched from, so that stores elsewhere are quick.

Left to itself, Unicorn takes every page of a core in machine mode for code, and sends each store through a helper that
looks for translations of what is written over: 35 ns instead of 5. Asked for each page as it comes into use, the answer
here is "no code" until the core fetches an instruction from it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from typing import Any

import unicorn

_DATA = unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE


class _Entry(ctypes.Structure):
    """`uc_tlb_entry` of unicorn.h."""

    _fields_ = (("paddr", ctypes.c_uint64), ("perms", ctypes.c_int))


_FILL = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int, ctypes.POINTER(_Entry), ctypes.c_void_p
)


def install(library: Any, uc: Any, slow: Collection[int] = ()) -> object:
    """Answer for the pages of `uc`; the returned object must live as long as `uc`. `library` is the binding's `uclib`.

    The page addresses in `slow` count as code from the beginning: stores to them keep coming to the hooks of protected
    pages, which a quick store would pass by. Raises `unicorn.UcError`.
    """
    code = set(slow)
    fetch, everything = unicorn.UC_MEM_FETCH, unicorn.UC_PROT_ALL

    def fill(_handle: int, page: int, access: int, entry: Any, _data: int) -> bool:
        if access == fetch:
            code.add(page)
        found = entry[0]
        found.paddr = page
        found.perms = everything if page in code else _DATA
        return True

    uc.ctl_set_tlb_mode(unicorn.UC_TLB_VIRTUAL)
    callback = _FILL(fill)
    add_hook(library, uc, unicorn.UC_HOOK_TLB_FILL, callback)
    return callback


def add_hook(library: Any, uc: Any, kind: int, callback: Any, first: int = 1, last: int = 0) -> None:
    """`uc.hook_add` for a C function of ctypes, called without the binding in between, from `first` to `last`.

    Everywhere unless told otherwise: a range that ends before it begins has no bounds. Raises `unicorn.UcError`.
    """
    number = ctypes.c_size_t()
    address = ctypes.cast(callback, ctypes.c_void_p)
    bounds = ctypes.c_uint64(first), ctypes.c_uint64(last)
    status = library.uc_hook_add(uc._uch, ctypes.byref(number), kind, address, None, *bounds)
    if status != unicorn.UC_ERR_OK:
        raise unicorn.UcError(status)
