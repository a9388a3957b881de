"""Modules as people have them: other firmware, settings left in the flash, answers out of place.

Recorded sessions (JSON lines: id, firmware, kind, bytes) are put before the driver: those of the virtual modem's own
tests, and those of the file that AT_SESSIONS names.
"""

import json
import os
import re
from pathlib import Path

import pytest

from rig.modem_bench import SERVER, Once, read_all
from virtualboard.clock import MS

BOTH = pytest.mark.parametrize("profile", ["1.1", "1.7.4", "1.7.4 passive"])
BODY = bytes(range(256)) * 8


def answer(bench, answers):
    """Have the module print `answers[command]` to a command that begins so; None: ERROR, as to one it does not know."""
    run = bench.modem.line_complete

    def line(text):
        for start, said in answers.items():
            if text.startswith(start):
                bench.modem.after_latency(
                    bench.modem.error if said is None else lambda said=said: bench.modem.print(said)
                )
                return
        run(text)

    bench.modem.line_complete = line


def fetched(bench, modem, host=SERVER):
    """What a link to `host` gives."""
    bench.serve(80, lambda: Once(BODY))
    link = modem.connect(host, 80)
    link.write(b"GET")
    body = read_all(link)
    link.close()
    return body


def stages(bench):
    return [f"{stage} {detail}" for _, stage, detail in bench.stages]


def test_at_2_is_refused_by_name(boards):
    bench = boards()
    answer(bench, {b"+GMR": b"AT version:2.3.0.0-dev(s-bcd64d2 - ESP8266)\r\nSDK version:v3.4\r\n\r\nOK\r\n"})
    with pytest.raises(bench.PixError) as caught:
        bench.bring_up()
    assert caught.value.code == "modem-firmware"
    assert "AT 2.3" in caught.value.cause and "1.7.4" in caught.value.remedy
    assert bench.commands[-1].startswith(b"AT+GMR"), "nothing is tried after that"


def test_a_module_that_says_nothing_is_told_from_one_that_only_starts(boards):
    bench = boards()
    bench.pads.on_level(8, lambda level: bench.modem.enable(False))
    with pytest.raises(bench.PixError) as caught:
        bench.bring_up()
    assert caught.value.cause.endswith("silent at all rates")
    bench = boards()
    bench.modem.flash.baud = 110  # no rate that anybody tries
    with pytest.raises(bench.PixError) as caught:
        bench.bring_up()
    assert "no AT firmware" in caught.value.cause


@BOTH
def test_a_send_ok_that_comes_late_ends_nothing(boards, profile):
    """NONOS SDK issue 60: SEND FAIL and later SEND OK, for the same payload."""
    bench = boards(profile)
    modem = bench.bring_up()
    bench.to_chip.write(b"\r\nSEND OK\r\n")
    assert modem.command("+NOSUCH") == b"ERROR"
    bench.serve(80, lambda: Once(BODY))
    link = modem.connect(SERVER, 80)
    link.write(b"GET")
    out = bytearray()
    view = memoryview(bytearray(300))
    while count := link.readinto(view):
        out += view[:count]
        if bench.to_chip.unsent() == 0:
            bench.to_chip.write(b"\r\nSEND OK\r\n")
    assert out == BODY
    assert link.trusted == len(BODY)


@pytest.mark.parametrize("empty_line", [b"", b"\r\n"])
def test_a_failed_send_with_or_without_an_empty_line(boards, empty_line):
    bench = boards()
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(BODY))
    link = modem.connect(SERVER, 80)
    bench.modem.inject(empty_line + b"SEND FAIL\r\n", before=b"\r\nRecv 3 bytes\r\n")
    with bench.raises("send-failed"):
        link.write(b"GET")
    link.close()
    assert fetched(bench, modem) == BODY


@pytest.mark.parametrize("profile", ["1.1", "1.3", "1.6", "1.7.4"])
@pytest.mark.parametrize("command", ["+GMR", "+UART_CUR?", "+CWAUTOCONN?", "+CIPSNTPTIME?"])
def test_answers_whose_last_line_has_no_end_are_no_damage(boards, profile, command):
    bench = boards(profile)
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(BODY))
    link = modem.connect(SERVER, 80)
    link.write(b"GET")
    out = read_all(link, limit=100)
    modem.command(command)
    assert modem.damages == 0
    assert out + read_all(link) == BODY


def test_a_time_with_a_line_feed_of_its_own(boards):
    bench = boards("1.7.4")
    modem = bench.bring_up()
    bench.serve(80, lambda: Once(BODY))
    link = modem.connect(SERVER, 80)
    answer(bench, {b"+CIPSNTPTIME": b"+CIPSNTPTIME:Thu Jan 01 00:00:00 1970\n\r\nOK\r\n"})
    assert modem.command("+CIPSNTPTIME?") == b"OK"
    assert not link.error


def test_long_notices_left_on(boards):
    bench = boards("1.7.4")
    modem = bench.bring_up()
    assert any(command.startswith(b"AT+SYSMSG_CUR=0") for command in bench.commands)
    assert modem.ask("+SYSMSG_CUR=3")
    assert fetched(bench, modem) == BODY
    assert modem.damages == 0


def test_data_mode_left_on(boards):
    """What is written goes to a peer, until +++ comes alone."""
    bench = boards("1.7.4", io0=None, enable=None)
    bench.modem.strap(False)
    bench.modem.restart()
    heard = []
    bench.serve(81, lambda: Once(b"", close=False, heard=heard))
    bench.run(600)
    bench.to_modem.tx_baud = 115200
    for line in (
        b'+CWJAP_CUR="home","correct horse"',
        b'+CIPSTART="TCP","%s",81' % SERVER.encode(),
        b"+CIPMODE=1",
        b"+CIPSEND",
    ):
        bench.to_modem.write(b"AT" + line + b"\r\n")
        bench.run(5000)
    assert bench.modem.transparent.active
    modem = bench.bring_up()
    assert modem.online
    assert fetched(bench, modem) == BODY


def test_without_cipdomain_names_go_to_cipstart(boards):
    bench = boards("1.1", names={"pictures.lan": SERVER})
    modem = bench.bring_up()
    answer(bench, {b"+CIPDOMAIN": None})
    assert fetched(bench, modem, "pictures.lan") == BODY
    assert any(b'+CIPSTART=4,"TCP","pictures.lan"' in command for command in bench.commands)
    before = bench.clock.now
    with bench.raises("dns-failed"):
        modem.connect("nowhere.lan", 80)
    assert bench.clock.now - before < 30_000 * MS


def test_without_uart_cur_it_stays_at_its_rate_and_says_so(boards):
    bench = boards("1.1")
    answer(bench, {b"+UART_CUR": None})
    modem = bench.bring_up()
    assert modem.baud == 115200
    assert "modem it cannot change its rate, staying at 115200" in stages(bench)
    assert fetched(bench, modem) == BODY


OWN_SESSIONS = Path(__file__).resolve().parents[1] / "virtualboard" / "esp8285" / "at-sessions.jsonl"


def recorded():
    """Every recorded session there is."""
    files = [OWN_SESSIONS, *map(Path, filter(None, [os.environ.get("AT_SESSIONS")]))]
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


@BOTH
def test_no_record_makes_the_driver_stumble(boards, profile):
    """Printed at the driver while it is idle, while a command waits, and while a link is open."""
    bench = boards(profile)
    modem = bench.bring_up(recover=True)
    for record in recorded():
        data = record["bytes"].encode("latin-1", "replace").decode("unicode_escape").encode("latin-1", "replace")
        bench.serve(80, lambda: Once(BODY, close=False))
        link = None
        try:
            bench.to_chip.write(data)
            modem.ask("")
            link = modem.connect(SERVER, 80)
            bench.to_chip.write(data)
            link.write(b"GET")
            got = read_all(link, limit=len(BODY))
            link.prove()
            assert got == BODY, record["id"]
        except bench.PixError as error:
            assert error.code != "internal", record["id"]
        if link is not None:
            link.close()
        assert fetched(bench, modem) == BODY, record["id"]


@pytest.mark.parametrize("record", [r for r in recorded() if r["kind"] == "gmr"], ids=lambda record: record["id"])
def test_recorded_versions(boards, record):
    atvers = boards().load("atvers")
    told = record["bytes"].encode("latin-1").decode("unicode_escape").encode("latin-1")
    assert atvers.version(told) == tuple(int(number) for number in re.findall(r"\d+", record["firmware"])[:2])
