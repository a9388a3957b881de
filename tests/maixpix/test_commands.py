"""Commands that need no board."""

from __future__ import annotations

import http.server
import importlib
import io
import json
import pkgutil
import re
import subprocess
import sys
import threading

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from maixpix import commands, ports
from maixpix.board import bundle
from maixpix.cli import run as maixpix
from maixpix.commands import TABLE
from maixpix.errors import UserError, shorten
from maixpix.options import Plan


@pytest.mark.parametrize("name", TABLE)
def test_the_table_loads_the_command_it_names(name: str):
    command = TABLE[name].load()
    assert command.name == name
    assert command.callback.__module__ == f"maixpix.commands.{TABLE[name].module}"
    words = re.findall(r"\w+", command.help)
    assert re.findall(r"\w+", TABLE[name].line)[:2] == words[:2], "the table's line begins as the command's help does"


def test_every_command_is_in_the_table():
    named = {(entry.module, entry.attribute) for entry in TABLE.values()}
    defined = set()
    for info in pkgutil.iter_modules(commands.__path__):
        module = importlib.import_module(f"maixpix.commands.{info.name}")
        for attribute, value in vars(module).items():
            if isinstance(value, click.Command) and value.callback.__module__ == module.__name__:
                defined.add((info.name, attribute))
    inner = {("firmware", "show"), ("firmware", "get")}
    assert defined - inner == named


@pytest.mark.parametrize("name", TABLE)
def test_help_says_what_a_command_does_and_every_option_too(name: str):
    command = TABLE[name].load()
    text = CliRunner().invoke(command, ["--help"]).output
    assert len(text) > 300
    assert "Example" in text
    for option in command.params:
        if isinstance(option, click.Option) and option.name != "help":
            assert option.help, f"{command.name} {option.name}"


def test_the_list_of_commands_loads_none_of_them():
    code = (
        "import sys\nfrom maixpix.cli import run\nassert run(['--help']) == 0\n"
        "loaded = [name for name in sys.modules if name.startswith('maixpix.commands.') or name == 'rich']\n"
        "print('loaded', loaded)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"
    listed = " ".join(done.stdout.split())
    assert all(f"{name} {entry.line}" in listed for name, entry in TABLE.items())


def test_what_only_terminals_show_costs_other_output_no_import():
    code = "import sys\nfrom maixpix.cli import run\nrun(['ports'])\nprint('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_firmware_show(firmware, tmp_path, capsys):
    assert maixpix(["firmware", "show", str(firmware)]) == 0
    assert "MaixPy v0.6.2-44-gd9dc6c58c of 2021-03-30, minimum build" in capsys.readouterr().out
    assert maixpix(["firmware", "show", str(tmp_path / "none.bin")]) == 1
    assert capsys.readouterr().err.startswith("maixpix: there is no file ")


def test_a_card_is_made_without_a_cable(tmp_path, capsys):
    (tmp_path / "holiday.jpg").write_bytes(b"\xff\xd8picture")
    assert maixpix(["card", str(tmp_path), "--source", "--app", "show"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"version 1 is on {tmp_path}: ")
    assert "is no mounted card" in said.err
    made = bundle.build(mpy=False)
    for path, data in made.files.items():
        assert (tmp_path / "maixpix" / "a" / path).read_bytes() == data
    assert (tmp_path / "main.py").read_bytes() == made.loader
    assert json.loads((tmp_path / "pix.json").read_text()) == {"app": "show"}
    assert (tmp_path / "holiday.jpg").read_bytes() == b"\xff\xd8picture"
    assert maixpix(["card", str(tmp_path), "--source"]) == 0
    assert "is up to date: version 1" in capsys.readouterr().out
    assert maixpix(["card", str(tmp_path / "none")]) == 1


def test_a_screenshot_comes_from_the_virtual_boards_page(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MAIXPIX_WEB", raising=False)
    shown = io.BytesIO()
    Image.new("RGB", (32, 24), (255, 0, 0)).save(shown, format="PNG")
    answers = {"/panel.png?token=key": shown.getvalue(), "/panel.png": b"no"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = answers.get(self.path, b"")
            self.send_response(403 if self.path == "/panel.png" and len(answers) == 2 else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    httpd = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    web, out = f"http://127.0.0.1:{httpd.server_port}/", tmp_path / "panel.png"
    try:
        assert maixpix(["screenshot", str(out), "--web", web + "?token=key"]) == 0
        assert out.read_bytes() == answers["/panel.png?token=key"]
        assert maixpix(["screenshot", str(tmp_path / "no.png"), "--web", web]) == 1
        assert "wants its token; give the whole address" in capsys.readouterr().err
        assert maixpix(["screenshot", str(tmp_path / "panel.jpg"), "--web", web + "?token=key"]) == 0
        with Image.open(tmp_path / "panel.jpg") as kept:
            assert kept.format == "JPEG" and kept.size == (32, 24)
        assert maixpix(["screenshot", str(tmp_path / "panel.doc"), "--web", web]) == 1
        assert "no picture can be kept as .doc; name it .png or .jpg" in capsys.readouterr().err
        answers.clear()
        assert maixpix(["screenshot", str(tmp_path / "no.png"), "--web", web]) == 1
        assert "is no picture" in capsys.readouterr().err
    finally:
        httpd.shutdown()
        httpd.server_close()
    assert not (tmp_path / "no.png").exists()
    assert maixpix(["screenshot", str(out)]) == 1
    assert "cannot read a real panel back" in capsys.readouterr().err


def test_usage_errors_exit_with_2(capsys):
    assert maixpix(["run"]) == 2
    assert maixpix(["flash"]) == 2
    assert maixpix(["deploy", "--to", "moon"]) == 2


def test_a_file_is_not_said_to_be_a_missing_folder(tmp_path, capsys):
    file = tmp_path / "notes.txt"
    file.write_text("x")
    for words in (["serve", str(file)], ["card", str(file)], ["setup", "--card", str(file), "--show"]):
        assert maixpix(words) == 1
        assert capsys.readouterr().err.startswith(f"maixpix: {file} is a file, no folder; ")
        assert maixpix([word.replace("notes", "none") for word in words]) == 1
        assert capsys.readouterr().err.startswith(f"maixpix: there is no folder {tmp_path}/none.txt; ")


def test_long_messages_end_behind_a_whole_word():
    text = "device reports readiness to read but returned no data (device disconnected or multiple access on port?)"
    assert shorten(text, 80) == "device reports readiness to read but returned no data (device disconnected..."
    assert shorten("a  few\nwords") == "a few words"
    assert shorten("x" * 50, 20) == "x" * 17 + "..."
    assert ports.why_broken(OSError(text)) == "it is gone, or another program reads it too"
    assert ports.why_broken(OSError("[Errno 5] Input/output error")) == "it is gone"


def test_a_plan_is_read_whatever_editor_wrote_it(tmp_path):
    plan = [{"when": {"ms": 1}, "do": "say", "text": "gr\u00fcezi"}]
    file = tmp_path / "plan.json"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        file.write_bytes(json.dumps(plan, ensure_ascii=False).encode(encoding))
        assert Plan().convert(str(file), None, None) == plan
    with pytest.raises(UserError, match=r"there is no fault plan .*none\.json; name a file, or write the JSON itself"):
        Plan().convert(str(tmp_path / "none.json"), None, None)
