"""New software through the air: a sample of `benchmarks.update_cuts`, the companion's door, what `card` prepares."""

import hashlib
import hmac
import json
import stat
import sys
import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import update_cuts
from maixpix.board import bundle, update_keys
from maixpix.cli import run as maixpix
from maixpix.companion import ServeSettings, running
from maixpix.companion.updates import Version, sealed


@pytest.mark.parametrize("seed", range(1, 25))
def test_a_transfer_cut_or_lied_to_leaves_the_old_version_or_the_new_one(seed, tmp_path):
    assert update_cuts.transfer(seed, tmp_path)[1] == []


@pytest.mark.parametrize("kind", ["crash at once", "hangs in the package", "app hangs"])
def test_a_bad_version_is_left_within_three_starts(kind, tmp_path):
    assert update_cuts.trial(5, tmp_path, kind) == (f"trial, {kind}", [])


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_the_seal_is_hmac_sha256(pix_modules, key, data):
    assert pix_modules.load("update").hmac(key, data) == hmac.new(key, data, hashlib.sha256).hexdigest().encode()


def test_two_texts_are_the_same_or_not(pix_modules):
    same = pix_modules.load("update").same
    assert same(b"abc", b"abc") and not same(b"abc", b"abd") and not same(b"abc", b"abcd")


@pytest.mark.parametrize(
    "path",
    [
        "../pix.json",
        "pix/../x.py",
        "boot.py",
        "main.py",
        "pix/x.txt",
        "pix/toolongname.py",
        "ready",
        "apps/a/b.py",
        "pix/A.py",
    ],
)
def test_no_file_goes_elsewhere(device, path):
    bad = Version("0" * 16, {path: b"x"}, {})
    (device.folder / "maixpix").mkdir()
    device.package.slot = "maixpix/a"

    class Evil(update_cuts.Air):
        def answer(self, target):
            nonce = target.partition("nonce=")[2]
            return 200, sealed(bad, update_cuts.NAME, nonce, update_cuts.KEY)

    air = Evil(update_cuts.software("x"), None, "")
    settings = type("S", (), {"update_key": update_cuts.KEY.hex(), "server": "http://pc", "name": update_cuts.NAME})
    with pytest.raises(device.PixError) as told:
        device.load("update").poll(air, settings)
    assert told.value.code == "update-refused" and path in told.value.cause


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def test_the_companion_seals_the_software_for_each_board(tmp_path, monkeypatch):
    monkeypatch.setenv(update_keys.VARIABLE, str(tmp_path / "keys.json"))
    key = bytes.fromhex(update_keys.make("desk"))
    app = tmp_path / "mine.py"
    app.write_text("def main():\n    print('mine')\n")
    with running(ServeSettings(tmp_path, port=0, update=True, update_apps=(app,))) as companion:
        url = f"http://127.0.0.1:{companion.port}/update"
        text = get(f"{url}?board=desk&form=py&nonce=0123456789abcdef")
        body, _, seal = text.rpartition(b"hmac ")
        assert seal.strip() == hmac.new(key, body, hashlib.sha256).hexdigest().encode()
        lines = body.decode().splitlines()
        assert lines[:3] == ["maixpix-update 1", "nonce 0123456789abcdef", "board desk"]
        digest = next(line.split()[0] for line in lines if line.endswith(" own/mine/mine.py"))
        assert get(f"{url}/file?digest={digest}&form=py") == app.read_bytes()
        for wrong, status in (("board=other&form=py&nonce=0123456789abcdef", 403), ("board=desk&form=py", 400),
                              ("board=desk&form=exe&nonce=0123456789abcdef", 400)):  # fmt: skip
            with pytest.raises(urllib.error.HTTPError) as told:
                get(f"{url}?{wrong}")
            assert told.value.code == status


def test_without_the_option_there_is_no_door(tmp_path):
    with running(ServeSettings(tmp_path, port=0)) as companion, pytest.raises(urllib.error.HTTPError) as told:
        get(f"http://127.0.0.1:{companion.port}/update?board=desk&form=py&nonce=0123456789abcdef")
    assert told.value.code == 404


def test_a_card_that_takes_updates_shares_a_secret_with_this_machine(tmp_path, monkeypatch, capsys):
    keys = tmp_path / "conf" / "keys.json"
    monkeypatch.setenv(update_keys.VARIABLE, str(keys))
    card = tmp_path / "card"
    card.mkdir()
    assert maixpix(["card", str(card), "--update", "--source"]) == 0
    own = json.loads((card / "pix.json").read_text())
    assert update_keys.keys()[own["name"]].hex() == own["update_key"]
    said = capsys.readouterr()
    assert own["update_key"] not in said.out + said.err and own["name"] in said.out + said.err
    if sys.platform != "win32":
        assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    # Once more changes nothing: the board would not know the new secret.
    assert maixpix(["card", str(card), "--update", "--source"]) == 0
    assert json.loads((card / "pix.json").read_text()) == own


def test_who_allows_updates_to_a_board_that_never_asks_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(update_keys.VARIABLE, str(tmp_path / "keys.json"))
    (tmp_path / "card").mkdir()
    card = str(tmp_path / "card")
    assert maixpix(["card", card, "--update", "--source"]) == 0
    assert "only the app frame asks for updates, this board starts show" in capsys.readouterr().err
    assert maixpix(["card", card, "--update", "--source", "--app", "frame"]) == 0
    assert "asks for updates" not in capsys.readouterr().err


def test_a_version_is_named_by_its_content():
    one, two = (bundle.named(bundle.Bundle({"pix/a.py": text}, b"", compiled=False)) for text in (b"1", b"2"))
    assert one.files["version"] != two.files["version"] and bundle.named(one) == one


def test_a_board_that_gets_another_name_keeps_its_updates(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(update_keys.VARIABLE, str(tmp_path / "keys.json"))
    (tmp_path / "card").mkdir()
    card = str(tmp_path / "card")
    assert maixpix(["card", card, "--update", "--source"]) == 0
    assert maixpix(["setup", "--card", card, "--set", "name=kitchen"]) == 0
    own = json.loads((tmp_path / "card" / "pix.json").read_text())
    assert own["name"] == "kitchen" and update_keys.keys()["kitchen"].hex() == own["update_key"]
    # A name that another board has got is told, and that board keeps its secret.
    other = update_keys.make("hall")
    capsys.readouterr()
    assert maixpix(["setup", "--card", card, "--set", "name=hall"]) == 0
    assert "another board has the name hall" in capsys.readouterr().err
    assert update_keys.keys()["hall"].hex() == other != own["update_key"]
    # So is a secret that another machine has made.
    (tmp_path / "keys.json").unlink()
    assert maixpix(["setup", "--card", card, "--set", "name=attic"]) == 0
    assert "not made on this machine" in capsys.readouterr().err
