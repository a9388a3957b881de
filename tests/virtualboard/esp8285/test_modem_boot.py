"""Power, boot text, reset: what is lost and what is kept."""

import pytest

from virtualboard.clock import MS, SECOND, Clock
from virtualboard.esp8285 import PROFILES, AccessPoint, Air, Modem
from virtualboard.network import Network
from virtualboard.wire import Lane


def test_unknown_profile_is_refused_with_the_known_ones():
    clock = Clock()
    with pytest.raises(
        ValueError, match=r"no AT firmware profile '9\.9'; known profiles: 1\.1, 1\.2, 1\.3, 1\.5, 1\.6, 1\.7\.4, 2\.1"
    ):
        Modem(clock, Lane(clock, "a"), Lane(clock, "b"), Air(), Network(clock), "9.9")


def test_off_says_nothing_and_hears_nothing(bench):
    b = bench()
    b.type(b"AT\r\n")
    b.wait(1000)
    assert b.read() == b""


@pytest.mark.parametrize("profile", PROFILES)
def test_boot_text_is_garbage_at_another_rate_and_ready_is_clean(bench, profile):
    b = bench(profile)
    b.modem.enable(True)
    b.wait(600)
    seen = b.read()
    assert seen.endswith(b"\r\nready\r\n")
    garbage = seen[: -len(b"\r\nready\r\n")]
    assert len(garbage) > 100 and b"ets Jan" not in garbage


def test_boot_text_is_readable_at_the_roms_rate(bench):
    b = bench()
    b.modem.enable(True)
    b.tx.rx_baud = 74880
    b.wait(200)
    text = b.read()
    assert text.startswith(b"\r\n ets Jan  8 2013,rst cause:1, boot mode:(3,7)\r\n\r\nload 0x40100000, len 1856")
    assert text.endswith(b"2nd boot version : 1.5\r\n" + text.split(b"2nd boot version : 1.5\r\n")[1])
    assert text.endswith(b"jump to run user1 @ 1000\r\n\r\n")


def test_with_a_40_mhz_crystal_the_text_comes_at_115200(bench):
    b = bench()
    b.modem.boot_baud = 115200
    b.modem.enable(True)
    b.wait(600)
    text = b.read()
    assert b"rst cause:1, boot mode:(3,7)" in text and text.endswith(b"1000\r\n\r\n\r\nready\r\n")


def test_strapped_high_it_waits_for_a_host_for_ever(bench):
    b = bench()
    b.modem.boot_baud = 115200
    b.modem.strap(True)
    b.modem.enable(True)
    b.wait(5000)
    assert b.read() == b"\r\n ets Jan  8 2013,rst cause:1, boot mode:(7,7)\r\n\r\nwaiting for host\r\n"
    assert b.ask(b"AT") == b""
    b.modem.enable(False)
    b.modem.strap(False)
    b.modem.enable(True)
    b.wait(600)
    assert b.read().endswith(b"\r\nready\r\n")


def test_input_before_ready_is_lost(bench):
    b = bench()
    b.modem.enable(True)
    b.wait(100)
    b.type(b"AT\r\n")
    b.wait(500)
    assert b.read().endswith(b"\r\nready\r\n")


def test_reset_loses_echo_mux_baud_and_receive_mode_but_not_flash(bench):
    b = bench().boot().speed(1000000)
    assert b.ask(b"AT+CIPMUX=1") == b"\r\nOK\r\n"
    assert b.ask(b"AT+CIPRECVMODE=1") == b"\r\nOK\r\n"
    assert b.ask(b"AT+CWAUTOCONN=0") == b"\r\nOK\r\n"
    b.modem.enable(False)
    b.rx.tx_baud = b.tx.rx_baud = 115200
    b.modem.enable(True)
    b.wait(600)
    assert b.read().endswith(b"\r\nready\r\n")
    assert b.ask(b"AT") == b"AT\r\n\r\nOK\r\n"
    b.ask(b"ATE0")
    assert b.ask(b"AT+CIPMUX?") == b"+CIPMUX:0\r\n\r\nOK\r\n"
    assert b.ask(b"AT+CIPRECVMODE?") == b"+CIPRECVMODE:0\r\n\r\nOK\r\n"
    assert b.ask(b"AT+CWAUTOCONN?") == b"+CWAUTOCONN:0\r\nOK\r\n"


def test_brown_out_at_high_speed_shows_no_clean_ready(bench):
    b = bench().boot().speed(1000000)
    b.modem.brown_out()
    b.wait(600)
    seen = b.read()
    assert seen and b"ready" not in seen
    b.tx.rx_baud = b.rx.tx_baud = 115200
    assert b.ask(b"AT") == b"AT\r\n\r\nOK\r\n"


def test_watchdog_shows_its_cause_and_power_loss_cuts_what_was_being_sent(bench):
    b = bench().boot()
    b.modem.boot_baud = 115200
    b.type(b"AT+GMR\r\n")
    b.wait(4)
    b.modem.restart("watchdog")
    b.wait(600)
    seen = b.read()
    cut, text = seen.split(b"\r\n ets Jan")
    assert b"AT version:1.7.4.0(May 11 2020 19:13:04)\r\n".startswith(cut) and 0 < len(cut) < 40
    assert b"rst cause:4" in text and text.endswith(b"ready\r\n")
    with pytest.raises(ValueError, match="unknown reset cause 'cosmic'; known: power"):
        b.modem.restart("cosmic")


def test_rst_answers_ok_then_leaves_the_network_then_restarts(bench, server):
    b = bench(profile="1.7.4").online(mux=True)
    b.modem.boot_baud = 115200
    b.network.attach("10.0.0.1", 80, server)
    assert b.ask(b'AT+CIPSTART=0,"TCP","10.0.0.1",80') == b"0,CONNECT\r\n\r\nOK\r\n"
    seen = b.ask(b"AT+RST", 1000)
    assert seen.startswith(b"\r\nOK\r\n0,CLOSED\r\nWIFI DISCONNECT\r\n\r\n ets Jan")
    assert seen.endswith(b"\r\nready\r\n")
    assert b.network.open_links == 0


def test_stored_network_is_joined_after_ready(bench):
    b = bench(profile="1.1").boot()
    assert b.ask(b'AT+CWJAP_DEF="home","secret"', 4000) == b"WIFI CONNECTED\r\nWIFI GOT IP\r\n\r\nOK\r\n"
    b.modem.enable(False)
    b.wait(50)
    b.modem.enable(True)
    b.wait(600)
    b.read()
    b.wait(4000)
    assert b.read() == b"WIFI DISCONNECT\r\nWIFI CONNECTED\r\nWIFI GOT IP\r\n"
    b.ask(b"ATE0")
    assert b.ask(b"AT+CWAUTOCONN=0") == b"\r\nOK\r\n"
    b.modem.restart("external")
    b.wait(5000)
    assert b.read().endswith(b"ready\r\n")


@pytest.mark.parametrize(("profile", "first"), [("1.2", b"WIFI DISCONNECT\r\n"), ("1.3", b""), ("1.7.4", b"")])
def test_up_to_1_2_an_automatic_join_begins_with_a_disconnect(bench, profile, first):
    b = bench(profile).boot()
    assert b.ask(b'AT+CWJAP="home","secret"', 4000).endswith(b"OK\r\n")
    b.modem.restart("power")
    b.wait(5000)
    assert b.read().endswith(b"\r\nready\r\n" + first + b"WIFI CONNECTED\r\nWIFI GOT IP\r\n")


@pytest.mark.parametrize(
    ("cause", "readable"),
    [("power", False), ("external", False), ("watchdog", True), ("exception", True), (2, False), (4, True)],
)
def test_only_a_cold_start_moves_the_roms_rate(bench, cause, readable):
    b = bench("1.1").boot()
    b.modem.restart(cause)
    b.wait(600)
    assert (b"ets Jan  8 2013" in b.read()) == readable


@pytest.mark.parametrize(
    ("profile", "number"), [("1.1", 2), ("1.2", 2), ("1.3", 2), ("1.5", 2), ("1.6", 1), ("1.7.4", 1)]
)
def test_rst_is_readable_and_tells_the_versions_own_cause(bench, profile, number):
    b = bench(profile).boot()
    seen = b.ask(b"AT+RST", 600)
    assert seen.startswith(b"\r\nOK\r\n\r\n ets Jan  8 2013,rst cause:%d, boot mode:(3,7)\r\n\r\nload" % number)
    assert seen.endswith(b"jump to run user1 @ 1000\r\n\r\n\r\nready\r\n")


def test_the_roms_text_after_rst_is_noise_on_a_module_that_is_set_to_9600(bench):
    b = bench("1.2").boot()
    assert b.ask(b"AT+UART_DEF=9600,8,1,0,0") == b"\r\nOK\r\n"
    b.rx.tx_baud = b.tx.rx_baud = 9600
    seen = b.ask(b"AT+RST", 1000)
    assert seen.startswith(b"\r\nOK\r\n") and seen.endswith(b"\r\nready\r\n")
    assert b"ets" not in seen and any(byte >= 0x80 for byte in seen)


@pytest.mark.parametrize(
    ("name", "tail"),
    [
        ("noise", b"r\x8e\xc39l\x80d\xff\r\nready\r\n"),
        ("rtc", b"don't use rtc mem data\r\nr\xb1\r\nready\r\n"),
        ("sdk", b"phy ver: 972, pp ver: 10.1\r\n\r\n\r\nready\r\n"),
        ("vendor", b"\xff\r\nAi-Thinker Technology Co.,Ltd.\r\n\r\nready\r\n"),
        ("invalid", b"r\xf4\r\nAi-Thinker Technology Co. Ltd.\r\n\r\ninvalid\r\n"),
    ],
)
def test_boot_variants_and_the_module_works_behind_them(bench, name, tail):
    b = bench("1.1").boot()
    b.modem.vary_boot(name)
    b.modem.restart("watchdog")
    b.wait(600)
    seen = b.read()
    assert b"rst cause:4, boot mode:(3,7)\r\n\r\nwdt reset\r\nload" in seen and seen.endswith(tail)
    assert b.ask(b"AT") == b"AT\r\r\n\r\nOK\r\n"
    with pytest.raises(ValueError, match="no boot variant 'music'; known: noise, rtc"):
        b.modem.vary_boot("music")


def test_ready_comes_after_a_quarter_of_a_second_and_not_always_the_same(bench):
    took = []
    for seed in range(10):
        b = bench("1.7.4", seed=seed)
        b.modem.enable(True)
        assert b.clock.run_until(lambda b=b: b.modem.running, SECOND)
        took.append(b.clock.now / MS)
    assert 235 <= min(took) < max(took) <= 305 and len(set(took)) > 5
    again = bench("1.7.4", seed=3)
    again.modem.enable(True)
    again.clock.run_until(lambda: again.modem.running, SECOND)
    assert again.clock.now / MS == took[3]


def test_data_mode_left_on_in_flash_swallows_commands_until_plus_plus_plus(bench, server):
    b = bench("1.7.4").boot()
    assert b.ask(b'AT+CWJAP="home","secret"', 4000).endswith(b"OK\r\n")
    peer = server()
    b.network.attach("10.0.0.1", 80, lambda: peer)
    assert b.ask(b'AT+SAVETRANSLINK=1,"10.0.0.1",80,"TCP"') == b"\r\nOK\r\n"
    b.modem.restart("power")
    b.wait(6000)
    assert b.read().endswith(b"\r\nready\r\n")
    assert b.ask(b"AT") == b"" and peer.heard == b"AT\r\n"
    b.wait(50)
    b.type(b"+++")
    b.wait(1000)
    assert b.ask(b"ATE0") == b"ATE0\r\n\r\nOK\r\n"
    assert b.ask(b"AT+CIPMODE?") == b"+CIPMODE:1\r\n\r\nOK\r\n"
    assert b.ask(b"AT+SAVETRANSLINK=0") == b"\r\nOK\r\n"
    b.modem.restart("power")
    b.wait(600)
    b.read()
    assert b.ask(b"AT") == b"AT\r\n\r\nOK\r\n"


def test_stored_notices_come_back_after_a_reset(bench):
    b = bench("1.7.4").boot()
    assert b.ask(b"AT+SYSMSG_DEF=2") == b"\r\nOK\r\n"
    b.modem.restart("power")
    b.wait(600)
    assert b.modem.settings.sysmsg == 2


def test_restore_forgets_everything(bench):
    b = bench(profile="1.6").boot()
    assert b.ask(b"AT+UART_DEF=230400,8,1,0,0") == b"\r\nOK\r\n"
    b.rx.tx_baud = b.tx.rx_baud = 230400
    assert b.ask(b"AT+UART_DEF?") == b"+UART_DEF:230547,8,1,0,0\r\nOK\r\n"
    assert b.ask(b"AT+RESTORE", 260) == b"\r\nOK\r\n"
    b.wait(1000)
    b.read()
    b.rx.tx_baud = b.tx.rx_baud = 115200
    assert b.ask(b"AT") == b"AT\r\n\r\nOK\r\n"


def test_air_without_that_network_has_a_clear_error():
    with pytest.raises(ValueError, match="no access point called 'nowhere' here"):
        Air([AccessPoint("home", "x")]).lose("nowhere")


def test_reset_forgets_a_network_that_was_not_stored(bench):
    b = bench("1.1").online()
    b.modem.restart("watchdog")
    b.wait(600)
    assert b.read().endswith(b"\r\nready\r\n")
    b.wait(10000)
    assert b.read() == b""
    b.ask(b"ATE0")
    assert b.ask(b"AT+CWJAP?") == b"No AP\r\n\r\nOK\r\n"
    assert b.ask(b"AT+CIPSTATUS") == b"STATUS:5\r\n\r\nOK\r\n"
