"""Fault plans: every trigger, every action on the parts themselves, every refusal, and the same run from one seed."""

import random

import pytest

from virtualboard.board import Board, BoardConfig
from virtualboard.clock import MS, SECOND
from virtualboard.esp8285 import PROFILES
from virtualboard.esp8285.boot import VARIANTS
from virtualboard.faults import ACTIONS, BOOTS, LANES, TRIGGERS, WIRE_ACTIONS, Faults, check_plan, parse_plan
from virtualboard.network import Script

SERVER = "10.0.0.1"


class Rig:
    """A board without a chip: somebody types at its modem and reads what comes."""

    def __init__(self, folder, plan=(), seed=0):
        (folder / "card").mkdir(exist_ok=True)
        self.folder = folder / "card"
        self.board = Board(BoardConfig(card=str(self.folder), at="1.1", boot_baud=115200, seed=seed))
        self.card, self.clock = self.board.card, self.board.clock
        self.board.network.attach(SERVER, 80, Script)
        self.faults = Faults(self.board, list(plan), seed)
        self.live = []
        self.faults.on_happened = lambda when, what: self.live.append((when, what))

    def wait(self, ms):
        self.clock.advance(round(ms * MS))
        return self.board.to_chip.take()

    def ask(self, line, ms=100):
        self.board.to_modem.write(line + b"\r\n")
        return self.wait(ms)

    def booted(self):
        assert self.wait(600).endswith(b"\r\nready\r\n")
        self.ask(b"ATE0")
        return self

    def joined(self):
        self.booted()
        assert self.ask(b'AT+CWJAP_CUR="home","correct horse"', 5000).endswith(b"WIFI GOT IP\r\n\r\nOK\r\n")
        return self

    def linked(self):
        self.joined()
        assert self.ask(b"AT+CIPMUX=1") == b"\r\nOK\r\n"
        assert self.ask(b'AT+CIPSTART=2,"TCP","%s",80' % SERVER.encode()) == b"2,CONNECT\r\n\r\nOK\r\n"
        return self

    def do(self, what, **options):
        """Let one action happen now, the way a plan makes it happen."""
        check_plan([{"when": {"ms": 0}, "do": what, **options}])
        self.faults._do({"do": what, **options})
        return self

    @property
    def what(self):
        return [what for _, what in self.faults.happened]


@pytest.fixture
def rig(tmp_path):
    made = []

    def make(plan=(), seed=0):
        made.append(Rig(tmp_path, plan, seed))
        return made[-1]

    yield make
    for each in made:
        each.board.power_off()


# -- actions ------------------------------------------------------------------------------------------------


def resets_the_modem(rig):
    assert b"rst cause:2," in rig.do("reset-modem", cause=2).wait(600)
    assert b"rst cause:4," in rig.do("reset-modem").wait(600)


def browns_out(rig):
    assert b"rst cause:1," in rig.do("brown-out").wait(600)


def loses_wifi(rig):
    assert rig.do("lose-wifi", for_ms=20_000).wait(2000) == b"WIFI DISCONNECT\r\n"
    join = b'AT+CWJAP_CUR="home","correct horse"'
    assert rig.ask(join, 17_000).endswith(b"FAIL\r\n")
    rig.wait(5000)
    assert rig.ask(join, 6000).endswith(b"\r\nOK\r\n")


def loses_dhcp(rig):
    assert rig.do("lose-dhcp", for_ms=8000).wait(7000) == b"WIFI DISCONNECT\r\nWIFI CONNECTED\r\n"
    assert rig.wait(6000).endswith(b"WIFI CONNECTED\r\nWIFI GOT IP\r\n")


def changes_the_address(rig):
    before = rig.ask(b"AT+CIFSR")
    rig.do("change-address", for_ms=9000).wait(5000)
    assert b'STAIP,"192.168.4.77"' in rig.ask(b"AT+CIFSR")
    rig.wait(9000)
    assert rig.ask(b"AT+CIFSR") == before
    rig.do("change-address", ip="10.1.1.1").wait(5000)
    assert b'STAIP,"10.1.1.1"' in rig.ask(b"AT+CIFSR")


def roams(rig):
    assert b'"3c:84:6a:00:00:01",6,' in rig.ask(b"AT+CWJAP?")
    assert rig.do("roam").wait(5000) == b"WIFI DISCONNECT\r\nWIFI CONNECTED\r\nWIFI GOT IP\r\n"
    assert b'"3c:84:6a:00:00:02",11,' in rig.ask(b"AT+CWJAP?")


def jumps_the_clock(rig):
    before = rig.board.network.unix_time()
    assert rig.do("jump-clock", s=-86_400).board.network.unix_time() == before - 86_400


def stores_an_odd_rate(rig):
    rig.do("store-baud", baud=9600)
    assert rig.ask(b"AT") == b"\r\nOK\r\n"
    assert b"ready" not in rig.do("reset-modem").wait(900)
    rig.board.to_modem.tx_baud = rig.board.to_chip.rx_baud = 9600
    assert rig.ask(b"AT").endswith(b"\r\nOK\r\n")


def closes_a_link(rig):
    assert rig.do("close-link").wait(100) == b""  # link 0 is not open
    assert rig.do("close-link", link=2).wait(100) == b"2,CLOSED\r\n"
    rig.ask(b'AT+CIPSTART=2,"TCP","%s",80' % SERVER.encode())
    assert b"2,CLOSED\r\n" in rig.do("close-link", link=2, reset=True).wait(100)


def stalls_the_modem(rig):
    rig.do("stall-modem", ms=700)
    assert rig.ask(b"AT", 690) == b""
    assert rig.wait(50) == b"\r\nOK\r\n"


def makes_the_modem_busy(rig):
    rig.do("busy-modem", ms=700)
    assert rig.ask(b"AT") == b"\r\nbusy p...\r\n"
    rig.wait(700)
    assert rig.ask(b"AT") == b"\r\nOK\r\n"


def fails_a_send(rig):
    rig.do("fail-send")
    assert rig.ask(b"AT+CIPSEND=2,5", 30) == b"\r\nOK\r\n> "
    assert b"\r\nSEND FAIL\r\n" in rig.ask(b"hello", 200)
    rig.do("fail-send", empty_line=True)
    rig.ask(b"AT+CIPSEND=2,5", 30)
    assert b"\r\nRecv 5 bytes\r\n\r\nSEND FAIL\r\n" in rig.ask(b"hello", 200)
    rig.ask(b"AT+CIPSEND=2,5", 30)
    assert rig.ask(b"hello", 200).endswith(b"\r\nSEND OK\r\n")


def fails_a_send_and_thinks_again(rig):
    rig.do("late-send-ok")
    assert rig.ask(b"AT+CIPSEND=2,5", 30) == b"\r\nOK\r\n> "
    rig.board.to_modem.write(b"hello")
    assert rig.wait(200) == b"\r\nRecv 5 bytes\r\n\r\nSEND FAIL\r\n\r\nSEND OK\r\n"


def splits_an_echo(rig):
    rig.ask(b"ATE1")
    rig.do("split-echo", text="WIFI DISCONNECT\r\n", after=1)
    assert rig.ask(b"AT") == b"AWIFI DISCONNECT\r\nT\r\r\n\r\nOK\r\n"


def varies_the_boot(rig):
    rig.do("vary-boot", variant="invalid").do("reset-modem")
    assert rig.wait(600).endswith(b"\r\nAi-Thinker Technology Co. Ltd.\r\n\r\ninvalid\r\n")


def test_every_boot_of_the_modem_can_be_asked_for():
    assert tuple(VARIANTS) == BOOTS


def lacks_a_command(rig):
    assert rig.do("lack-command", command="AT+GMR").ask(b"AT+GMR") == b"\r\nERROR\r\n"


def has_a_station_join(rig):
    rig.board.modem.profile = PROFILES["1.6"]  # the first that says so
    assert rig.do("join-station").wait(50).startswith(b'+STA_CONNECTED:"02:00:00:00:00:09"\r\n+DIST_STA_IP:')


def loses_clients(rig):
    assert rig.ask(b"AT+CIPSERVER=1,0") == b"\r\nERROR\r\n"
    assert rig.ask(b"AT+CIPSERVER=1,3333") == b"\r\nOK\r\n"
    assert rig.board.network.call(3333, Script())
    assert rig.wait(50) == b"0,CONNECT\r\n"
    assert rig.do("lose-clients").wait(50) == b"0,CONNECT FAIL\r\n"  # link 2 was not a client's


def says(rig):
    assert rig.do("say", text="\r\nbusy é\r\n").wait(10) == "\r\nbusy é\r\n".encode()


def written_in(rig, count=1, size=512):
    """Virtual nanoseconds that the card was busy with `count` writes."""
    with rig.card.files.open("t.bin", "wb") as f:
        f.write(bytes(512))
        begin = rig.card.busy_until
        for _ in range(count):
            f.write(bytes(size))
        return rig.card.busy_until - begin


def stalls_the_card(rig):
    for options, stall in (({}, 300 * MS), ({"ms": 0.25}, MS // 4), ({"ms": 900}, 900 * MS)):
        with rig.card.files.open("t.bin", "wb") as f:
            f.write(bytes(512))
            begin = rig.card.busy_until
            rig.do("stall-card", **options)
            f.write(bytes(512))
            assert stall < rig.card.busy_until - begin < stall + 5 * MS


def stalls_the_card_again_and_again(rig):
    assert written_in(rig, 64, 4096) < 1 * SECOND
    rig.do("stall-card-every", bytes=65536, ms=400)
    assert written_in(rig, 64, 4096) > 1.2 * SECOND


def fails_reads(rig):
    (rig.folder / "a.txt").write_bytes(b"abc")
    rig.do("fail-card-reads", count=2)
    for _ in range(2):
        with pytest.raises(OSError, match="5"):
            rig.card.files.stat("a.txt")
    assert rig.card.files.stat("a.txt")[6] == 3


def fails_writes(rig):
    f = rig.card.files.open("a.bin", "wb")
    rig.do("fail-card-writes")
    with pytest.raises(OSError, match="5"):
        f.write(bytes(512))
    f = rig.card.files.open("b.bin", "wb")
    assert f.write(bytes(512)) == 512


def locks_the_card(rig):
    f = rig.card.files.open("a.bin", "wb")
    rig.do("lock-card", for_ms=500)
    for _ in range(3):
        with pytest.raises(OSError, match="5"):
            f.write(bytes(512))
    assert rig.card.files.stat("a.bin")[6] == 0
    rig.wait(501)
    assert rig.card.files.open("b.bin", "wb").write(bytes(512)) == 512
    rig.do("lock-card")
    with pytest.raises(OSError, match="5"):
        rig.card.files.remove("b.bin")


def delays_bytes(rig):
    for lane in (rig.board.to_chip, rig.board.console_tx):
        lane.write(bytes(10))
        rig.clock.advance(lane.arrival(3) - rig.clock.now)
        assert len(lane.take()) == 3
        rig.do("delay", lane=lane.name, ms=300)
        lane.write(b"x")
        assert lane.arrival(8) - lane.arrival(2) == pytest.approx(6 * SECOND / 11520, abs=1000)
        # The byte that has begun comes in time, what is behind it later.
        rig.clock.advance(1 * MS)
        assert len(lane.take()) == 1
        rig.clock.advance(299 * MS)
        assert lane.take() == b""
        rig.clock.advance(2 * MS)
        assert lane.take() == bytes(6) + b"x"


def fills_the_card(rig):
    rig.do("fill-card", leave=65536)
    block, free = rig.card.files.statvfs("/")[0], rig.card.files.statvfs("/")[3]
    assert block * free == 65536
    rig.do("fill-card")
    assert rig.card.files.statvfs("/")[3] == 0


def removes_the_card(rig):
    rig.do("remove-card", for_ms=500).do("remove-card", for_ms=600)
    assert not rig.card.present
    rig.wait(499)
    assert not rig.card.present
    rig.wait(200)
    assert rig.card.present and rig.card.insertions == 2
    rig.do("remove-card").wait(5000)
    assert not rig.card.present


def cuts_the_power(rig):
    f = rig.card.files.open("half.bin", "wb")
    f.write(b"x" * 700)
    cut = []
    rig.board.on_power_cut = lambda: cut.append(rig.clock.now)
    rig.do("cut-power")
    assert cut == [rig.clock.now]
    assert rig.ask(b"AT") == b""
    assert len((rig.folder / "half.bin").read_bytes()) < 700


def presses_a_key(rig):
    levels = []
    for options, pad in (({}, 16), ({"pad": 30, "for_ms": 250}, 30)):
        rig.board.pads.pull(pad, True)
        rig.board.pads.on_level(pad, lambda level: levels.append((rig.clock.now, level)))
        levels.clear()
        begin = rig.clock.now
        rig.do("press-key", **options).wait(1000)
        held = options.get("for_ms", 100) * MS
        assert levels[-2:] == [(begin, False), (begin + held, True)]


EFFECTS = {
    "reset-modem": ("booted", resets_the_modem),
    "brown-out": ("booted", browns_out),
    "lose-wifi": ("joined", loses_wifi),
    "lose-dhcp": ("joined", loses_dhcp),
    "change-address": ("joined", changes_the_address),
    "roam": ("joined", roams),
    "jump-clock": ("booted", jumps_the_clock),
    "delay": ("booted", delays_bytes),
    "lock-card": ("booted", locks_the_card),
    "store-baud": ("booted", stores_an_odd_rate),
    "close-link": ("linked", closes_a_link),
    "stall-modem": ("booted", stalls_the_modem),
    "busy-modem": ("booted", makes_the_modem_busy),
    "fail-send": ("linked", fails_a_send),
    "late-send-ok": ("linked", fails_a_send_and_thinks_again),
    "split-echo": ("booted", splits_an_echo),
    "vary-boot": ("booted", varies_the_boot),
    "lack-command": ("booted", lacks_a_command),
    "join-station": ("booted", has_a_station_join),
    "lose-clients": ("linked", loses_clients),
    "say": ("booted", says),
    "stall-card": ("booted", stalls_the_card),
    "stall-card-every": ("booted", stalls_the_card_again_and_again),
    "fail-card-reads": ("booted", fails_reads),
    "fail-card-writes": ("booted", fails_writes),
    "fill-card": ("booted", fills_the_card),
    "remove-card": ("booted", removes_the_card),
    "cut-power": ("booted", cuts_the_power),
    "press-key": ("booted", presses_a_key),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_does_what_its_name_says(rig, action):
    state, effect = EFFECTS[action]
    effect(getattr(rig(), state)())


@pytest.mark.parametrize(
    ("fault", "came"),
    [
        ({"do": "drop"}, b"\r\nK\r\n"),
        ({"do": "drop", "count": 3}, b"\r\n\n"),
        ({"do": "double", "count": 2}, b"\r\nOOKK\r\n"),
        ({"do": "flip", "mask": 32}, b"\r\noK\r\n"),
        ({"do": "flip", "mask": 0x20, "count": 2}, b"\r\nok\r\n"),
    ],
)
def test_bytes_on_a_lane(rig, fault, came):
    before = rig().booted().board.to_chip.delivered  # of a run without faults
    broken = rig([{"when": {"lane": "to_chip", "byte": before + 2}, **fault}]).booted()
    assert broken.ask(b"AT") == came
    assert broken.what == [f"{fault['do']} byte {before + 2 + i} of to_chip" for i in range(fault.get("count", 1))]
    assert broken.ask(b"AT") == b"\r\nOK\r\n"


def test_a_flip_without_a_mask_changes_one_bit(rig):
    before = rig().booted().board.to_chip.delivered
    came = rig([{"when": {"lane": "to_chip", "byte": before + 2}, "do": "flip"}]).booted().ask(b"AT")
    assert len(came) == 6 and (came[2] ^ ord("O")).bit_count() == 1


# -- triggers -----------------------------------------------------------------------------------------------


def test_at_a_time(rig):
    board = rig([{"when": {"ms": 1500.5}, "do": "fail-send"}])
    board.wait(1500)
    assert board.what == []
    board.wait(1)
    assert board.faults.happened == board.live == [(round(1500.5 * MS), "fail-send")]


@pytest.mark.parametrize("lane", LANES)
def test_when_a_byte_has_arrived(rig, lane):
    board = rig([{"when": {"lane": lane, "byte": 1999}, "do": "fail-send"}])
    wire = getattr(board.board, lane)
    board.wait(600)
    sent = wire.sent
    begin = board.clock.now
    wire.write(bytes(3000 - sent))
    board.wait(1000)
    assert board.what == ["fail-send"]
    assert board.live[0][0] == begin + -(-(2000 - sent) * 10 * SECOND // wire.tx_baud)


def test_at_the_nth_command_that_begins_so(rig):
    plan = [
        {"when": {"command": "AT+GMR"}, "do": "say", "text": "one"},
        {"when": {"command": "AT+GMR", "nth": 3}, "do": "say", "text": "three"},
    ]
    board = rig(plan).booted()
    answers = [board.ask(line, 300) for line in (b"AT", b"AT+GMR", b"AT+GMR", b"AT+GMR", b"AT+GMR")]
    assert [b"one" in a for a in answers] == [False, True, False, False, False]
    assert [b"three" in a for a in answers] == [False, False, False, True, False]


def test_two_plans_of_commands_hear_the_same_commands(rig):
    board = rig([{"when": {"command": "AT"}, "do": "fail-send"}])
    second = Faults(board.board, [{"when": {"command": "AT"}, "do": "fail-card-reads"}])
    board.booted()
    assert board.what == ["fail-send"] and [what for _, what in second.happened] == ["fail-card-reads"]


def struck(rig, seed):
    board = rig([{"when": {"lane": "to_modem", "chance": 0.01}, "do": "flip"}], seed)
    board.board.to_modem.tx_baud = 115200
    heard = []
    board.board.modem.on_command = lambda line: heard.append(line)
    board.booted()
    for _ in range(60):
        board.ask(b"AT+CWMODE?", 20)
    return board.faults.happened, heard


def test_chance_strikes_the_same_bytes_in_every_run_of_one_seed(rig):
    first, heard = struck(rig, 5)
    again, heard_again = struck(rig, 5)
    assert 2 <= len(first) <= 25 and first == again and heard == heard_again
    assert struck(rig, 6)[0] != first


@pytest.mark.parametrize(("chance", "share"), [(0, 0), (1, 1), (0.25, 0.25)])
def test_chance_is_a_share_of_the_bytes(rig, chance, share):
    board = rig([{"when": {"lane": "console_rx", "chance": chance}, "do": "drop"}])
    board.board.console_rx.write(random.Random(1).randbytes(4000))
    board.clock.advance(SECOND)
    lost = 4000 - len(board.board.console_rx.take())
    assert len(board.what) == lost and abs(lost - 4000 * share) < 120


def test_when_so_much_is_on_the_card(rig):
    board = rig([{"when": {"card_bytes": 8192}, "do": "fail-send"}])
    f = board.card.files.open("a.bin", "wb")
    f.write(bytes(512))
    board.wait(10)
    assert board.what == [] and board.card.bytes_written < 8192
    f.write(bytes(8192))
    assert board.what == []  # not from inside the card's own write
    board.wait(0)
    assert board.what == ["fail-send"]


def test_a_plan_that_is_ended_does_nothing_more(rig):
    plan = [
        {"when": {"lane": "to_chip", "chance": 1}, "do": "drop"},
        {"when": {"ms": 900}, "do": "fail-send"},
        {"when": {"command": "AT+GMR"}, "do": "fail-send"},
        {"when": {"card_bytes": 1}, "do": "fail-send"},
        {"when": {"lane": "to_modem", "byte": 3}, "do": "fail-send"},
    ]
    board = rig(plan)
    assert board.wait(600) == b""
    board.do("lose-wifi").do("lose-dhcp").do("remove-card").do("fail-card-reads", count=9).do("fail-card-writes")
    board.do("stall-card-every", bytes=512, ms=900).do("lack-command", command="AT+CWJAP_CUR")
    struck = len(board.what)
    board.faults.end()
    assert board.ask(b"ATE0").endswith(b"OK\r\n") and b"AT version" in board.ask(b"AT+GMR")
    board.card.files.mount()
    assert board.card.present and written_in(board, 8) < 100 * MS
    assert board.ask(b'AT+CWJAP_CUR="home","correct horse"', 9000).endswith(b"WIFI GOT IP\r\n\r\nOK\r\n")
    assert len(board.what) == struck


def test_every_trigger_has_a_test_here():
    keys = (["ms"], ["lane", "byte"], ["lane", "chance"], ["card_bytes"], ["command"], ["command", "nth"])
    assert set(map(frozenset, TRIGGERS)) == set(map(frozenset, keys))
    assert set(WIRE_ACTIONS) == {"drop", "double", "flip"}


# -- refusals -----------------------------------------------------------------------------------------------

BYTE = {"lane": "to_chip", "byte": 5}
AT_1 = {"ms": 1}


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (1, 'an entry needs "when" (an object) and "do"'),
        ({"do": "drop"}, 'an entry needs "when" (an object) and "do"'),
        ({"when": [], "do": "drop"}, 'an entry needs "when" (an object) and "do"'),
        (
            {"when": {}, "do": "drop"},
            "no trigger is empty; known: ms; lane with byte; lane with chance; card_bytes; command; ",
        ),
        ({"when": {"at": 1}, "do": "drop"}, "no trigger is at; known: ms; "),
        ({"when": AT_1, "do": "dance"}, "cannot do 'dance'; known: drop, double, flip, reset-modem, "),
        ({"when": AT_1}, "cannot do None; known: drop"),
        ({"when": AT_1, "do": ["drop"]}, "cannot do ['drop']; known: drop"),
        ({"when": AT_1, "do": "drop"}, 'drop happens to bytes: "when" needs a lane'),
        (
            {"when": {"lane": "to_chip", "chance": 0.1}, "do": "cut-power"},
            "cut-power cannot have a chance per byte; only drop, double, flip can",
        ),
        (
            {"when": {"lane": "to_chip", "chance": 0.1}, "do": "drop", "count": 2},
            "drop takes no count with a chance: every byte has its own",
        ),
        (
            {"when": {"lane": "to_mars", "byte": 1}, "do": "drop"},
            '"lane" of "when" must be one of to_chip, to_modem, console_rx, console_tx, not "to_mars"',
        ),
        ({"when": {"lane": 7, "byte": 1}, "do": "drop"}, '"lane" of "when" must be one of to_chip'),
        ({"when": {"ms": "abc"}, "do": "cut-power"}, '"ms" of "when" must be a number from 0 to 86400000, not "abc"'),
        ({"when": {"ms": -1}, "do": "cut-power"}, '"ms" of "when" must be a number from 0 to 86400000, not -1'),
        ({"when": {"ms": True}, "do": "cut-power"}, '"ms" of "when" must be a number from 0 to 86400000, not true'),
        ({"when": {"ms": float("nan")}, "do": "cut-power"}, "not NaN"),
        ({"when": {"ms": float("inf")}, "do": "cut-power"}, "not Infinity"),
        ({"when": {"lane": "to_chip", "byte": 1.5}, "do": "drop"}, '"byte" of "when" must be a whole number from 0 to'),
        ({"when": {"lane": "to_chip", "chance": 2}, "do": "drop"}, '"chance" of "when" must be a number from 0 to 1'),
        ({"when": {"command": ""}, "do": "cut-power"}, '"command" of "when" must be a text, not ""'),
        ({"when": {"command": "A", "nth": 0}, "do": "cut-power"}, "must be a whole number from 1 to 1000000, not 0"),
        ({"when": BYTE, "do": "drop", "count": "x"}, '"count" of drop must be a whole number from 1 to 1000000'),
        ({"when": BYTE, "do": "drop", "count": 10**9}, '"count" of drop must be a whole number from 1 to 1000000'),
        ({"when": BYTE, "do": "flip", "mask": 0}, '"mask" of flip must be a whole number from 1 to 255, not 0'),
        ({"when": AT_1, "do": "say"}, 'say needs "text", a text'),
        ({"when": AT_1, "do": "say", "text": 5}, '"text" of say must be a text, not 5'),
        ({"when": AT_1, "do": "say", "text": "\ud800"}, '"text" of say must be a text'),
        ({"when": AT_1, "do": "stall-card-every", "ms": 5}, 'stall-card-every needs "bytes", a whole number from 0'),
        ({"when": AT_1, "do": "lose-wifi", "for_ms": "1"}, '"for_ms" of lose-wifi must be a number from 0 to 86400000'),
        ({"when": AT_1, "do": "close-link", "link": 5}, '"link" of close-link must be a whole number from 0 to 4'),
        ({"when": AT_1, "do": "close-link", "reset": 1}, '"reset" of close-link must be true or false, not 1'),
        ({"when": AT_1, "do": "press-key", "pad": 48}, '"pad" of press-key must be a whole number from 0 to 47'),
        ({"when": AT_1, "do": "fill-card", "leave": -5}, '"leave" of fill-card must be a whole number from 0'),
        ({"when": AT_1, "do": "brown-out", "ms": 5}, "brown-out takes no ms; its options: none"),
        (
            {"when": AT_1, "do": "flip", "mask": 1} | {"when": BYTE, "size": 1},
            'flip takes no size; its options: "count" (a whole number from 1 to 1000000), "mask" (a whole number from',
        ),
        ({"when": AT_1, "do": "say", "text": "x" * 99, "x": "y"}, 'say takes no x; its options: "text" (a text)'),
    ],
)
def test_what_is_refused_and_why(entry, told):
    good = {"when": AT_1, "do": "fail-send"}
    with pytest.raises(ValueError) as caught:
        check_plan([good, entry])
    assert str(caught.value).startswith("fault 2: ") and told in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 420


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"when": {"ms": 1}, "do": "drop"}', "a fault plan is a list of entries"),
        ("[1,", "the fault plan is not JSON: Expecting value"),
        ("[" * 100_000, "the fault plan is not JSON: it is nested too deeply"),
    ],
)
def test_what_is_no_plan(text, told):
    with pytest.raises(ValueError) as caught:
        parse_plan(text)
    assert str(caught.value).startswith(told)
