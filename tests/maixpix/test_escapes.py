"""Escapes in everything that comes from elsewhere, through every command: none of them reaches the terminal."""

from __future__ import annotations

import http.server
import io
import json
import re
import threading
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maixpix.bars import CleanConsole
from maixpix.cli import run as maixpix
from maixpix.cli import tell_failure
from maixpix.commands import TABLE
from maixpix.errors import UserError, shorten
from maixpix.text import Cleaner, one_line, plain
from rig.board_process import BoardProcess, wait_for_prompt

EVIL = "\x1b[31mred\x1b]0;title\x07\x9b2J\x90q\u202egpj.exe\x08\x7f"
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")


def harmless(captured) -> str:
    """All that was printed; fails when a terminal would obey any of it."""
    text = captured.out + captured.err
    found = FORBIDDEN.search(text)
    assert not found, text[max(0, found.start() - 60) : found.start() + 60].encode("unicode_escape")
    return text


@given(st.text(st.sampled_from(EVIL + "ab\r\n\t é猫")))
def test_nothing_forbidden_is_left_and_the_rest_is(text):
    assert not FORBIDDEN.search(plain(text))
    assert not FORBIDDEN.search(one_line(text)) and "\n" not in one_line(text)
    kept = [ch for ch in text if ch in "abé猫"]
    assert [ch for ch in plain(text) if ch in "abé猫"] == kept


@given(st.text(st.sampled_from(EVIL + "ab\r\n é猫")), st.lists(st.integers(0, 40)))
def test_a_stream_is_the_same_wherever_it_is_cut(text, cuts):
    data, cleaner, at = text.encode(), Cleaner(), sorted(cuts)
    pieces = [data[start:stop] for start, stop in zip([0, *at], [*at, len(data)], strict=True)]
    assert "".join(map(cleaner.feed, pieces)) == plain(text)


def test_coloured_lines_and_bars_have_no_colours_but_ours():
    shown = io.StringIO()
    console = CleanConsole(file=shown, force_terminal=True, color_system=None, width=200)
    console.line(("WRONG", "bold red"), (f" app {EVIL}", "default"))
    console.print(EVIL, markup=False)
    coloured, text = shown.getvalue().splitlines()
    assert coloured.startswith("WRONG app ") and not FORBIDDEN.search(coloured)
    assert text == plain(EVIL)


def test_errors_are_clean():
    assert not FORBIDDEN.search(UserError(EVIL, EVIL).line)
    assert not FORBIDDEN.search(shorten(EVIL * 9, 50))


@pytest.fixture
def evil_files(tmp_path):
    """A folder in which every name, and what is inside, is hostile."""
    (tmp_path / f"{EVIL}.bin").write_bytes(b"\x1b[31m" * 400)
    (tmp_path / f"{EVIL}.kfpkg").write_bytes(archive())
    (tmp_path / "pix.json").write_text(json.dumps({"command": EVIL, EVIL: EVIL, "wifi": [[EVIL, EVIL]]}))
    (tmp_path / "plan.json").write_text(json.dumps([{"do": EVIL, EVIL: 1}]))
    return tmp_path


def archive() -> bytes:
    out = io.BytesIO()
    listed = {"version": EVIL, "files": [{"address": 0, "bin": EVIL, "sha256Prefix": True}]}
    with zipfile.ZipFile(out, "w") as package:
        package.writestr("flash-list.json", json.dumps(listed))
        package.writestr(f"{EVIL}.bin", b"\x1b[31m" * 50)
    return out.getvalue()


ON_FILES = [
    ["firmware", "{dir}/%s.bin"],
    ["firmware", "{dir}/%s.kfpkg"],
    ["firmware", "{dir}/%s"],
    ["flash", "{dir}/%s.bin", "--port", "/dev/none%s"],
    ["flash", "{dir}/%s.kfpkg", "--port", "/dev/none%s"],
    ["setup", "--card", "{dir}", "--show"],
    ["setup", "--card", "{dir}", "--set", "%s=1"],
    ["setup", "--card", "{dir}/%s"],
    ["card", "{dir}/%s"],
    ["card", "{dir}"],
    ["deploy", "--port", "/dev/none%s"],
    ["deploy", "--app", "{dir}/%s.py", "--port", "/dev/none%s"],
    ["new", "%s"],
    ["doctor", "--port", "/dev/none%s"],
    ["doctor", "--port", "/dev/none%s", "--json"],
    ["logs", "--port", "/dev/none%s"],
    ["logs", "--card", "{dir}"],
    ["run", "{dir}/%s.bin", "--port", "/dev/none%s"],
    ["reset", "--port", "/dev/none%s"],
    ["repl", "--port", "/dev/none%s"],
    ["ports"],
    ["screenshot", "{dir}/x.png", "--web", "http://127.0.0.1:1/%s"],
    ["serve", "{dir}/%s"],
    ["demo", "--picture", "{dir}/%s"],
    ["demo", "--url", "http://%s/"],
    ["board", "--firmware", "{dir}/%s.bin"],
    ["board", "--card", "{dir}/%s"],
    ["board", "--faults", "{dir}/plan.json"],
    ["board", "--run", "{dir}/%s.bin"],
    ["get", "http://127.0.0.1:1/%s", "-d", "{dir}"],
    ["fill", "{dir}/%s", "--card", "{dir}"],
    ["modem-log", "{dir}/%s"],
    ["torture", "--replay", "%s"],
    ["%s"],
    ["serve", "--%s"],
]


@pytest.mark.parametrize("words", ON_FILES, ids=lambda words: " ".join(words[:2]).replace("%s", "x"))
def test_names_and_files(words, evil_files, capsys):
    assert maixpix([word.replace("{dir}", str(evil_files)).replace("%s", EVIL) for word in words]) is not None
    harmless(capsys.readouterr())


def test_what_a_board_has_is_shown_clean_when_it_is_asked_for(tmp_path, capsys, monkeypatch):
    """The present settings are the defaults of the questions, whoever wrote them."""
    values = dict.fromkeys(("server", "picture", "board", "app", "rotation", "baud", "upload"), EVIL)
    (tmp_path / "pix.json").write_text(json.dumps(values))
    monkeypatch.setattr("sys.stdin", io.StringIO("\n" * 20))
    maixpix(["setup", "--card", str(tmp_path)])
    assert "gpj.exe" in harmless(capsys.readouterr())


def test_failures_of_our_own_are_told_clean(capsys):
    try:
        raise RuntimeError(EVIL)
    except RuntimeError as error:
        tell_failure(RuntimeError, error, error.__traceback__)
    assert "RuntimeError" in harmless(capsys.readouterr())


def test_every_command_is_tried():
    assert set(TABLE) <= {words[0] for words in ON_FILES}


PRINTS = "print('\\x1b[31mred\\x9b2J\\x1b]0;t\\x07' + 'end'); import sys; raise ValueError('\\x1b[31mbad')"


def test_what_a_board_prints(capsys, tmp_path):
    assert maixpix(["board", "--exec", PRINTS]) == 1
    text = harmless(capsys.readouterr())
    assert "end" in text and "bad" in text
    (tmp_path / "errors.log").write_bytes(b"\x1b[31mlogged\x07\n")
    (tmp_path / "log").mkdir()
    with BoardProcess("--card", str(tmp_path), "--wifi", EVIL.replace("\x90", ""), "12345678") as board:
        wait_for_prompt(board)
        assert maixpix(["run", "--port", board.pty, "-c", PRINTS]) == 1
        text = harmless(capsys.readouterr())
        assert "end" in text and "bad" in text
        assert maixpix(["doctor", "--port", board.pty]) is not None
        harmless(capsys.readouterr())
        assert maixpix(["logs", "--port", board.pty]) is not None
        harmless(capsys.readouterr())


def test_what_a_server_answers(capsys, tmp_path):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response_only(500, "\x1b[31mno")
            self.end_headers()
            self.wfile.write(b"\x1b[31m")

        def log_message(self, *args):
            pass

    httpd = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{httpd.server_port}/"
        assert maixpix(["screenshot", str(tmp_path / "x.png"), "--web", url]) == 1
        harmless(capsys.readouterr())
    finally:
        httpd.shutdown()
        httpd.server_close()
