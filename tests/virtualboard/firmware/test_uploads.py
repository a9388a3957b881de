"""Pictures out, the same on both engines: the firmware's own camera driver and encoder, its own FatFs, every door.

The hosted engine runs always, real MaixPy where MAIXPY_FIRMWARE names an image.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from maixpix.companion import running
from maixpix.demo.verdicts import psnr
from maixpix.virtual.engines import fill_flash
from rig.patience import patient
from rig.receivers import Listener
from rig.uploads import KEY, TOKEN, arrived, plant, receiver, stored, taken
from virtualboard.board import BoardConfig, WifiNetwork
from virtualboard.clock import Clock
from virtualboard.engine import K210, EngineOptions
from virtualboard.launch import run_app
from virtualboard.nor_flash import NorFlash

Run = Callable[..., str]


@dataclass
class Engine:
    """One of the two, with a card that it has taken a picture onto, beside a planted one."""

    name: str
    run: Run
    card: Path
    console: str


@pytest.fixture(scope="module", params=["hosted", pytest.param("k210", marks=pytest.mark.firmware)])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, board_card: Callable) -> Engine:
    scene = request.getfixturevalue("scene")
    firmware = request.getfixturevalue("firmware") if request.param == "k210" else None
    kept = tmp_path_factory.mktemp("chip") / "flash"

    def run(card: Path, app: str, at: str = "1.1", **settings: object) -> str:
        """Start an app from power-on; returns the console."""
        whole = {"wifi": [["home", KEY]], **settings}
        (card / "pix.json").write_text(json.dumps(whole))
        names = {"pc": "127.0.0.1"}
        config = BoardConfig(card=str(card), camera=str(scene), at=at, wifi=[WifiNetwork("home", KEY)], names=names)
        script, path = card / "apps" / f"{app}.py", f"/sd/apps/{app}.py"
        return run_app(config, script, timeout_s=600, engine=options, board_path=path).console

    options = EngineOptions(repl=False)
    if firmware is not None:
        flash = NorFlash(Clock())
        fill_flash(flash, firmware)
        flash.save(kept)
        options = EngineOptions(K210, flash=str(kept))
    card = board_card(tmp_path_factory.mktemp(request.param) / "card")
    plant(card / "outbox", 1)
    return Engine(request.param, run, card, run(card, "snap", snaps=1, snap_s=1))


@pytest.fixture
def waiting(engine: Engine, tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """A copy of that card, and what is in its outbox."""
    card = tmp_path / "card"
    shutil.copytree(engine.card, card)
    return card, {file.name: file.read_bytes() for file in sorted((card / "outbox").glob("*.jpg"))}


def test_the_camera_takes_what_it_sees(engine: Engine, scene: Path) -> None:
    assert taken(engine.console) == ["s0000002.jpg"], engine.console
    with Image.open(engine.card / "outbox" / "s0000002.jpg") as shot, Image.open(scene) as seen:
        assert shot.format == "JPEG" and shot.size == (320, 240)
        assert psnr(shot.convert("L"), seen.convert("L")) > 27
    assert sorted(path.name for path in (engine.card / "outbox").iterdir()) == [
        "number",
        "s0000001.jpg",
        "s0000002.jpg",
    ]


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
@pytest.mark.parametrize("door", ["tus", "tcp", "tcp+name"])
def test_every_door_gets_every_byte(engine: Engine, waiting: tuple, tmp_path: Path, door: str, at: str) -> None:
    card, ours = waiting
    token = None if door == "tcp" else TOKEN
    with running(receiver(tmp_path, token=token)) as companion:
        target = f"http://pc:{companion.port}/files/" if door == "tus" else f"{door}://pc:{companion.tcp_port}"
        console = engine.run(card, "send", at, upload=target, token=token or "")
        kept = arrived(tmp_path, len(ours))
    assert "done, 0 not sent" in console, console
    assert list((card / "outbox").glob("*.jpg")) == []
    if door == "tcp":
        assert sorted(kept.values()) == sorted(ours.values())
        assert {file.name: file.read_bytes() for file in (card / "sent").iterdir()} == ours
    else:
        assert kept == ours
        assert re.findall(r"^safe /sd/outbox/(\S+)", console, re.M) == list(ours)


def test_one_start_takes_and_delivers(engine: Engine, waiting: tuple, tmp_path: Path, scene: Path) -> None:
    card, ours = waiting
    with running(receiver(tmp_path)) as companion:
        target = f"http://pc:{companion.port}/files/"
        console = engine.run(card, "snap", upload=target, token=TOKEN, snaps=1, snap_s=1, quality=90)
    kept = stored(tmp_path)
    assert re.findall(r"^safe (\S+)", console, re.M) == [*ours, "s0000003.jpg"], console
    assert {name: kept[name] for name in ours} == ours and len(kept) == 3
    (tmp_path / "third.jpg").write_bytes(kept["s0000003.jpg"])
    assert f"taken s0000003.jpg {len(kept['s0000003.jpg'])} bytes" in console
    with Image.open(tmp_path / "third.jpg") as shot, Image.open(scene) as seen:
        assert psnr(shot.convert("L"), seen.convert("L")) > 30


def test_a_listener_that_is_no_companion(engine: Engine, waiting: tuple) -> None:
    card, ours = waiting
    listener = Listener()
    console = engine.run(card, "send", upload=f"tcp://pc:{listener.port}")
    listener.close()
    assert "done, 0 not sent" in console, console
    assert [bytes(data) for data in listener.received] == list(ours.values())


@pytest.mark.skipif(shutil.which("nc") is None, reason="no nc here")
def test_nc_itself(engine: Engine, waiting: tuple, tmp_path: Path) -> None:
    card, ours = waiting
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (
        (tmp_path / "x.jpg").open("wb") as out,
        subprocess.Popen(["nc", "-l", "-p", str(port)], stdout=out, stdin=subprocess.DEVNULL) as nc,
    ):
        console = engine.run(card, "send", upload=f"tcp://pc:{port}", send="outbox/s0000002.jpg")
        nc.wait(patient(60))
    assert "sent /sd/outbox/s0000002.jpg" in console, console
    assert (tmp_path / "x.jpg").read_bytes() == ours["s0000002.jpg"]


def test_files_of_the_board_are_dated_2060(engine: Engine, waiting: tuple) -> None:
    """What apps/send.py takes for "no date"."""
    card, _ = waiting
    (card / "apps" / "dates.py").write_text(
        "import uos\n"
        "with open('/sd/new.txt', 'w') as f: f.write('x')\n"
        "print('dates', uos.stat('/sd/new.txt')[7:], uos.stat('/sd/outbox/s0000001.jpg')[8] < 1893456000)\n"
    )
    console = engine.run(card, "dates")
    first, *others = map(int, re.search(r"dates \((\d+), (\d+), (\d+)\) True", console).groups())
    assert 1893456000 <= first < 1893456000 + 60 and others == [first, first], console
