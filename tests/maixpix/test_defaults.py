"""maixpix.toml, the environment and completion: where options come from when nobody gives them."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from maixpix import defaults
from maixpix.cli import run as maixpix
from maixpix.commands import TABLE
from maixpix.errors import UserError

TOML = """
port = "/dev/none"
board = "go"

[serve]
host = "0.0.0.0"
port = 8123
max-file = "8M"
names = ["a", "b"]

[commands.board]
at = "1.7.4"
"""


def of(name: str, text: str) -> dict:
    said = defaults.tomllib.loads(text)
    return defaults.of(TABLE[name].load(), name, said, TABLE)


def test_each_command_gets_its_own_and_the_port_of_the_board_goes_to_those_that_talk_to_it(monkeypatch):
    monkeypatch.delenv("MAIXPIX_PORT", raising=False)
    text = TOML.replace('names = ["a", "b"]\n', "")
    assert of("serve", text) == {"host": "0.0.0.0", "port": 8123, "max_file": "8M"}
    assert of("deploy", text) == {"port": "/dev/none"}
    assert of("doctor", text) == {"port": "/dev/none", "board": "go"}
    assert of("board", text) == {"at": "1.7.4"}
    assert of("ports", text) == {}
    monkeypatch.setenv("MAIXPIX_PORT", "/dev/other")
    assert of("deploy", text) == {}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("serve", TOML, "serve has no option names; options are: "),
        ("serve", "[server]\n", "server is no command's table"),
        ("serve", "ports = 1\n", "ports is no command's table"),
        ("deploy", "port = 5\n", "port is no command's table"),
    ],
)
def test_what_is_in_no_command_is_told(name, text, told):
    with pytest.raises(UserError) as failure:
        of(name, text)
    assert told in failure.value.line


def test_the_file_is_read_and_the_command_line_wins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAIXPIX_PORT", raising=False)
    (tmp_path / "maixpix.toml").write_text('port = "/dev/of-the-file"\n')
    assert maixpix(["reset"]) == 1
    assert "there is no port /dev/of-the-file" in capsys.readouterr().err
    assert maixpix(["reset", "--port", "/dev/given"]) == 1
    assert "there is no port /dev/given" in capsys.readouterr().err
    monkeypatch.setenv("MAIXPIX_PORT", "/dev/of-the-environment")
    assert maixpix(["reset"]) == 1
    assert "there is no port /dev/of-the-environment" in capsys.readouterr().err
    (tmp_path / "maixpix.toml").write_text("port =\n")
    assert maixpix(["reset"]) == 1
    assert "maixpix.toml is no TOML: " in capsys.readouterr().err
    monkeypatch.setenv("MAIXPIX_CONFIG", "other.toml")
    assert maixpix(["reset"]) == 1
    assert "there is no file other.toml; correct MAIXPIX_CONFIG" in capsys.readouterr().err


def test_the_shell_completes_commands_and_options(tmp_path):
    def ask(words: str, at: int) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", "maixpix"],
            env=dict(os.environ, _MAIXPIX_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(at)),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert set(ask("maixpix de", 1)) == {"demo", "deploy"}
    assert "--without" in ask("maixpix deploy --wi", 2)


def test_the_version_is_told(capsys):
    assert maixpix(["--version"]) == 0
    assert capsys.readouterr().out.startswith("maixpix, version ")
    assert isinstance(TABLE["new"].load(), click.Command)
