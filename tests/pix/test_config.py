"""Settings on the board: what overrides what, what is refused, and that secrets stay secret."""

import json

import pytest

from virtualboard.board import BoardConfig
from virtualboard.launch import run_app

SCRIPT = """
import ujson
from pix import config
from pix.errors import PixError
paths = ujson.loads(open("/sd/cases.json").read())
for case in paths:
    try:
        s = config.load(case)
        print(ujson.dumps(["ok", s.baud, s.server, s.rotation, s.warnings]))
    except PixError as e:
        print(ujson.dumps([e.code, e.detail]))
"""

CASES = {
    "nothing": None,
    "good": b'{"baud": 2000000, "server": "http://pc:8000", "wifi": [["home", "sesame-42"], ["open", ""]]}',
    "mark": b'\xef\xbb\xbf{"server": "http://pc:9000"}\r\n',
    "unknown": b'{"bauds": 1, "token": "tok-secret-1"}',
    "type": b'{"baud": "fast"}',
    "bool": b'{"rotation": true}',
    "range": b'{"rotation": 4}',
    "choice": b'{"board": "uno"}',
    "wifi": b'{"wifi": [["home", "sesame-42", 1]]}',
    "wifi2": b'{"wifi": {"home": "sesame-42"}}',
    "secret": b'{"token": 12345678}',
    "torn": b'{"baud": 2000000, "server": "x"',
    "json": b'{"baud": }',
    "list": b"[1]",
    "utf8": b'{"server": "\xff"}',
    "empty": b"",
    "huge": b'{"server": "' + b"x" * 5000 + b'"}',
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory, board_card):
    card = board_card(tmp_path_factory.mktemp("card"))
    for name, data in CASES.items():
        if data is not None:
            (card / f"{name}.json").write_bytes(data)
    (card / "over.json").write_bytes(b'{"baud": 115200}')
    runs = [[f"/sd/{name}.json"] for name in CASES] + [["/sd/good.json", "/sd/over.json"]]
    (card / "cases.json").write_text(json.dumps(runs))
    result = run_app(BoardConfig(card=str(card)), SCRIPT)
    assert result.ok, result.console
    rows = [json.loads(line) for line in result.console.splitlines() if line.startswith("[") and '"' in line]
    assert "sesame" not in result.console and "tok-secret" not in result.console
    return dict(zip([*CASES, "both"], rows, strict=True))


def test_defaults_without_a_file(answers):
    assert answers["nothing"][:5] == ["ok", 1000000, "", 0, []]


def test_values_are_taken_over_and_later_files_win(answers):
    assert answers["good"][:3] == ["ok", 2000000, "http://pc:8000"]
    assert answers["both"][:3] == ["ok", 115200, "http://pc:8000"]


def test_a_byte_order_mark_is_no_part_of_the_settings(answers):
    assert answers["mark"][:3] == ["ok", 1000000, "http://pc:9000"]


def test_an_unknown_setting_is_named_and_ignored(answers):
    assert answers["unknown"][0] == "ok"
    assert answers["unknown"][4] == ["/sd/unknown.json: unknown setting bauds ignored"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("type", "baud must be a whole number"),
        ("bool", "rotation must be a whole number"),
        ("range", "rotation must be from 0 to 3"),
        ("choice", "board must be one of"),
        ("wifi", "wifi must be a list of [name, key] pairs"),
        ("wifi2", "wifi must be a list of [name, key] pairs"),
        ("secret", "token must be a text"),
        ("torn", "torn.json is not whole JSON"),
        ("json", "json.json is not whole JSON"),
        ("list", "is not whole JSON"),
        ("utf8", "is not whole JSON"),
        ("empty", "is not whole JSON"),
        ("huge", "is larger than 4096 bytes"),
    ],
)
def test_each_bad_file_or_value_is_named(answers, name, words):
    code, detail = answers[name]
    assert code == "settings"
    assert words in detail
