"""Trap causes and interrupt bits of the RISC-V privileged specification 1.9.1, and Unicorn's errors as traps."""

from __future__ import annotations

import unicorn

MSIP, MTIP, MEIP = 1 << 3, 1 << 7, 1 << 11
CAUSES = ((MEIP, 11), (MSIP, 3), (MTIP, 7))
INTERRUPT = 1 << 63

FAULTS = {
    unicorn.UC_ERR_FETCH_UNMAPPED: 1,
    unicorn.UC_ERR_FETCH_PROT: 1,
    unicorn.UC_ERR_INSN_INVALID: 2,
    unicorn.UC_ERR_READ_UNMAPPED: 5,
    unicorn.UC_ERR_READ_PROT: 5,
    unicorn.UC_ERR_WRITE_UNMAPPED: 7,
    unicorn.UC_ERR_WRITE_PROT: 7,
}
