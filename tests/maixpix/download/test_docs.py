"""The examples of docs/download.md, run as they stand."""

import random
import re
from pathlib import Path

import pytest

from benchmarks.lies import BIG, A
from benchmarks.lying_server import LyingServer

DOCS = Path(__file__).resolve().parents[3] / "docs" / "download.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
TEXT = "\n".join(str(random.Random(1).random()) for _ in range(1000)).encode()
JSON = b'{"name": "cat"}\n\n{"name": "dog"}\r\n'


def test_there_are_four_and_they_are_short():
    assert len(EXAMPLES) == 4
    assert all(5 <= len(text.strip().splitlines()) <= 12 for text in EXAMPLES)


@pytest.mark.parametrize("number", range(4))
def test_an_example(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    content = {"bin": BIG if number == 3 else A, "text": TEXT, "json": JSON}
    behave = {name: lambda talk, body=body: talk.serve(body, pause_s=0.001) for name, body in content.items()}
    with LyingServer(behave) as server:
        names = {"url": server.url("bin"), "text_url": server.url("text"), "json_url": server.url("json")}
        exec(compile(EXAMPLES[number], f"example {number}", "exec"), names)
    said = capsys.readouterr().out
    match number:
        case 0:
            assert (tmp_path / "face.kmodel").read_bytes() == A
            assert "300,000 bytes" in said
        case 1:
            assert said.split() == ["300000", "1000", "['cat',", "'dog']"]
        case 2:
            assert (tmp_path / "one.bin").read_bytes() == (tmp_path / "two.bin").read_bytes() == A
        case 3:
            assert (tmp_path / "big.bin").read_bytes() == BIG
            assert "of 6000000 over" in said
