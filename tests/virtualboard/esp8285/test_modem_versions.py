"""The device code's table of what each AT firmware can, held against what the modem of each profile answers."""

import re

import pytest

from maixpix.board import device_tables
from maixpix.doctor import modem
from virtualboard.esp8285 import PROFILES

TABLE = device_tables.constant("atvers.py", "FEATURES")
OTHER = device_tables.constant("atvers.py", "OTHER")


def has(version, command):
    """True when the table says that AT `version` has `command`."""
    first, gone = next(row[1:] for row in TABLE.values() if row[0] == command)
    return first <= version and (not gone or version < gone)


@pytest.mark.parametrize("name", PROFILES)
def test_the_table_is_what_the_module_answers(bench, name):
    bench = bench(name).boot()
    version = PROFILES[name].version[:2]
    answered = []
    for question in modem.questions():
        if bench.ask(question.encode()) != b"\r\nERROR\r\n":
            answered.append(question)
        command = re.match(r"AT\+(\w+)", question)[1]
        assert (question in answered) == has(version, command), command
    assert (b"link is not valid" in bench.ask(b"AT+CIPSENDBUF=1")) == has(version, "CIPSENDBUF")
    lines = bench.ask(b"AT+GMR").decode().split("\r\n")
    finding = modem.firmware({"version": lines, "answered": answered}, 6, 7)
    assert finding.state == ("wrong" if version >= OTHER else "ok" if version >= (1, 7) else "note")
    assert ("passive receive" in finding.text.split(";")[0]) == ((1, 7) <= version < OTHER)
