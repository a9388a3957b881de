"""Settings on a card through the real command; no secret in anything that is printed."""

from __future__ import annotations

import json
import stat
import subprocess
import sys

import pytest
from click.testing import CliRunner

from maixpix.board import settings
from maixpix.board.places import FolderPlace
from maixpix.commands.setup import setup
from maixpix.errors import UserError
from rig.terminal import environment

SECRET = "correct horse battery"
PASSWORD = "open-sesame"


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
    text = json.dumps({"wifi": [["Home", SECRET], ["Cafe", ""], ["Den", "WPS"]], "token": SECRET, "mystery": SECRET})
    (tmp_path / "pix.json").write_text(text)
    done = run(tmp_path, "--show")
    assert SECRET not in done.output
    assert "wifi: Home (key set), Cafe (open), Den (key in the modem, by WPS)" in done.output
    assert "3 characters" not in done.output
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
    keys = [SECRET, "second key"]
    done = run(
        tmp_path, input=f"Home\n{keys[0]}\nCafe\n\nAway\n{keys[1]}\n\nhttp://10.0.0.9:8000\nshow\ncat.jpg\n\n\n\n"
    )
    assert done.exit_code == 0, done.output
    assert SECRET not in done.output
    assert "Where pictures go" not in done.output
    assert stored(tmp_path) == {
        "wifi": [["Home", keys[0]], ["Cafe", ""], ["Away", keys[1]]],
        "server": "http://10.0.0.9:8000",
        "app": "show",
        "picture": "cat.jpg",
        "board": "dock",
        "rotation": 0,
        "baud": 1000000,
    }


def test_asked_again_present_answers_are_the_defaults_and_a_sending_app_needs_a_target(tmp_path):
    server = "http://me:" + PASSWORD + "@10.0.0.9/"
    values = {"wifi": [["Home", SECRET]], "server": server, "app": "show", "later": 1}
    (tmp_path / "pix.json").write_text(json.dumps(values))
    done = run(tmp_path, input="\n\nsnap\n\ngo\n1\n2000000\nhttp://you@10.0.0.8/up\n" + PASSWORD + "\n")
    assert done.exit_code == 0, done.output
    assert "Server (http://...) [http://***@10.0.0.9/]" in done.output
    assert SECRET not in done.output
    assert PASSWORD not in done.output
    assert stored(tmp_path) == {
        "wifi": [["Home", SECRET]],
        "server": server,
        "app": "snap",
        "later": 1,
        "picture": "",
        "board": "go",
        "rotation": 1,
        "baud": 2000000,
        "upload": f"http://you:{PASSWORD}@10.0.0.8/up",
    }


def test_the_password_of_an_address_is_asked_and_never_shown(tmp_path):
    typed = "p@ss/w?rd"
    done = run(tmp_path, "--server", "http://me@10.0.0.2:8000", input=typed + "\n")
    assert done.exit_code == 0, done.output
    assert stored(tmp_path) == {"server": "http://me:p%40ss%2Fw%3Frd@10.0.0.2:8000"}
    assert "server: http://***@10.0.0.2:8000" in done.output
    again = run(tmp_path, "--set", "upload=http://me@pc/x", env={"MAIXPIX_PASSWORD": typed})
    assert stored(tmp_path)["upload"] == "http://me:p%40ss%2Fw%3Frd@pc/x"
    shown = run(tmp_path, "--show")
    for text in (done.output, again.output, shown.output):
        assert "ss" + "%2F" not in text
        assert typed not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://a:b@pc/x?y=z@w", "http://***@pc/x?y=z@w"),
        ("http://a:b@c@pc", "http://***@pc"),
        ("http://a@pc/", "http://***@pc/"),
        ("http://pc/a@b:c", "http://pc/a@b:c"),
        ("me@home.jpg", "me@home.jpg"),
        ("", ""),
    ],
)
def test_a_login_is_taken_out_of_what_is_shown(text, shown):
    assert settings.hide_login(text) == shown


def test_a_network_that_is_not_there_cannot_be_forgotten(tmp_path):
    (tmp_path / "pix.json").write_text(json.dumps({"wifi": [["Home", SECRET], ["Cafe", ""]]}))
    done = run(tmp_path, "--forget", "Hone")
    assert done.exception.line == "there is no network Hone in the settings; networks are: Home, Cafe"
    assert len(stored(tmp_path)["wifi"]) == 2


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--server", "https://pc"], "no usable TLS"),
        (["--server", "pc:8000"], "no http:// address"),
        (["--server", "http://me:secret@pc"], "would be seen by every program"),
        (["--set", "picture=http://me:secret@pc/x"], "would be seen by every program"),
        (["--app", "nope"], "there is no app nope; apps are: frame, "),
        (["--set", "app=nope"], "there is no app nope"),
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
    assert "secret@" not in done.exception.line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("key", "noted"), [("five5", True), ("exactly8", False), ("x" * 63, False), ("0" * 64, False)])
def test_keys_are_taken_as_the_board_takes_them(tmp_path, key, noted):
    done = run(tmp_path, "--wifi", "Home", input=key + "\n")
    assert done.exit_code == 0
    assert stored(tmp_path) == {"wifi": [["Home", key]]}
    assert ("WEP has keys of 5" in done.output) == noted
    assert key not in done.output


def test_a_key_too_long_for_the_modem_is_refused_without_showing_it(tmp_path):
    done = run(tmp_path, "--wifi", "Home", input="k" * 65 + "\n")
    assert done.exception.line == "the key of Home is longer than 64 bytes; check name and key"
    assert "kkk" not in done.output
    assert list(tmp_path.iterdir()) == []


KEY_FILES = {
    "plain": b"password1\n",
    "no end of line": b"password1",
    "dos": b"password1\r\n",
    "old mac": b"password1\r",
    "mark": b"\xef\xbb\xbfpassword1\n",
    "utf16 windows": "password1\r\n".encode("utf-16"),
    "utf16 big": b"\xfe\xff" + "password1\n".encode("utf-16-be"),
    "utf16 bare": "password1\n".encode("utf-16-le"),
    "utf16 big bare": "password1\n".encode("utf-16-be"),
    "utf32": "password1\n".encode("utf-32"),
    "empty lines": b"\r\n\r\npassword1\r\n\r\n",
    "blanks": b"  password1\t \n",
    "quotes": b'"password1"\n',
    "word processor": "\u201cpassword1\u201d\n".encode(),
    "word processor in cp1252": b"\x93password1\x94\r\n",
}


@pytest.mark.parametrize("kind", KEY_FILES)
@pytest.mark.parametrize("by", ["file", "stdin"])
def test_key_files_as_people_make_them(tmp_path, kind, by):
    folder = tmp_path / "card"
    folder.mkdir()
    file = tmp_path / "key.txt"
    file.write_bytes(KEY_FILES[kind])
    if by == "file":
        done = run(folder, "--wifi", "Home", "--key-file", str(file))
    else:
        done = run(folder, "--wifi", "Home", "--key-file", "-", input=KEY_FILES[kind])
    assert done.exit_code == 0, done.output
    assert stored(folder) == {"wifi": [["Home", "password1"]]}
    assert "password1" not in done.output
    assert ("quotes around it are left out" in done.output) == ("quotes" in kind or "word" in kind)


def test_a_key_in_latin_1_is_the_key_that_was_meant(tmp_path):
    file = tmp_path / "key.txt"
    file.write_bytes("schlüssel".encode("latin-1"))
    card = tmp_path / "card"
    card.mkdir()
    assert run(card, "--wifi", "Home", "--key-file", str(file)).exit_code == 0
    assert stored(card)["wifi"] == [["Home", "schlüssel"]]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "the key file has 0 keys for 1 network; give it one line for each network"),
        (b"one of them\nand another\n", "the key file has 2 keys for 1 network; give it one line for each network"),
        (
            b"\x00\x01\x02\x03key",
            "key.txt is no text: it holds the control character 0x00; save it as plain text in UTF-8",
        ),
        (b"\x81\x8d key", "key.txt is no text that can be read (line 1); save it as plain text in UTF-8"),
        (
            b"{\\rtf1\\ansi password1}",
            "key.txt is no plain text but RTF, as TextEdit and WordPad write it; save it as plain text in UTF-8",
        ),
        (b"k" * (1 << 20) + b"k", "key.txt is larger than 1024 KiB; name a text file that a person wrote"),
        (None, "there is no key file key.txt; name a text file with one key a line"),
    ],
)
def test_key_files_that_are_none(tmp_path, monkeypatch, data, line):
    monkeypatch.chdir(tmp_path)
    if data is not None:
        (tmp_path / "key.txt").write_bytes(data)
    (tmp_path / "card").mkdir()
    done = run(tmp_path / "card", "--wifi", "Home", "--key-file", "key.txt")
    assert done.exception.line == line
    assert list((tmp_path / "card").iterdir()) == []


def test_a_character_of_a_key_that_cannot_be_seen_is_noted(tmp_path):
    file = tmp_path / "key.txt"
    file.write_bytes("pass\u200bword1".encode())
    card = tmp_path / "card"
    card.mkdir()
    done = run(card, "--wifi", "Home", "--key-file", str(file))
    assert "note: the key of Home holds a character that cannot be seen" in done.output
    assert stored(card)["wifi"] == [["Home", "pass\u200bword1"]]


def test_without_a_terminal_the_other_ways_to_give_a_key_are_named(tmp_path):
    for words, remedy in (
        (["--wifi", "Home"], "there is no terminal to ask: Key of Home; give --key-file FILE, or set MAIXPIX_WIFI_KEY"),
        (["--token"], "there is no terminal to ask: Token of the server; set it in MAIXPIX_TOKEN"),
        (["--server", "http://me@pc"], "password of me for server (empty: none); set it in MAIXPIX_PASSWORD"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "maixpix", "setup", "--card", str(tmp_path), *words],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, start_new_session=True, env=environment(),
        )  # fmt: skip
        assert done.returncode == 1
        assert remedy.lower() in done.stderr.lower()
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_damaged_settings_are_not_overwritten_nor_quoted(tmp_path):
    (tmp_path / "pix.json").write_text('{"wifi": [["Home", "' + SECRET)
    done = run(tmp_path, "--app", "show")
    assert "no whole JSON" in done.exception.line
    assert SECRET not in done.exception.line
    assert (tmp_path / "pix.json").read_text().endswith(SECRET)


HAND_MADE = '{"wifi": [["Zürich", "' + SECRET + '"]], "app": "show"}'


@pytest.mark.parametrize(
    ("data", "board_reads"),
    [
        (HAND_MADE.encode(), True),
        (b"\xef\xbb\xbf" + HAND_MADE.replace(", ", ",\r\n").encode(), True),
        (HAND_MADE.encode("utf-16"), False),
        (HAND_MADE.encode("latin-1"), False),
    ],
)
def test_settings_of_any_editor_are_read_and_written_as_the_board_reads_them(tmp_path, data, board_reads):
    (tmp_path / "pix.json").write_bytes(data)
    shown = run(tmp_path, "--show")
    assert "wifi: Zürich (key set)" in shown.output
    assert ("any `maixpix setup` writes it anew" in shown.output) != board_reads
    assert (tmp_path / "pix.json").read_bytes() == data
    assert run(tmp_path, "--rotation", "1").exit_code == 0
    written = (tmp_path / "pix.json").read_bytes()
    assert json.loads(written) == {"wifi": [["Zürich", SECRET]], "app": "show", "rotation": 1}
    assert written.startswith(b"{")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"server": \u201chttp://pc\u201d}', 'line 1 has a typographic quote where a plain " belongs'),
        ('{\n  "app": "show",\n}', "line 3, column 1: expecting property name"),
        ("[" * 100_000, "nested too deeply"),
        ('{"wifi": [["\\ud83d", "password1"]]}', "holds half of a character"),
        ("[]", "is no JSON object"),
    ],
)
def test_settings_that_cannot_be_read_say_where(tmp_path, text, words):
    (tmp_path / "pix.json").write_text(text, "utf-8")
    done = run(tmp_path, "--rotation", "1")
    assert words in done.exception.line.lower().replace("json", "JSON")
    assert "\n" not in done.exception.line


def test_wrong_values_are_shown_as_such_and_can_be_corrected(tmp_path):
    (tmp_path / "pix.json").write_text(json.dumps({"wifi": {"Home": SECRET}, "rotation": 9, "baud": SECRET}))
    shown = run(tmp_path, "--show")
    assert shown.exit_code == 0
    assert "rotation: (must be from 0 to 3)" in shown.output
    assert "wifi: (must be a list of [name, key] pairs)" in shown.output
    assert SECRET not in shown.output
    done = run(tmp_path, "--wifi", "Home", "--open")
    assert done.exception.message == "setting wifi must be a list of [name, key] pairs"
    (tmp_path / "pix.json").write_text(json.dumps({"rotation": 9}))
    assert run(tmp_path, "--rotation", "1").exit_code == 0
    assert stored(tmp_path) == {"rotation": 1}


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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_settings_on_a_card_are_the_owners(tmp_path):
    """They hold the network's key and the token; a card's FAT knows no modes, a folder on this machine does."""
    (tmp_path / "pix.json").write_text("{}")
    (tmp_path / "pix.json").chmod(0o644)
    assert run(tmp_path, "--server", "http://192.168.1.10:8000").exit_code == 0
    assert stat.S_IMODE((tmp_path / "pix.json").stat().st_mode) == 0o600


def test_settings_nested_without_end_are_refused_in_a_line(tmp_path):
    (tmp_path / "pix.json").write_text('{"a":' * 1900 + "1" + "}" * 1900)
    done = run(tmp_path, "--show")
    assert isinstance(done.exception, UserError) and done.exception.remedy
