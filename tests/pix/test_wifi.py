"""Bring-up, joining and coming back, against the real modem part over real lanes."""

from itertools import pairwise

import pytest

from rig.modem_bench import Once, read_all
from virtualboard.clock import MS, SECOND
from virtualboard.esp8285 import AccessPoint

SECRET = 'p"ss\\, wörd'


def stages(bench):
    return [f"{stage} {detail}" for _, stage, detail in bench.stages]


@pytest.mark.parametrize(("profile", "passive"), [("1.1", None), ("1.3", None), ("1.6", None), ("1.7.4", True)])
def test_every_firmware_comes_up(boards, profile, passive):
    bench = boards(profile)
    modem = bench.bring_up()
    assert (modem.passive, modem.ring, modem.address) == (passive, 49152, "192.168.4.50")
    assert modem.version == tuple(int(n) for n in profile.split(".")[:2])
    assert modem.baud == 1000000 == bench.modem.uart.baud
    assert not bench.modem.settings.echo
    assert bench.modem.settings.mux
    assert modem.online
    assert stages(bench)[-1] == "wifi home, address 192.168.4.50"
    assert bench.clock.now < 4 * SECOND


@pytest.mark.parametrize("baud", [115200, 460800, 921600, 2000000, 4000000])
def test_any_rate(boards, baud):
    bench = boards("1.7.4")
    modem = bench.bring_up(baud=baud)
    assert modem.baud == baud
    assert abs(bench.modem.uart.baud - baud) < 0.01 * baud
    assert bench.load("wifi").watch(modem)


@pytest.mark.parametrize("boot_baud", [74880, 115200])
@pytest.mark.parametrize("stored", [9600, 57600, 230400, 921600, 2000000])
def test_a_module_with_another_stored_rate_is_found(boards, stored, boot_baud):
    bench = boards()
    bench.modem.flash.baud = stored
    bench.modem.boot_baud = boot_baud
    modem = bench.bring_up(baud=460800)
    assert modem.baud == 460800
    assert modem.online


def test_without_an_enable_pin_a_running_module_is_restarted(boards):
    bench = boards("1.7.4", io0=None, enable=None)
    bench.modem.strap(False)
    bench.modem.restart()
    bench.run(600)
    bench.to_modem.tx_baud = 115200
    modem = bench.bring_up()
    assert b"AT+RST\r\n" in bench.commands
    assert bench.modem.stats.boots == 3
    assert modem.online


def test_the_strap_is_low_before_the_reset(boards):
    bench = boards(io0=None)
    bench.modem.boot_baud = 115200
    with bench.raises("no-modem"):
        bench.bring_up()
    held = boards()
    held.bring_up()
    assert held.modem.running


def test_the_strap_error_says_so(boards):
    bench = boards(io0=None)
    bench.modem.boot_baud = 115200
    try:
        bench.bring_up()
    except bench.PixError as error:
        assert error.cause == "The ESP8285 does not answer: its IO0 strap is high"


def test_a_silent_module_is_told_within_seconds(boards):
    bench = boards()
    bench.pads.on_level(8, lambda level: bench.modem.enable(False))
    with bench.raises("no-modem"):
        bench.bring_up()
    assert bench.clock.now < 20 * SECOND  # ten of them for data mode that may be left on at any stored rate


def test_a_rate_that_does_not_work_is_given_up(boards):
    bench = boards()

    def spoil(index, byte):
        return bytes((byte ^ (index % 7 == 0) * 0x20,)) if bench.to_chip.rx_baud > 200000 else bytes((byte,))

    bench.to_chip.mangle = spoil
    modem = bench.bring_up(baud=2000000)
    assert modem.baud == 115200
    assert bench.modem.uart.baud == 115273
    assert "modem no answer at 2000000 baud, staying at 115200" in stages(bench)
    bench.serve(80, lambda: Once(b"hello"))
    link = modem.connect("127.0.0.1", 80)
    link.write(b"x")
    assert read_all(link) == b"hello"


@pytest.mark.parametrize("profile", ["1.1", "1.6", "1.7.4"])
@pytest.mark.parametrize(
    ("points", "networks", "code"),
    [
        ([AccessPoint("home", "other key")], [("home", SECRET)], "wrong-password"),
        ([AccessPoint("next door", "x")], [("home", SECRET)], "no-network"),
        ([AccessPoint("home", SECRET, dhcp_ok=False)], [("home", SECRET)], "no-address"),
        ([AccessPoint("home", SECRET, associate_ms=30000)], [("home", SECRET)], "join-timeout"),
        ([AccessPoint("home", "other key")], [("away", "k"), ("home", SECRET)], "wrong-password"),
    ],
)
def test_what_is_wrong_with_the_network(boards, profile, points, networks, code):
    bench = boards(profile, points)
    with pytest.raises(bench.PixError) as caught:
        bench.bring_up(networks=networks)
    error = caught.value
    assert error.code == code, error
    assert error.detail in ("home", "away")
    text = " ".join([*stages(bench), str(error), error.cause, error.remedy, error.title, repr(error)])
    assert SECRET not in text
    assert "wörd" not in text
    assert bench.clock.now < 60 * SECOND


def test_the_first_reachable_of_several(boards):
    points = [
        AccessPoint("café ☕", "k2", rssi=-80),
        AccessPoint('quo"te\\d, net', "k3", rssi=-40),
        AccessPoint("x", "y"),
    ]
    bench = boards("1.7.4", points)
    bench.bring_up(networks=[("gone", "k1"), ("café ☕", "k2"), ('quo"te\\d, net', "k3")])
    assert bench.modem.station.ssid == "café ☕".encode()
    assert not any(b"gone" in command for command in bench.commands)
    bench.air.lose("café ☕".encode())
    again = boards("1.7.4", [AccessPoint('quo"te\\d, net', "k3")])
    again.bring_up(networks=[("café ☕", "k2"), ('quo"te\\d, net', "k3")])
    assert again.modem.station.ssid == b'quo"te\\d, net'


def test_a_hidden_network_is_tried_last(boards):
    bench = boards("1.7.4", [AccessPoint("seen", "right")])
    with bench.raises("wrong-password"):
        bench.bring_up(networks=[("hidden", "k"), ("seen", "wrong")])
    joins = [command for command in bench.commands if b"CWJAP" in command]
    assert [b"seen" in joins[0], b"hidden" in joins[1], len(joins)] == [True, True, 2]


@pytest.mark.parametrize("key", [SECRET, "", "0" * 64, 'back\\slash"quote', "comma, space "])
def test_keys_are_escaped(boards, key):
    bench = boards("1.1", [AccessPoint("ho\\me", key)])
    modem = bench.bring_up(networks=[("ho\\me", key)])
    assert modem.online
    assert bench.modem.station.password == key.encode()
    assert bench.modem.flash.ssid == b"", "the module's flash must not wear"


@pytest.mark.parametrize(
    ("networks", "words"),
    [([], "no Wi-Fi network is set"), ([("x" * 33, "k")], "name must have"), ([("x", "k" * 65)], "longer than 64")],
)
def test_settings_that_cannot_work(boards, networks, words):
    bench = boards()
    with pytest.raises(bench.PixError) as caught:
        bench.bring_up(networks=networks)
    assert caught.value.code == "settings"
    assert words in caught.value.cause


def test_a_control_character_in_a_key_is_refused_without_showing_it(boards):
    bench = boards()
    with pytest.raises(bench.PixError) as caught:
        bench.bring_up(networks=[("home", "abc\r\nAT+RESTORE")])
    assert caught.value.code == "settings"
    assert "RESTORE" not in str(caught.value)
    assert not any(b"RESTORE" in command for command in bench.commands)


def test_scanned_names(boards):
    name = boards().load("atline").scanned_name
    assert name(b'+CWLAP:(4,"home",-50,"3c:84:6a:00:00:01",6,-6,0)') == b"home"
    assert name(b'+CWLAP:(4,"a","b",-50,",-50,"3c:84:6a:00:00:01",6,-6,0,4,4,7,0)') == b'a","b",-50,'
    assert name(b'+CWLAP:(0,"",-50,"3c:84:6a:00:00:01",6,-6,0)') == b""
    assert name(b"+CWLAP:(") == b""
    assert name(b"OK") == b""


class Telling:
    """A modem whose answers are the line `line`."""

    version = (1, 7)
    online = True

    def __init__(self, line):
        self.line = line

    def ask(self, text, timeout_ms=0, on_line=None):
        if on_line is not None:
            on_line(self.line)
        return True


TOLD = {
    b"+CIPSNTPTIME:Sat Nov 28 14:00:00 2026": lambda load, modem: load("clock").ask(modem),
    b'+CIPAPMAC_CUR:"1a:fe:34:a5:8d:c6"': lambda load, modem: load("ownnet").name_of(modem, "maixpix-"),
    b'+CWJAP:"ho,\xff"me","3c:84:6a:00:00:01",6,-61': lambda load, modem: load("report").Report.look_at(modem, modem),
    b'+CWLAP:(4,"home",-50,"3c:84:6a:00:00:01",6,-6,0)': lambda load, modem: load("ownnet").scanned(modem.line),
}


@pytest.mark.parametrize("line", TOLD)
def test_a_damaged_line_is_never_an_exception(device, line):
    load = device.load
    for at in range(len(line)):
        for other in (*(bytes((line[at] ^ 1 << bit,)) for bit in range(8)), b"", line[at : at + 1] * 2, b"\x8f"):
            TOLD[line](load, Telling(line[:at] + other + line[at + 1 :]))


def test_what_a_whole_line_tells(device):
    load = device.load
    time, name, heard, seen = [(TOLD[line], Telling(line)) for line in TOLD]
    assert time[0](load, time[1]) == 1795874400
    assert name[0](load, name[1]) == "maixpix-8dc6"
    heard[0](load, heard[1])
    assert heard[1].rssi == "-61"
    assert seen[0](load, seen[1]) == (b"home", True, -50, 6)


@pytest.mark.parametrize("profile", ["1.1", "1.7.4"])
def test_a_lost_network_comes_back_by_itself(boards, profile):
    bench = boards(profile)
    modem = bench.bring_up(recover=True)
    watch = bench.load("wifi").watch
    bench.modem.drop_wifi()
    bench.run(200)
    assert not watch(modem)
    assert modem.lost == "wifi-lost"
    bench.clock.after(3 * SECOND, bench.modem.restore_wifi)
    bench.serve(80, lambda: Once(b"here again"))
    link = modem.connect("127.0.0.1", 80)
    link.write(b"x")
    assert read_all(link) == b"here again"
    assert watch(modem)
    assert bench.modem.stats.boots == 2  # at power-on with the strap high, and by the driver


def test_a_network_that_stays_away_is_an_error_and_then_joined_again(boards):
    bench = boards("1.7.4")
    modem = bench.bring_up(recover=True)
    bench.air.lose("home")
    bench.run(100)
    bench.load("wifi").watch(modem)
    with bench.raises("wifi-lost"):
        modem.connect("127.0.0.1", 80)
    assert modem.lost == "wifi-lost"
    bench.air.back("home")
    bench.serve(80, lambda: Once(b"ok"))
    link = modem.connect("127.0.0.1", 80)
    link.write(b"x")
    assert read_all(link) == b"ok"


def test_without_recovery_the_loss_is_told(boards):
    bench = boards()
    modem = bench.bring_up()
    wifi = bench.load("wifi")
    bench.modem.drop_wifi()
    bench.run(100)
    assert not wifi.watch(modem)
    with bench.raises("wifi-lost"):
        modem.connect("127.0.0.1", 80)
    bench.modem.restore_wifi()
    modem.repair()
    assert wifi.watch(modem)


@pytest.mark.parametrize("profile", ["1.1", "1.7.4"])
@pytest.mark.parametrize("baud", [115200, 1000000])
@pytest.mark.parametrize("fault", ["brown_out", "restart"])
def test_a_restarted_module_is_brought_up_again(boards, profile, baud, fault):
    bench = boards(profile)
    modem = bench.bring_up(recover=True, baud=baud)
    bench.serve(80, lambda: Once(b"alive"))
    link = modem.connect("127.0.0.1", 80)
    generation = modem.generation
    getattr(bench.modem, fault)()
    bench.run(1000)
    with pytest.raises(bench.PixError) as caught:
        link.write(b"x")
    assert caught.value.code in ("modem-rebooted", "bytes-lost")
    link.close()
    link = modem.connect("127.0.0.1", 80)
    link.write(b"x")
    assert read_all(link) == b"alive"
    assert modem.generation > generation
    assert bench.modem.uart.baud == (115273 if baud == 115200 else baud)


def test_a_restart_without_recovery_is_named(boards):
    bench = boards()
    modem = bench.bring_up()
    bench.modem.brown_out()
    bench.run(1000)
    with bench.raises("modem-rebooted"):
        modem.connect("127.0.0.1", 80)
    with bench.raises("modem-rebooted"):
        modem.connect("127.0.0.1", 80)


def test_a_dead_module_is_named_and_bounded(boards):
    bench = boards()
    modem = bench.bring_up()
    bench.modem.enable(False)
    before = bench.clock.now
    with bench.raises("no-modem"):
        modem.connect("127.0.0.1", 80)
    assert bench.clock.now - before < 45 * SECOND


def test_one_uart_and_its_ring_serve_all_modems(boards):
    # The receive interrupt writes into them also when the modem that made them is garbage.
    bench = boards()
    uart = bench.bring_up().uart
    assert bench.ports[1].serving is uart
    for _ in range(3):
        again = bench.bring_up()
        assert again.uart is uart is bench.ports[1].serving
        assert again.ring == 49152 == uart.ring.capacity


def test_hanging_up_stops_the_interrupt_and_the_next_modem_has_its_ring(boards):
    bench = boards()
    bench.bring_up()
    bench.load("atport").hang_up()
    assert bench.ports[1].serving is None
    bench.load("atport").hang_up()
    assert bench.bring_up().ring == 49152


def test_commands_survive_a_busy_module(boards):
    bench = boards()
    bench.clock.at(700 * MS, lambda: bench.modem.busy(3 * SECOND))
    modem = bench.bring_up()
    assert bench.modem.stats.busy > 0
    assert modem.online


@pytest.mark.parametrize("profile", ["1.1", "1.7.4"])
def test_idle_has_its_turn_while_a_network_is_looked_for(boards, profile):
    # An idle of two seconds, as long as a picture takes to be taken and kept, spoils no answer.
    bench = boards(profile, [AccessPoint("home", SECRET, dhcp_ms=3000)])
    turns = []

    def idle():
        turns.append((bench.clock.now // MS, bench.stages[-1][1]))
        bench.run(2000 if len(turns) % 50 == 1 else 5)

    modem = bench.bring_up(networks=[("away", "k"), ("home", SECRET)], idle=idle, recover=True)
    assert modem.online
    assert len(turns) > 50
    assert {stage for _, stage in turns} == {"wifi"}
    times = [when for when, _ in turns]
    assert max(b - a for a, b in pairwise(times)) < 2500
    bench.modem.drop_wifi()
    bench.run(200)
    assert not bench.load("wifi").watch(modem)
    before = len(turns)
    bench.clock.after(3 * SECOND, bench.modem.restore_wifi)
    modem.repair()
    assert len(turns) > before + 10
    assert modem.idle is None
    before = len(turns)
    assert modem.ask("")
    assert len(turns) == before


def test_what_idle_raises_ends_the_search(boards):
    bench = boards()
    error = bench.PixError("card-full")

    def idle():
        raise error

    with bench.raises("card-full"):
        bench.bring_up(idle=idle)
    assert bench.bring_up().online
