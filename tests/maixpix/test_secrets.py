"""Keys, tokens and passwords: typed by a person, kept in pix.json on the card, and found nowhere else."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from rig.forks import plainly
from rig.running_board import RunningBoard
from rig.terminal import maixpix

KEY = "key of-the house"
WRONG_KEY = "not the#right key"
TOKEN = "token-4711-x"
PASSWORD = "pass/word?8"
DAMAGED = "in a damaged file"


def every_form() -> list[bytes]:
    """The secrets as they are, as parts of a URL, as fields of a request, and as JSON or AT text would have them."""
    found = []
    for secret in (KEY, WRONG_KEY, TOKEN, PASSWORD, DAMAGED):
        found += [secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()]
        found += [base64.b64encode(f"me:{secret}".encode()).decode(), json.dumps(secret)[1:-1]]
    return [text.encode() for text in found]


FORMS = every_form()


@pytest.fixture(autouse=True, scope="module")
def started_plainly():
    """Command lines are looked at, and what is forked has none of its own."""
    with plainly():
        yield


class Arguments:
    """What the argument lists of all processes held, sampled while a command runs."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()

    def sample(self) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                self.seen.add(path.read_bytes())
            except OSError:
                continue  # it has ended


def clean(where: str, *texts: str | bytes) -> None:
    for text in texts:
        data = text.encode() if isinstance(text, str) else text
        for form in FORMS:
            assert form not in data, f"{where} tells {form!r}"


def test_secrets_are_in_the_settings_file_and_nowhere_else(tmp_path):
    card, flash = tmp_path / "sd", tmp_path / "flash"
    card.mkdir()
    (card / "pix.json").write_text('{"token": "' + DAMAGED)
    arguments = Arguments()
    config = {"wifi": [{"ssid": "Home", "password": KEY}], "names": {"pc": "127.0.0.1"}}
    with RunningBoard(card, flash, config) as board:

        def run(*words: str, code: int = 0, answers: tuple[tuple[str, str], ...] = ()) -> str:
            port = () if words[0] == "card" else ("--port", board.port)
            shown = maixpix(
                *words, *port, answers=answers, code=code, watch=arguments.sample, MAIXPIX_DEBUG="1"
            )  # fmt: skip
            clean(" ".join(words), shown)
            return shown

        # A damaged file, a refused key and a password on the command line: told with tracebacks, contents left out.
        assert "no whole JSON" in run("setup", "--show", code=1)
        (card / "pix.json").unlink()
        assert "longer than 64 bytes" in run("setup", "--wifi", "Home", code=1, answers=(("Key of Home", KEY * 9),))
        shown = run(
            "setup", "--wifi", "Home", "--token", "--server", "http://me@pc:9", "--picture", "http://me@pc:9/a.jpg",
            answers=(
                ("Password of me for server", PASSWORD),
                ("Password of me for picture", PASSWORD),
                ("Key of Home", WRONG_KEY),
                ("Token", TOKEN),
            ),
        )  # fmt: skip
        assert "Home (key set)" in shown
        assert "token: set" in shown
        values = json.loads((card / "pix.json").read_text())
        assert values["wifi"] == [["Home", WRONG_KEY]]
        assert values["token"] == TOKEN
        assert values["server"] == f"http://me:{quote(PASSWORD, safe='')}@pc:9"
        run("setup", "--show")
        run("deploy", "--source")
        heard = board.listen(rb"starts again", 60)
        assert b"wrong-password" in heard
        clean("the console", heard)
        log = (card / "pix.log").read_bytes()
        assert b"wrong-password" in log
        assert b"wrong-password" in run("logs").encode()
        assert "Home: wrong password" in run("doctor", code=1)
        run("setup", "--wifi", "Home", answers=(("Key of Home", KEY),))
        heard = board.listen(rb"starts again", 60)
        assert b"joined" in heard or b"refused" in heard
        clean("the console", heard)
        assert "connection" in run("doctor", code=1)
        run("repl", answers=(("exit this shell", "\x1d"),))
    assert any(b"setup" in line for line in arguments.seen)
    assert any(b"mpremote" in line and b"repl" in line for line in arguments.seen)
    # The virtual board itself is told what its access point's key is; it stands for the world outside.
    clean("an argument list", *(line for line in arguments.seen if b"hosted_board.py" not in line))
    told = [path for path in [*card.rglob("*"), *flash.rglob("*")] if path.is_file() and path.name != "pix.json"]
    assert {"pix.log", "main.py"} <= {path.name for path in told}
    for path in told:
        clean(os.fspath(path), path.read_bytes())
