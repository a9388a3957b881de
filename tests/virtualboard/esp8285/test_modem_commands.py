"""Bytes of the simple commands, the echo, and the receiver's rules."""

import pytest

from virtualboard.clock import MS
from virtualboard.esp8285.uart import real_baud


@pytest.mark.parametrize(
    ("profile", "seen"),
    [
        ("1.1", b"AT\r\r\n\r\nOK\r\n"),
        ("1.3", b"AT\r\r\n\r\nOK\r\n"),
        ("1.6", b"AT\r\n\r\nOK\r\n"),
        ("1.7.4", b"AT\r\n\r\nOK\r\n"),
    ],
)
def test_echo_style_of_each_version(bench, profile, seen):
    assert bench(profile).boot(echo=True).ask(b"AT") == seen


def test_echo_off_and_on(bench):
    b = bench().boot(echo=True)
    assert b.ask(b"ATE0") == b"ATE0\r\n\r\nOK\r\n"
    assert b.ask(b"AT") == b"\r\nOK\r\n"
    assert b.ask(b"ATE1") == b"\r\nOK\r\n"
    assert b.ask(b"AT") == b"AT\r\n\r\nOK\r\n"
    assert b.ask(b"ATE2").endswith(b"\r\nERROR\r\n")
    assert b.ask(b"ATE").endswith(b"\r\nERROR\r\n")


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        (
            "1.1",
            b"AT version:1.1.0.0(May 11 2016 18:09:56)\r\nSDK version:1.5.4(baaeaebb)\r\n"
            b"compile time:May 20 2016 15:06:44\r\nOK\r\n",
        ),
        ("1.3", b"AT version:1.3.0.0(Jul 14 2016 18:54:01)\r\nSDK version:2.0.0(5a875ba)\r\n"),
        ("1.6", b"AT version:1.6.2.0("),
        ("1.7.4", b"AT version:1.7.4.0(May 11 2020 19:13:04)\r\nSDK version:3.0.4("),
    ],
)
def test_version_text(bench, profile, text):
    seen = bench(profile).boot().ask(b"AT+GMR")
    assert seen.startswith(text) and seen.endswith(b"\r\nOK\r\n") and not seen.endswith(b"\r\n\r\nOK\r\n")


@pytest.mark.parametrize(
    ("request_line", "reply"),
    [
        (b"AT+CWMODE?", b"+CWMODE:1\r\n\r\nOK\r\n"),
        (b"AT+CWMODE_CUR?", b"+CWMODE_CUR:1\r\n\r\nOK\r\n"),
        (b"AT+CWMODE=?", b"+CWMODE:(1-3)\r\n\r\nOK\r\n"),
        (b"AT+CWMODE=4", b"\r\nERROR\r\n"),
        (b"AT+CWMODE=1", b"\r\nOK\r\n"),
        (b"AT+SLEEP=0", b"\r\nOK\r\n"),
        (b"AT+SLEEP?", b"+SLEEP:2\r\n\r\nOK\r\n"),
        (b"AT+CIPMUX?", b"+CIPMUX:0\r\n\r\nOK\r\n"),
        (b"AT+CIPMODE?", b"+CIPMODE:0\r\n\r\nOK\r\n"),
        (b"AT+CIPDINFO?", b"+CIPDINFO:FALSE\r\nOK\r\n"),
        (b"AT+CWAUTOCONN?", b"+CWAUTOCONN:1\r\nOK\r\n"),
        (b"AT+CWJAP?", b"No AP\r\n\r\nOK\r\n"),
        (b"AT+CWDHCP_CUR?", b"+CWDHCP_CUR:3\r\nOK\r\n"),
        (b"AT+UART_CUR?", b"+UART_CUR:115273,8,1,0,0\r\nOK\r\n"),
        (b"AT+UART_CUR=115200,8,1,0", b"\r\nERROR\r\n"),
        (b"AT+UART_CUR=5000001,8,1,0,0", b"\r\nERROR\r\n"),
        (b"AT+UART_CUR=115200,9,1,0,0", b"\r\nERROR\r\n"),
        (b"AT+CIPSTATUS", b"STATUS:5\r\n\r\nOK\r\n"),
        (b"AT+CIFSR", b'+CIFSR:STAIP,"0.0.0.0"\r\n+CIFSR:STAMAC,"5c:cf:7f:9a:7c:21"\r\n\r\nOK\r\n'),
        (
            b"AT+CIPSTA_CUR?",
            b'+CIPSTA_CUR:ip:"0.0.0.0"\r\n+CIPSTA_CUR:gateway:"0.0.0.0"\r\n+CIPSTA_CUR:netmask:"0.0.0.0"\r\n\r\nOK\r\n',
        ),
        (b"AT+CIPSTAMAC?", b'+CIPSTAMAC:"5c:cf:7f:9a:7c:21"\r\n\r\nOK\r\n'),
        (b"AT+CIPRECVMODE?", b"+CIPRECVMODE:0\r\n\r\nOK\r\n"),
        (b"AT+CIPRECVLEN?", b"+CIPRECVLEN:0,0,0,0,0\r\n\r\nOK\r\n"),
        (b"AT+CIPSNTPCFG?", b"+CIPSNTPCFG:0\r\n\r\nOK\r\n"),
        (b"AT+CIPSNTPTIME?", b"+CIPSNTPTIME:Thu Jan 01 00:00:00 1970\r\nOK\r\n"),
        (b"AT+CIPSTO=60", b"\r\nERROR\r\n"),
        (b"AT+CWHOSTNAME?", b"+CWHOSTNAME:ESP_9A7C21\r\n\r\nOK\r\n"),
        (b"AT+CIPMUX", b"\r\nERROR\r\n"),
        (b"AT+GMR?", b"\r\nERROR\r\n"),
        (b"AT+NOSUCH", b"\r\nERROR\r\n"),
        (b"AT+GMR ", b"\r\nERROR\r\n"),
        (b"AT+CIPMUX=1x", b"\r\nERROR\r\n"),
        (b"AT+CIPMUX=00000000001", b"\r\nERROR\r\n"),
        (b"AT+CWSAP?", b"\r\nERROR\r\n"),
    ],
)
def test_reply_bytes(bench, request_line, reply):
    assert bench().boot().ask(request_line) == reply


@pytest.mark.parametrize(
    ("profile", "line", "known"),
    [
        ("1.1", b"AT+CIPRECVMODE=1", False),
        ("1.3", b"AT+CIPRECVLEN?", False),
        ("1.6", b"AT+CIPRECVMODE=1", False),
        ("1.7.4", b"AT+CIPRECVMODE=1", True),
        ("1.3", b"AT+CWHOSTNAME?", False),
        ("1.6", b"AT+CWHOSTNAME?", True),
        ("1.3", b"AT+SYSMSG=0", False),
        ("1.6", b"AT+SYSMSG=0", True),
        ("1.6", b"AT+SYSMSG_CUR=0", False),
        ("1.7.4", b"AT+SYSMSG_CUR=0", True),
        ("1.7.4", b"AT+SYSMSG=0", False),
        ("1.1", b"AT+CIPSERVERMAXCONN=2", False),
        ("1.7.4", b"AT+CWJAPTO=20", False),
        ("1.1", b"AT+CWMODE_CUR=1", True),
    ],
)
def test_commands_of_each_version(bench, profile, line, known):
    assert bench(profile).boot().ask(line).endswith(b"\r\nOK\r\n" if known else b"\r\nERROR\r\n")


def test_a_lone_line_end_and_junk_give_one_error_each(bench):
    b = bench().boot()
    assert b.ask(b"") == b"\r\nERROR\r\n"
    assert b.ask(b"?") == b"\r\nERROR\r\n"
    assert b.ask(b"junk") == b"\r\nERROR\r\n"
    assert b.ask(b"junkAT") == b"\r\nOK\r\n"  # the window finds AT anywhere
    assert b.ask(b"at") == b"\r\nOK\r\n"
    assert b.ask(b"At") == b"\r\nERROR\r\n"


def test_a_command_needs_its_carriage_return(bench):
    b = bench().boot()
    b.type(b"AT\n")
    b.wait(50)
    assert b.read() == b"\r\nERROR\r\n"


def test_a_command_may_come_in_pieces(bench):
    b = bench().boot()
    for piece in (b"A", b"T", b"+CW", b"MODE?", b"\r"):
        b.type(piece)
        b.wait(30)
    assert b.read() == b""
    b.type(b"\n")
    b.wait(30)
    assert b.read() == b"+CWMODE:1\r\n\r\nOK\r\n"


def test_a_line_longer_than_the_buffer_is_forgotten_and_ends_in_an_error(bench):
    b = bench().boot()
    assert b.ask(b"AT+CWJAP=" + b"x" * 300) == b"\r\nERROR\r\n"
    assert b.modem.stats.commands == 1  # ATE0 only
    assert b.ask(b"AT") == b"\r\nOK\r\n"


def test_reply_comes_after_two_idle_bytes_and_the_latency(bench):
    b = bench().boot()
    b.modem.latency_ns = 3 * MS
    start = b.clock.now
    b.type(b"AT\r\n")
    received = b.rx.busy_until
    assert b.clock.run_until(lambda: b.tx.arrival(1) is not None, start + 100 * MS)
    idle = 2 * 10 * 1_000_000_000 // 115273
    assert b.clock.now == received + idle + 3 * MS


def test_early_lines_get_busy_and_are_dropped(bench):
    b = bench().boot()
    b.type(b"AT+CWLAP\r\nAT\r\nAT+CIPMUX=1\r\n")
    b.wait(100)
    assert b.read() == b"\r\nbusy p...\r\n\r\nbusy p...\r\n"
    b.wait(3000)
    assert b.read().endswith(b"\r\nOK\r\n")
    assert b.ask(b"AT+CIPMUX?") == b"+CIPMUX:0\r\n\r\nOK\r\n"
    assert b.modem.stats.busy == 2


def test_rst_is_obeyed_even_when_busy(bench):
    b = bench().boot()
    b.modem.boot_baud = 115200
    b.type(b"AT+CWLAP\r\n")
    b.wait(50)
    seen = b.ask(b"AT+RST", 800)
    assert seen.startswith(b"\r\nWill force to restart!!!\r\n\r\nOK\r\n\r\n ets Jan")
    assert seen.endswith(b"\r\nready\r\n")


def test_several_commands_in_one_burst_run_only_the_first(bench):
    b = bench().boot()
    assert b.ask(b"AT+CIPMUX?\r\nAT+CWMODE?") == b"\r\nbusy p...\r\n+CIPMUX:0\r\n\r\nOK\r\n"


@pytest.mark.parametrize(
    ("asked", "real"),
    [
        (115200, 115273),
        (230400, 230547),
        (460800, 462427),
        (921600, 930232),
        (1000000, 1000000),
        (1500000, 1509433),
        (2000000, 2000000),
        (3000000, 3076923),
        (4500000, 4705882),
    ],
)
def test_the_divider_gives_the_real_rate(asked, real):
    assert real_baud(asked) == real


def test_baud_changes_after_ok_at_the_old_rate(bench):
    b = bench().boot()
    assert b.ask(b"AT+UART_CUR=921600,8,1,0,0") == b"\r\nOK\r\n"  # still read at 115200
    assert (b.rx.rx_baud, b.tx.tx_baud) == (930232, 930232)
    assert b.ask(b"AT") != b"\r\nOK\r\n"  # the host has not changed yet
    b.rx.tx_baud = b.tx.rx_baud = 921600
    b.ask(b"")
    assert b.ask(b"AT+UART_CUR?") == b"+UART_CUR:930232,8,1,0,0\r\nOK\r\n"


def test_scan_lists_networks_strongest_first_with_the_versions_fields(bench):
    from virtualboard.esp8285 import AccessPoint, Air

    air = Air(
        [
            AccessPoint("far", "x" * 8, rssi=-80, channel=1, bssid="aa:bb:cc:00:00:01"),
            AccessPoint('odd "name"', "", rssi=-40, channel=11, bssid="aa:bb:cc:00:00:02"),
        ]
    )
    old = bench("1.3", air=air).boot().ask(b"AT+CWLAP", 3000)
    assert old == (
        b'+CWLAP:(0,"odd "name"",-40,"aa:bb:cc:00:00:02",11,-6,0)\r\n'
        b'+CWLAP:(4,"far",-80,"aa:bb:cc:00:00:01",1,-6,0)\r\n\r\nOK\r\n'
    )
    b = bench("1.7.4", air=air).boot()
    assert b.ask(b'AT+CWLAP="far"', 3000) == b'+CWLAP:(4,"far",-80,"aa:bb:cc:00:00:01",1,-6,0,4,4,7,0)\r\n\r\nOK\r\n'
    assert b.ask(b"AT+CWLAPOPT=1,7") == b"\r\nOK\r\n"
    assert b.ask(b'AT+CWLAP="far"', 3000) == b'+CWLAP:(4,"far",-80)\r\n\r\nOK\r\n'


def test_commands_are_told_as_received(bench):
    b = bench().boot()
    seen = []
    b.modem.on_command = seen.append
    b.ask(b"AT+CWMODE?")
    b.ask(b"nonsense")
    assert seen == [b"AT+CWMODE?\r\n"]


def test_a_notice_may_split_an_echo(bench):
    b = bench("1.1").boot(echo=True)
    b.modem.split_echo(b"WIFI DISCONNECT\r\n", after=2)
    assert b.ask(b"AT+CWMODE?") == b"ATWIFI DISCONNECT\r\n+CWMODE?\r\r\n+CWMODE:1\r\n\r\nOK\r\n"


def test_a_build_may_lack_a_command(bench):
    b = bench("1.2").boot()
    b.modem.lack(b"AT+UART_CUR")
    assert b.ask(b"AT+UART_CUR=115200,8,1,0,0") == b"\r\nERROR\r\n"
    assert b.ask(b"AT+UART_DEF?") == b"+UART_DEF:115273,8,1,0,0\r\nOK\r\n"
