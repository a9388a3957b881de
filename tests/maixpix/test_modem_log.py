"""`maixpix modem-log`: what it says about a log, and its exit status."""

import pytest

from maixpix.cli import run

RIGHT = "# id: first\n# firmware: 1.1\n> AT\n< AT\\r\\r\\n\\r\\nOK\\r\\n\n"
WRONG = "# id: second\n# firmware: 1.1\n> AT\n< AT\\r\\r\\nOK\\r\\n\n"


@pytest.fixture
def told(tmp_path, capsys):
    def ask(text, *options):
        (tmp_path / "mine.txt").write_text(text, encoding="utf-8")
        code = run(["modem-log", str(tmp_path / "mine.txt"), *options])
        said = capsys.readouterr()
        return code, (said.out + said.err).splitlines()

    return ask


def test_sessions_that_agree(told):
    assert told(RIGHT) == (0, ["first: AT 1.1, same 11 bytes"])


def test_the_first_difference(told):
    assert told(RIGHT + WRONG) == (
        1,
        [
            "first: AT 1.1, same 11 bytes",
            "second: AT 1.1, differs at byte 5 of 9",
            "  log     OK\\r\\n",
            "  virtual \\r\\nOK\\r\\n",
        ],
    )
    assert told(RIGHT + WRONG, "--id", "first")[0] == 0


def test_side_by_side_and_another_profile(told):
    code, lines = told(RIGHT, "--show", "--at", "1.7.4")
    assert code == 1 and lines[0] == "first: AT 1.7.4, differs at byte 3 of 11"
    assert lines[1].split("#")[0].strip() == "AT\\r\\r\\n" and lines[1].endswith("# AT\\r\\n")


@pytest.mark.parametrize(
    ("text", "options", "cause"),
    [("OK\n", (), "line 1 begins with neither"), (RIGHT, ("--id", "third"), "has no session called third")],
)
def test_what_cannot_be_replayed_is_one_line(told, text, options, cause):
    code, lines = told(text, *options)
    assert code != 0 and cause in " ".join(lines) and len(lines) <= 2
