"""Snapshots: a bare-metal program goes on where it was stopped; files that are none are refused."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rig.asm import assemble
from rig.patience import patient
from virtualboard.board import Board, BoardConfig
from virtualboard.clock import MS, SECOND
from virtualboard.k210 import snapshot
from virtualboard.k210.engine import K210Engine

IDENTITY = {"firmware": "ours"}
COUNTER = assemble(
    """
    csrr t0, mhartid
park: bne t0, zero, park
    li t1, 0x80100000
loop: ld t2, 0(t1)
    addi t2, t2, 1
    sd t2, 0(t1)
    csrr t4, mcycle
    sd t4, 8(t1)
    j loop
    """
)


def words(engine: K210Engine) -> tuple[int, int]:
    """Turns of the loop so far, and the cycle count that it saw last."""
    return struct.unpack_from("<QQ", engine.soc.ram, 0x10_0000)


@pytest.fixture
def stopped(engine: K210Engine, board: Board, tmp_path: Path) -> Path:
    """A counting board's snapshot; its panel is lit and shows one red pixel."""
    engine.install(COUNTER)
    engine.boot()
    engine.run(timeout_ns=20 * MS)
    for command, parameters in ((0x11, b""), (0x29, b""), (0x3A, b"\x55"), (0x36, b"\xa0"), (0x2C, b"\xf8\x00")):
        board.panel.reset(True)
        board.panel.command(command)
        board.panel.data(parameters)
    path = tmp_path / "board.snapshot"
    snapshot.save(engine, path, IDENTITY)
    return path


def test_a_program_goes_on_where_it_was(engine: K210Engine, board: Board, stopped: Path) -> None:
    other = K210Engine(Board(BoardConfig()))
    assert snapshot.load(other, stopped, IDENTITY) == IDENTITY
    assert (other.clock.now, other.cycles, words(other)) == (engine.clock.now, engine.cycles, words(engine))
    assert other.ram_hash() == engine.ram_hash()
    assert other.board.panel.lit == board.panel.lit
    assert other.board.panel.image().tobytes() == board.panel.image().tobytes()
    turns, seen = words(other)
    other.run(timeout_ns=20 * MS)
    assert words(other)[0] > turns
    assert 19 * MS < (words(other)[1] - seen) * SECOND // other.soc.hz < 21 * MS
    other.board.power_off()


def test_what_was_written_is_no_part_file(stopped: Path) -> None:
    assert [path.name for path in stopped.parent.iterdir()] == [stopped.name]


def test_another_firmware_is_refused_in_one_line(stopped: Path, board: Board) -> None:
    with pytest.raises(snapshot.SnapshotError, match=r"^it was made with another firmware: ours, not theirs$"):
        snapshot.load(K210Engine(Board(BoardConfig())), stopped, {"firmware": "theirs"})


def _rewritten(path: Path, change: dict[str, object]) -> Path:
    other = path.with_name("changed")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "machine.json":
                data = json.dumps(json.loads(data) | change).encode()
            new.writestr(name, data)
    return other


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"cores": []},
        {"devices": {}},
        {"sites": [["x", 1]]},
        {"time": 5},
        {"panel": {"madctl": {"os": 1}}},
    ],
)
def test_foreign_contents_are_refused(stopped: Path, change: dict[str, object]) -> None:
    with pytest.raises(snapshot.SnapshotError):
        snapshot.load(K210Engine(Board(BoardConfig())), _rewritten(stopped, change), IDENTITY)


def test_damaged_and_foreign_files_are_refused(stopped: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "picture"
    foreign.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(snapshot.SnapshotError, match="no snapshot"):
        snapshot.load(K210Engine(Board(BoardConfig())), foreign, IDENTITY)
    data = bytearray(stopped.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    foreign.write_bytes(data)
    with pytest.raises(snapshot.SnapshotError):
        snapshot.load(K210Engine(Board(BoardConfig())), foreign, IDENTITY)


def test_encrypted_nested_and_giant_archives_are_refused(stopped: Path, tmp_path: Path) -> None:
    def refusal(path: Path) -> str:
        with pytest.raises(snapshot.SnapshotError) as caught:
            snapshot.load(K210Engine(Board(BoardConfig())), path, IDENTITY)
        return str(caught.value)

    encrypted = tmp_path / "encrypted"
    data = bytearray(stopped.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1  # bit 0 of the general purpose flags: encrypted (APPNOTE 4.4.4)
    encrypted.write_bytes(data)
    assert refusal(encrypted) == "it is encrypted, as no snapshot is"

    nested = tmp_path / "nested"
    with zipfile.ZipFile(nested, "w") as archive:
        archive.writestr("machine.json", "[" * 100_000)
    assert "no snapshot" in refusal(nested)

    giant = tmp_path / "giant"
    with giant.open("wb") as file:
        file.truncate(65 << 20)
    assert refusal(giant) == "it is far larger than any snapshot"


def test_a_boot_rom_that_waits_is_not_kept(engine: K210Engine, tmp_path: Path) -> None:
    engine.boot(isp=True)
    with pytest.raises(snapshot.SnapshotError, match="boot ROM"):
        snapshot.save(engine, tmp_path / "x", IDENTITY)


def test_the_hosted_engine_has_none(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "maixpix", "board", "--engine", "hosted", "--snapshot", str(tmp_path / "x")]
    run = subprocess.run([*command, "--exec", "1"], capture_output=True, text=True, timeout=patient(60), check=False)
    assert run.returncode == 1
    assert "no snapshots" in run.stderr
