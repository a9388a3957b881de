"""Settings on a card through the real command; no secret in anything that is printed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from maixpix import settings
from maixpix.commands.setup import setup
from maixpix.errors import UserError
from maixpix.places import FolderPlace

SECRET = "correct horse battery"


def run(folder, *args, **more):
    return CliRunner().invoke(setup, ["--card", str(folder), *args], **more)


def stored(folder):
    return json.loads((folder / "pix.json").read_text("utf-8"))


def test_networks_are_added_first_and_unknown_settings_stay(tmp_path):
    (tmp_path / "pix.json").write_text('{"wifi": [["Old", "12345678"]], "later": {"x": 1}, "app": "show"}')
    done = run(tmp_path, "--wifi", 'Ho"me, 5\\', "--server", "http://10.0.0.2:8000", input=SECRET + "\n")
    assert done.exit_code == 0, done.output
    assert stored(tmp_path) == {
        "wifi": [['Ho"me, 5\\', SECRET], ["Old", "12345678"]],
        "later": {"x": 1},
        "app": "show",
        "server": "http://10.0.0.2:8000",
    }
    assert SECRET not in done.output
    assert "12345678" not in done.output
    assert "(key set)" in done.output
    assert "later: (unknown to this version, kept)" in done.output


def test_show_masks_and_writes_nothing(tmp_path):
    text = json.dumps({"wifi": [["Home", SECRET], ["Cafe", ""]], "token": SECRET, "mystery": SECRET})
    (tmp_path / "pix.json").write_text(text)
    done = run(tmp_path, "--show")
    assert SECRET not in done.output
    assert "wifi: Home (key set), Cafe (open)" in done.output
    assert "token: set" in done.output
    assert (tmp_path / "pix.json").read_text() == text


def test_keys_come_from_environment_file_or_not_at_all(tmp_path):
    assert run(tmp_path, "--wifi", "A", env={"MAIXPIX_WIFI_KEY": "from environment"}).exit_code == 0
    assert run(tmp_path, "--wifi", "B", "--wifi", "C", "--key-file", "-", input="key of b!\nkey of c!\n").exit_code == 0
    assert run(tmp_path, "--wifi", "D", "--open").exit_code == 0
    assert stored(tmp_path)["wifi"] == [
        ["D", ""],
        ["B", "key of b!"],
        ["C", "key of c!"],
        ["A", "from environment"],
    ]
    assert run(tmp_path, "--forget", "B", "--token", input=SECRET + "\n").exit_code == 0
    assert [name for name, _ in stored(tmp_path)["wifi"]] == ["D", "C", "A"]
    assert stored(tmp_path)["token"] == SECRET


def test_asked_without_options(tmp_path):
    done = run(tmp_path, input=f"Home\n{SECRET}\nhttp://10.0.0.9:8000\nshow\ncat.jpg\ndock\n")
    assert done.exit_code == 0, done.output
    assert SECRET not in done.output
    assert stored(tmp_path) == {
        "wifi": [["Home", SECRET]],
        "server": "http://10.0.0.9:8000",
        "app": "show",
        "picture": "cat.jpg",
        "board": "dock",
    }


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--server", "https://pc"], "no usable TLS"),
        (["--server", "pc:8000"], "no http:// address"),
        (["--board", "toaster"], "setting board must be one of"),
        (["--rotation", "7"], "setting rotation must be from 0 to 3"),
        (["--set", "nonsense=1"], "there is no setting nonsense"),
        (["--set", "token=abc"], "not given on a command line"),
        (["--wifi", "X" * 33, "--open"], "1 to 32 bytes"),
    ],
)
def test_what_the_board_would_refuse_is_refused_here(tmp_path, args, words):
    done = run(tmp_path, *args)
    assert isinstance(done.exception, UserError)
    assert words in done.exception.line
    assert list(tmp_path.iterdir()) == []


def test_a_short_key_is_refused_without_showing_it(tmp_path):
    done = run(tmp_path, "--wifi", "Home", input="short\n")
    assert done.exception.line == "the key of Home has not 8 to 63 characters; check the key"
    assert "short" not in done.output


def test_damaged_settings_are_not_overwritten_nor_quoted(tmp_path):
    (tmp_path / "pix.json").write_text('{"wifi": [["Home", "' + SECRET)
    done = run(tmp_path, "--app", "show")
    assert "no whole JSON" in done.exception.line
    assert SECRET not in done.exception.line
    assert (tmp_path / "pix.json").read_text().endswith(SECRET)


def test_the_file_is_what_the_board_accepts(tmp_path):
    place = FolderPlace(tmp_path)
    settings.write(place, {"wifi": [["Zürich", "87654321"]], "app": "show"})
    data = (tmp_path / "pix.json").read_bytes()
    assert data.strip().startswith(b"{")
    assert data.strip().endswith(b"}")
    assert len(data) < settings.MAX_FILE
    with pytest.raises(UserError, match="the board reads 4096"):
        settings.write(place, {"wifi": [[f"network {n}", "x" * 60] for n in range(60)]})
    assert (tmp_path / "pix.json").read_bytes() == data
    assert not (tmp_path / "pix.new").exists()
