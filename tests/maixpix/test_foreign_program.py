"""`maixpix board --exec` on a chip that never shows a prompt: what people are told, and how soon."""

from __future__ import annotations

from pathlib import Path

import pytest

from maixpix.cli import run as maixpix

pytest.importorskip("unicorn", reason="the emulated chip needs the k210 extra")

# A jump to itself, then the mark of the SDK's start-up code: a K210 program, and not MaixPy.
FOREIGN = b"\x01\xa0\xef\xbe\xad\xde" + bytes(1018)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "foreign.bin"
    path.write_bytes(FOREIGN)
    return path


def test_a_foreign_program_is_named_as_the_reason(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert maixpix(["board", "--firmware", str(foreign), "--exec", "print(1)"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        "maixpix: no prompt appeared within 60 s of the board's time; "
        "foreign.bin is no MaixPy build: watch it without --exec and --run"
    )


def test_a_shorter_time_limit_counts_for_the_prompt_too(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert maixpix(["board", "--firmware", str(foreign), "--exec", "print(1)", "--timeout", "2"]) == 1
    assert "no prompt appeared within 2 s" in capsys.readouterr().err


def test_a_flash_that_was_kept_is_not_called_foreign(
    foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flash = tmp_path / "flash"
    assert maixpix(["board", "--firmware", str(foreign), "--flash", str(flash), "--exec", "1", "--timeout", "1"]) == 1
    capsys.readouterr()
    assert maixpix(["board", "--engine", "k210", "--flash", str(flash), "--exec", "print(1)"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "no prompt appeared" in said
    assert said.endswith("see what it prints: run it without --exec and --run")


def test_a_program_that_does_not_end_is_still_called_a_loop(capsys: pytest.CaptureFixture[str]) -> None:
    assert maixpix(["board", "--exec", "while True: pass", "--timeout", "3"]) == 1
    assert "did not end within 3 s of the board's time; raise --timeout, or look for a loop" in capsys.readouterr().err
