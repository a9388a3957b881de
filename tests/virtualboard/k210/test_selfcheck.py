"""Unicorn as the engine needs it, and what users of another Unicorn are told."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator

import pytest
import unicorn
from unicorn import riscv_const as reg

from maixpix.errors import UserError
from maixpix.virtual.live import LiveBoard, LiveOptions
from virtualboard.board import Board
from virtualboard.k210 import selfcheck

REMEDY = rf"unicorn {unicorn.__version__} .*tested with unicorn 2\.1\.4: install it with: pip install unicorn==2\.1\.4"


class Altered:
    """Unicorn's engine with some methods of another version."""

    def __init__(self, real: type, **changes: Callable) -> None:
        self._real = real
        self._changes = changes

    def __call__(self, *mode: int) -> unicorn.Uc:
        uc = self._real(*mode)
        for name, change in self._changes.items():
            setattr(uc, name, types.MethodType(change, uc))
        return uc


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """`check` without what it remembers, before and after."""
    selfcheck.check.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    selfcheck.check.cache_clear()
    assert selfcheck.check().limit == selfcheck.check().counter + 8


def refusal(part: str) -> None:
    with pytest.raises(selfcheck.UnicornUnsuitable, match=REMEDY) as caught:
        selfcheck.check()
    assert part in str(caught.value)


def test_no_visible_counter(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(selfcheck, "_SEARCH_WORDS", 2)
    refusal("instruction counter")


def test_no_binding_underneath(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(selfcheck, "binding", None)
    refusal("no unicorn.unicorn_py3")


@pytest.mark.parametrize("name", selfcheck._BINDING_NAMES)
def test_a_name_of_the_binding_that_went(fresh: pytest.MonkeyPatch, name: str) -> None:
    fresh.delattr(selfcheck.binding, name)
    refusal(f"lacks {name}")


def test_a_method_of_the_engine_that_went(fresh: pytest.MonkeyPatch) -> None:
    for kind in unicorn.Uc.__mro__:
        if "_do_reg_read_batch" in vars(kind):
            fresh.delattr(kind, "_do_reg_read_batch")
    refusal("lacks _do_reg_read_batch")


def test_no_hook_for_protected_pages(fresh: pytest.MonkeyPatch) -> None:
    fresh.delattr(unicorn, "UC_HOOK_MEM_WRITE_PROT")
    refusal("lacks UC_HOOK_MEM_WRITE_PROT")


def test_a_store_that_ends_the_run_although_its_hook_allows_it(fresh: pytest.MonkeyPatch) -> None:
    real = unicorn.Uc

    def hook_add(uc: unicorn.Uc, kind: int, callback: Callable, *rest: object) -> int:
        refuse = kind == unicorn.UC_HOOK_MEM_WRITE_PROT
        return real.hook_add(uc, kind, (lambda *a: callback(*a) and False) if refuse else callback, *rest)

    fresh.setattr(unicorn, "Uc", Altered(real, hook_add=hook_add))
    refusal("does not go on after a store to a read-only page")


def test_code_that_goes_on_running_although_it_was_written_over(fresh: pytest.MonkeyPatch) -> None:
    real = unicorn.Uc

    def reg_read(uc: unicorn.Uc, which: int, *rest: object) -> int:
        return 2 if which == reg.UC_RISCV_REG_X28 else real.reg_read(uc, which, *rest)

    fresh.setattr(unicorn, "Uc", Altered(real, reg_read=reg_read))
    refusal("goes on running code that was written over")


def test_registers_that_are_not_in_a_copy_of_a_context(fresh: pytest.MonkeyPatch) -> None:
    real = unicorn.Uc

    def reg_write(uc: unicorn.Uc, which: int, value: int, *rest: object) -> None:
        if which != reg.UC_RISCV_REG_X0 + 19:
            real.reg_write(uc, which, value, *rest)

    fresh.setattr(unicorn, "Uc", Altered(real, reg_write=reg_write))
    refusal("does not show its registers")


def test_a_copy_of_a_context_that_shows_others(fresh: pytest.MonkeyPatch) -> None:
    real = unicorn.Uc

    def reg_read(uc: unicorn.Uc, which: int, *rest: object) -> int:
        return real.reg_read(uc, which, *rest) + 4 * (which == reg.UC_RISCV_REG_PC)

    fresh.setattr(unicorn, "Uc", Altered(real, reg_read=reg_read))
    refusal("shows registers in its copies of a context that it does not have")


def test_a_run_that_does_not_stop_at_its_lowered_limit(fresh: pytest.MonkeyPatch) -> None:
    # Devices that are plain memory never lower a limit: the run goes on.
    real = unicorn.Uc
    fresh.setattr(unicorn, "Uc", Altered(real, mmio_map=lambda uc, base, size, *_rest: real.mem_map(uc, base, size)))
    refusal("does not stop after the instruction that lowered its limit")


def test_a_load_that_is_lost_when_it_ends_the_run(fresh: pytest.MonkeyPatch) -> None:
    real = unicorn.Uc

    def reg_read(uc: unicorn.Uc, which: int, *rest: object) -> int:
        return 0 if which == reg.UC_RISCV_REG_X7 else real.reg_read(uc, which, *rest)

    fresh.setattr(unicorn, "Uc", Altered(real, reg_read=reg_read))
    refusal("loses the result of a load")


def test_a_trap_that_is_told_otherwise(fresh: pytest.MonkeyPatch) -> None:
    real = unicorn.Uc

    def hook_add(uc: unicorn.Uc, kind: int, callback: Callable, *rest: object) -> int:
        if kind == unicorn.UC_HOOK_INTR:
            return real.hook_add(uc, kind, lambda u, number, data: callback(u, 11, data), *rest)
        return real.hook_add(uc, kind, callback, *rest)

    fresh.setattr(unicorn, "Uc", Altered(real, hook_add=hook_add))
    refusal("reports an ecall as [(11, ")


def test_status_bits_that_do_not_stick(fresh: pytest.MonkeyPatch) -> None:
    real = unicorn.Uc

    def reg_write(uc: unicorn.Uc, which: int, value: int, *rest: object) -> None:
        real.reg_write(uc, which, value & ~0x80 if which == reg.UC_RISCV_REG_MSTATUS else value, *rest)

    fresh.setattr(unicorn, "Uc", Altered(real, reg_write=reg_write))
    refusal("does not keep MIE, MPIE and MPP")


def test_the_command_says_it_in_one_line(fresh: pytest.MonkeyPatch, board: Board) -> None:
    fresh.setattr(selfcheck, "binding", None)
    with pytest.raises(UserError, match=r"pip install unicorn==2\.1\.4"):
        LiveBoard(LiveOptions(engine="k210", isp=True))
