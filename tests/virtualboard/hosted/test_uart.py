"""machine.UART against what MaixPy's C code does, on lanes with virtual time."""

import pytest

from virtualboard.clock import MS, US
from virtualboard.hosted.costs import UART_CLOCK_HZ
from virtualboard.wire import Lane

SETUP = """
import time
from machine import UART
from fpioa_manager import fm
fm.register(7, fm.fpioa.UART2_TX)
fm.register(6, fm.fpioa.UART2_RX)
"""


class Wire:
    """The far end of the board's UART instead of a modem."""

    def __init__(self, device):
        self.board = device.board()
        self.board.modem.enable(False)
        clock = self.board.clock
        self.rx = Lane(clock, "test_in")
        self.tx = Lane(clock, "test_out")
        self.board.pads.serial_in[6] = self.rx
        self.board.pads.serial_out[7] = self.tx

    def say(self, at_ms, data):
        self.board.clock.at(round(at_ms * MS), lambda: self.rx.write(data))


@pytest.fixture
def wire(device):
    return Wire(device)


def run(device, wire, source):
    ran = device.run(SETUP + source, board=wire.board)
    assert ran.code == 0, ran.text
    return ran


def test_read_waits_timeout_char_for_the_first_byte(device, wire):
    ran = run(
        device,
        wire,
        """
u = UART(UART.UART2, 115200, timeout_char=50)
t = time.ticks_ms(); r = u.read(5); print(r, time.ticks_diff(time.ticks_ms(), t))
t = time.ticks_ms(); r = u.readinto(bytearray(4)); print(r, time.ticks_diff(time.ticks_ms(), t))
print(u.read(), u.readline(), u.any(), u.readchar())
""",
    )
    first, second = (line.split() for line in ran.lines[:2])
    assert first[0] == second[0] == "None"
    # Two readings of the millisecond counter are compared: up to one short, plus the call itself.
    assert 49 <= int(first[1]) <= 51 and 49 <= int(second[1]) <= 51
    assert ran.lines[2] == "None None 0 -1"


def test_read_ends_at_a_gap(device, wire):
    wire.say(1000, b"abc")
    wire.say(1005, b"def")
    wire.say(1040, b"late")
    ran = run(
        device,
        wire,
        """
u = UART(UART.UART2, 115200, timeout_char=10)
while not u.any(): pass
print(u.read(100))
time.sleep_ms(40)
print(u.any(), u.readchar(), u.read(2), u.read(9))
""",
    )
    assert ran.lines == ["b'abcdef'", "4 108 b'at' b'e'"]


def test_readline_gives_partial_lines(device, wire):
    wire.say(1000, b"one\ntwo")
    ran = run(
        device,
        wire,
        """
u = UART(UART.UART2, 115200)
while not u.any(): pass
print(u.readline(), u.readline(), u.readline())
""",
    )
    assert ran.last == "b'one\\n' b'two' None"


def test_full_ring_drops_new_bytes_silently(device, wire):
    wire.say(1000, bytes(range(100)))
    ran = run(
        device,
        wire,
        """
u = UART(UART.UART2, 115200, read_buf_len=30)
time.sleep_ms(1200)
print(u.any())
print(u.read() == bytes(range(30)))
""",
    )
    assert ran.lines == ["30", "True"]
    assert ran.engine.ports[1].dropped == 70
    assert ran.engine.ports[1].deepest == 30


@pytest.mark.parametrize(("length", "capacity"), [(0, 0), (-1, 0), (65534, 65534), (65535, 0)])
def test_ring_sizes(device, wire, length, capacity):
    wire.say(1000, b"x" * 5)
    ran = run(
        device,
        wire,
        f"u = UART(UART.UART2, 115200, read_buf_len={length})\ntime.sleep_ms(1200)\nprint(u.any())\n",
    )
    assert ran.last == ("5" if capacity else "0")
    assert ran.engine.ports[1].largest_ring == capacity


def test_second_object_takes_the_interrupt_over(device, wire):
    wire.say(1000, b"first")
    wire.say(1500, b"second")
    ran = run(
        device,
        wire,
        """
a = UART(UART.UART2, 115200)
while time.ticks_ms() < 1200: pass
b = UART(UART.UART2, 115200)
while time.ticks_ms() < 1700: pass
print(a.any(), b.any(), a.read(), b.read())
""",
    )
    assert ran.last == "5 6 b'first' b'second'"


def test_init_drops_data_and_old_bytes_are_not_seen(device, wire):
    wire.say(100, b"before the UART existed")
    wire.say(1000, b"waiting")
    ran = run(
        device,
        wire,
        """
u = UART(UART.UART2, 115200)
print(u.any())
while time.ticks_ms() < 1200: pass
print(u.any())
u.init(115200, read_buf_len=64)
print(u.any())
""",
    )
    assert ran.lines == ["0", "7", "0"]


@pytest.mark.parametrize("baud", [9600, 115200, 921600, 1000000, 2000000, 4000000])
def test_true_rate_is_403_mhz_by_an_integer(device, wire, baud):
    run(device, wire, f"u = UART(UART.UART2, {baud})\n")
    assert wire.rx.rx_baud == wire.tx.tx_baud == UART_CLOCK_HZ // (UART_CLOCK_HZ // baud)


def test_write_blocks_until_all_but_the_fifo_is_out(device, wire):
    ran = run(
        device,
        wire,
        """
u = UART(UART.UART2, 115200)
t = time.ticks_us(); n = u.write(b'x' * 1016); print(n, time.ticks_diff(time.ticks_us(), t))
""",
    )
    count, duration = ran.last.split()
    assert count == "1016"
    assert abs(int(duration) - 1000 * 10 * 1_000_000 // 115200) < 100
    assert wire.tx.sent == 1016


def test_write_takes_text_pictures_and_views(device, wire):
    run(
        device,
        wire,
        """
import image
u = UART(UART.UART2, 115200)
u.write('AT\\r\\n'); u.write(memoryview(bytearray(b'abcd'))[1:3]); u.write(image.Image(size=(2, 1)))
""",
    )
    wire.board.clock.advance(100 * MS)
    wire.tx.rx_baud = wire.tx.tx_baud
    assert wire.tx.take() == b"AT\r\nbc\0\0\0\0"


def test_wrong_rate_gives_garbage(device, wire):
    wire.say(1000, b"hello")
    ran = run(device, wire, "u = UART(UART.UART2, 57600)\ntime.sleep_ms(1200)\nprint(u.read() == b'hello')\n")
    assert ran.last == "False"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("3", "does not exist"),
        ("5", "does not exist"),
        ("1, 6000000", "invalid baudrate"),
        ("1, 115200, 9", "invalid data bits"),
        ("1, 115200, 8, 7", "invalid parity"),
        ("1, 115200, 8, None, 3", "invalid stop bits"),
        ("4, 115200, 7", "invalid param"),
    ],
)
def test_bad_arguments(device, arguments, text):
    ran = device.run(f"from machine import UART\nUART({arguments})\n")
    assert ran.last.startswith("ValueError: [MAIXPY]UART")
    assert text in ran.last


def test_ring_lives_in_the_gc_heap(device, wire):
    ran = run(
        device,
        wire,
        """
import gc
a = gc.mem_free()
u = UART(UART.UART2, 115200, read_buf_len=40000)
print(a - gc.mem_free() >= 40000)
del u
UART(UART.UART2, 115200, read_buf_len=10)
gc.collect()
print(a - gc.mem_free() < 3000)
""",
    )
    assert ran.lines == ["True", "True"]


def test_iteration_gives_lines(device, wire):
    wire.say(1000, b"a\nb\nc")
    ran = run(
        device,
        wire,
        "u = UART(UART.UART2, 115200)\nwhile not u.any(): pass\nprint(list(u))\n",
    )
    assert ran.last == "[b'a\\n', b'b\\n', b'c']"


def test_waiting_is_not_polled_by_the_host(device, wire):
    """A minute of polling any() costs few host steps, and the byte is seen within a fraction of a millisecond."""
    wire.say(60_000, b"!")
    ran = run(
        device,
        wire,
        "u = UART(UART.UART2, 115200)\nwhile not u.any(): pass\nprint(time.ticks_us())\n",
    )
    assert 0 <= int(ran.last) * US - 60_000 * MS - 86_806 < 300 * US


def test_no_lane_no_bytes(device):
    ran = device.run(
        """
        from machine import UART
        u = UART(UART.UART3, 115200)
        print(u.write(b'abc'), u.read(), u)
        """
    )
    assert ran.last == "3 None [MAIXPY]UART3:( baudrate=115200, bits=8, parity=None, stop=1)"


@pytest.mark.parametrize("gap_ms", [4, 14])
def test_long_reads_see_gaps_and_small_rings(device, wire, gap_ms):
    """Bytes in a row are waited for together; gaps and full rings must come out as if each were waited for alone."""
    for i in range(4):
        wire.say(1000 + i * gap_ms, bytes((65 + i,)) * 20)
    ran = run(
        device,
        wire,
        """
u = UART(UART.UART2, 115200, timeout_char=10, read_buf_len=7)
while not u.any(): pass
t = time.ticks_ms()
print(u.read(70), time.ticks_diff(time.ticks_ms(), t))
""",
    )
    data, took = ran.last.rsplit(" ", 1)
    whole = "".join(c * 20 for c in "ABCD")
    assert data == (f"b'{whole[:70]}'" if gap_ms == 4 else f"b'{whole[:20]}'")
    # 70 bytes: the last burst begins 12 ms after the first; 20 bytes: 1.7 ms and the gap of 10.
    assert abs(int(took) - (12 if gap_ms == 4 else 11)) <= 2
    assert ran.engine.ports[1].dropped == 0
