"""Time, heap figures, resets, pins and the small modules."""

import gc
import weakref

import pytest

from virtualboard.board import Board, BoardConfig
from virtualboard.clock import MS, SECOND
from virtualboard.hosted.engine import Engine, Program
from virtualboard.hosted.heap import BLOCK, HEAP_SIZE, Heap
from virtualboard.hosted.machine import wdt_timeout


def test_time_is_virtual(device):
    ran = device.run(
        """
        import time, utime
        t = time.ticks_ms(); time.sleep(100); print(time.ticks_diff(time.ticks_ms(), t))
        t = time.ticks_us(); time.sleep_us(250); print(250 <= time.ticks_diff(time.ticks_us(), t) < 260)
        print(time.ticks_diff(time.ticks_add(5, -10), 5), time.ticks_diff(2, (1 << 62) - 1))
        """
    )
    assert ran.lines == ["100000", "True", "-10 3"]
    assert ran.board.clock.now > 100 * SECOND


def test_calendar_begins_in_2000(device):
    ran = device.run(
        """
        import time
        print(time.time() < 5, time.localtime()[:3])
        print(time.set_time((2024, 2, 29, 12, 30, 5)), time.localtime()[:6], time.mktime((2024, 2, 29, 12, 30, 5)))
        print(time.localtime(0))
        """
    )
    assert ran.lines == [
        "True (2000, 1, 1)",
        "True (2024, 2, 29, 12, 30, 5) 762525005",
        "(2000, 1, 1, 0, 0, 0, 5, 1)",
    ]


def test_free_heap_after_import(device):
    assert device.value("gc.mem_free()", "import lcd, image, gc\ngc.collect()") == "497536"


def test_heap_is_one_block_after_another():
    heap = Heap()
    size = (HEAP_SIZE - heap.base) // 3 // BLOCK * BLOCK
    first, second, third = (heap.alloc(size) for _ in range(3))
    assert None not in (first, second, third)
    heap.release(first, size)
    heap.release(third, size)
    assert heap.alloc(2 * size) is None  # free in total, but not in one piece
    assert heap.alloc(size) == first  # the collection made room again
    heap.release(second, size)
    assert heap.free < size * 2
    heap.collect()
    assert heap.free >= 2 * size
    assert heap.peak == 3 * size


def test_big_buffers_hit_the_limit(device):
    ran = device.run(
        """
        import gc
        gc.collect()
        a = bytearray(300000)
        try:
            b = bytearray(300000)
        except MemoryError as e:
            print(e)
        a = None
        b = bytearray(300000)
        print(isinstance(b, bytearray), type(b).__name__, len(b), bytes(b[:2]))
        b[0:2] = b'hi'; b.append(1); b.extend(b'x')
        print(isinstance(bytearray(b'ab')[:1], bytearray), b[:2], memoryview(b)[1], len(b))
        """
    )
    assert ran.lines == [
        "memory allocation failed, allocating 300000 bytes",
        "True bytearray 300000 b'\\x00\\x00'",
        "True bytearray(b'hi') 105 300002",
    ]


def test_dropped_blocks_stay_until_collected(device):
    ran = device.run(
        """
        import gc
        gc.collect(); free = gc.mem_free()
        b = bytearray(100000); b = None
        print(free - gc.mem_free() >= 100000)
        print(gc.collect(), free - gc.mem_free())
        """
    )
    assert ran.lines == ["True", "None 0"]


def test_heap_size_is_changed_by_a_reset(device):
    device.card.joinpath("main.py").write_text(
        "from Maix import utils\nimport gc, machine\n"
        "if utils.gc_heap_size() == 524288:\n    utils.gc_heap_size(1024 * 1024)\n    machine.reset()\n"
        "gc.collect()\nprint(utils.gc_heap_size(), gc.mem_free() > 900000)\n"
    )
    assert device.run(None).last == "1048576 True"


@pytest.mark.parametrize(
    ("timeout_ms", "seconds"),
    [(5000, 5.16), (10000, 10.32), (20000, 20.65), (30000, 41.29), (60000, 82.6), (10**7, 330.4)],
)
def test_watchdog_periods(timeout_ms, seconds):
    assert wdt_timeout(timeout_ms) / SECOND == pytest.approx(seconds, rel=0.001)


def test_watchdog_bites_and_feeding_holds_it(device):
    source = """
    import time, machine
    print(machine.reset_cause() == machine.PWRON_RESET)
    dog = machine.WDT(0, 5000)
    for i in range(5):
        time.sleep(4); dog.feed()
    print('fed')
    time.sleep(6)
    print('never')
    """
    ran = device.run(source)
    assert ran.lines == ["True", "fed"]
    assert (ran.code, ran.engine.ended) == (3, "reset")


def test_reset_starts_again(device):
    device.card.joinpath("main.py").write_text(
        "import machine, os\nprint('run', machine.reset_cause())\n"
        "if 'again' not in os.listdir('/flash'):\n    open('/flash/again', 'w').close()\n    machine.reset()\n"
    )
    ran = device.run(None)
    assert [line for line in ran.lines if line.startswith("run")] == ["run 0", "run 0"]
    assert ran.engine.resets == 1


def test_timer_callbacks_and_schedule(device):
    ran = device.run(
        """
        import time, micropython
        from machine import Timer
        hits = []
        t = Timer(Timer.TIMER0, Timer.CHANNEL0, mode=Timer.MODE_PERIODIC, period=100, callback=lambda t: hits.append(1))
        for i in range(1000): time.sleep_ms(1)
        t.stop()
        print(9 <= len(hits) <= 11)
        micropython.schedule(lambda n: hits.append(n), 'scheduled')
        for i in range(3): pass
        print(hits[-1])
        """
    )
    assert ran.lines == ["True", "scheduled"]


def test_pins_reach_the_pads(device):
    levels = []

    def watch(board, engine):
        board.pads.on_level(8, lambda level: levels.append((board.clock.now // MS, level)))

    ran = device.run(
        """
        import time
        from Maix import GPIO
        from fpioa_manager import fm
        fm.register(8, fm.fpioa.GPIOHS5)
        pin = GPIO(GPIO.GPIOHS5, GPIO.OUT, value=0)
        time.sleep_ms(50)
        pin.value(1)
        time.sleep_ms(50)
        print(pin.value(), GPIO(GPIO.GPIOHS5) is pin, pin.mode() == GPIO.OUT, pin)
        pin.value(0)
        print(pin.value())
        """,
        before=watch,
    )
    assert ran.lines[0] == "1 True True Pin(5)"
    # The enable pin has a pull-up: while the driver reads its own output it lets go, and the pad rises.
    assert ran.last == "1"
    changes = [level for _, level in levels]
    assert changes == [False, True, False, True, False]
    assert 49 <= levels[1][0] - levels[0][0] <= 51


def test_key_with_pull_up_and_interrupt(device):
    def press(board, engine):
        board.clock.at(2 * SECOND, lambda: board.press())
        board.clock.at(2 * SECOND + 100 * MS, lambda: board.press(down=False))

    ran = device.run(
        """
        import time
        from Maix import GPIO
        from fpioa_manager import fm
        fm.register(16, fm.fpioa.GPIOHS0, force=True)
        key = GPIO(GPIO.GPIOHS0, GPIO.IN, GPIO.PULL_UP)
        seen = []
        key.irq(lambda pin: seen.append(pin.value()), GPIO.IRQ_BOTH)
        while time.ticks_ms() < 2500: pass
        print(seen, key.value())
        """,
        before=press,
    )
    assert ran.last == "[0, 1] 1"


def test_fpioa_manager(device):
    ran = device.run(
        """
        from fpioa_manager import fm
        fm.register(10, fm.fpioa.GPIOHS3)
        fm.register(10, fm.fpioa.GPIOHS3)
        print(fm.get_pin_by_function(fm.fpioa.GPIOHS3), fm.get_pin_by_function(fm.fpioa.GPIOHS4))
        fm.register(11, fm.fpioa.GPIOHS3)
        print(fm.get_pin_by_function(fm.fpioa.GPIOHS3))
        try:
            fm.register(12, fm.fpioa.GPIOHS3, force=False)
        except Exception as e:
            print(type(e).__name__, e)
        fm.unregister(11)
        print(fm.get_pin_by_function(fm.fpioa.GPIOHS3), fm.str_function(fm.fpioa.GPIO7), fm.fpioa.UART2_TX)
        try:
            fm.fpioa.set_function(99, 0)
        except ValueError as e:
            print(e)
        """
    )
    assert ran.lines == [
        "10 None",
        "[Warning] function is used by fm.fpioa.GPIOHS3(pin:10)",
        "11",
        "Exception [Warning] function is used by fm.fpioa.GPIOHS3(pin:11)",
        "None fm.fpioa.GPIO7 67",
        "Don't have this Pin",
    ]


def test_pull_with_output_is_refused(device):
    ran = device.run("from Maix import GPIO\nGPIO(GPIO.GPIOHS1, GPIO.OUT, GPIO.PULL_UP)\n")
    assert ran.last.startswith("ValueError: When this pin is in output mode")


def test_board_info_with_and_without_settings(device):
    ran = device.run("from board import board_info\nprint(board_info.BOOT_KEY)\nboard_info.WIFI_EN\n")
    assert ran.lines[:2] == ["[Warning] Not loaded from /flash/config.json to board_info.", "16"]
    assert ran.last == "AttributeError: type object 'board_info' has no attribute 'WIFI_EN'"
    device.flash.joinpath("config.json").write_text('{"board_info": {"WIFI_EN": 8, "WIFI_TX": 6}}')
    ran = device.run("from board import board_info\nprint(board_info.WIFI_EN, getattr(board_info, 'WIFI_RX', 7))\n")
    assert ran.lines == ["8 7"]


@pytest.mark.parametrize(
    ("setup", "expression", "shown"),
    [
        ("import ubinascii as b", "b.hexlify(b'\\x01\\xff'), b.unhexlify('01ff')", "b'01ff' b'\\x01\\xff'"),
        ("import ubinascii as b", "b.b2a_base64(b'abc'), b.a2b_base64(b'YWJj'), b.crc32(b'abc')",
         "b'YWJj\\n' b'abc' 891568578"),
        ("import ujson as j", "j.loads('{\"a\": [1, 2.5, null, true]}'), j.loads('{\"a\": 1')",
         "{'a': [1, 2.5, None, True]} {'a': 1}"),
        ("import ustruct as s", "s.pack('<HB', 513, 7), s.unpack_from('>H', b'xx\\x01\\x02', 2)",
         "b'\\x01\\x02\\x07' (258,)"),
        ("import ure as r", "r.match('a(.)c', 'abc').group(1), r.search('x{2}', 'xx')", "b None"),
        ("import ure as r", "hasattr(r.match('a', 'a'), 'groups'), hasattr(r, 'split'), hasattr(r, 'IGNORECASE')",
         "False False False"),
        ("import uerrno as e", "e.ETIMEDOUT, e.ENOTCONN, e.errorcode[2]", "116 128 ENOENT"),
        ("from uhashlib import sha256", "sha256(b'abc').digest()[:4], hasattr(sha256(), 'hexdigest')",
         "b'\\xbax\\x16\\xbf' False"),
        ("from ucollections import deque, OrderedDict\nd = deque((), 2)\nd.append(1)\nd.append(2)\nd.append(3)",
         "d.popleft(), len(d), hasattr(d, 'pop')", "2 1 False"),
        ("from ucollections import namedtuple\nP = namedtuple('P', ('x', 'y'))", "P(1, 2).y", "2"),
        ("import uio", "uio.BytesIO(b'abc').read(2), hasattr(uio, 'TextIOBase')", "b'ab' False"),
        ("import urandom as r\nr.seed(5)\na = r.getrandbits(32)\nr.seed(5)", "a == r.getrandbits(32)", "True"),
        ("import array", "array.array('H', (1, 2))[1]", "2"),
        ("import math", "math.floor(2.5), hasattr(math, 'gcd')", "2 False"),
        ("import os", "os.uname().machine, os.uname()[0], hasattr(os, 'path'), hasattr(os, 'environ')",
         "Sipeed_M1 with kendryte-k210 MaixPy False False"),
        ("import sys", "sys.implementation.version, sys.maxsize, hasattr(sys, 'exc_info')",
         "(0, 6, 2) 2147483647 False"),
        ("import machine", "len(machine.unique_id()), hasattr(machine, 'Pin'), hasattr(machine, 'freq')",
         "32 False False"),
    ],
)  # fmt: skip
def test_small_modules(device, setup, expression, shown):
    assert device.value(expression, setup) == shown


@pytest.mark.parametrize(
    ("setup", "call", "error"),
    [
        ("import ujson", "ujson.loads('[1] x')", "ValueError"),
        ("import ujson", "ujson.dumps({}, indent=1)", "TypeError"),
        ("import ubinascii", "ubinascii.unhexlify('abc')", "ValueError: odd-length string"),
        ("import ubinascii", "ubinascii.b2a_base64(b'', newline=False)", "TypeError"),
        ("import ustruct", "ustruct.unpack('<I', b'ab')", "ValueError"),
        ("import uhashlib", "uhashlib.md5()", "AttributeError"),
    ],
)
def test_small_modules_refuse(device, setup, call, error):
    assert device.run(f"{setup}\n{call}\n").last.startswith(error)


def test_exit_codes(device):
    assert device.run("import sys\nsys.exit()\n").code == 0
    assert device.run("import sys\nsys.exit(4)\n").code == 4
    assert device.run("1 / 0\n").code == 1
    ran = device.run("raise ValueError('why')")
    assert ran.engine.error == "ValueError: why"


def test_processor_speed_scales(device):
    from virtualboard.hosted.costs import Costs

    source = "x = 0\nfor i in range(20000): x += i\n"
    base = device.run("pass").board.clock.now
    fast = device.run(source).board.clock.now - base
    slow = device.run(source, costs=Costs().scaled(0.4)).board.clock.now - base
    assert slow / fast == pytest.approx(2.5, rel=0.15)


def test_same_run_same_instant(device):
    source = "import time, urandom\nfor i in range(50): time.sleep_ms(urandom.getrandbits(4))\nprint(time.ticks_us())\n"
    first, second = device.run(source), device.run(source)
    assert first.text == second.text
    assert first.board.clock.now == second.board.clock.now


def test_a_card_that_cannot_be_read_at_the_start_is_none(device, tmp_path):
    (tmp_path / "other").mkdir()
    board = Board(BoardConfig(card=str(tmp_path / "other")))
    board.card.fail_reads(1)
    assert device.run("import uos\nprint(uos.listdir('/'))", board=board).lines == ["['flash']"]


def test_a_board_that_is_done_with_leaves_the_memory(tmp_path):
    """Also one whose program left a file unclosed, a block and a module in the heap: suites play hundreds, of 16 MiB
    each."""
    (tmp_path / "sd").mkdir()
    (tmp_path / "sd" / "mine.py").write_text("open('/sd/y', 'w').write('text')\nTEXT = 'x' * 2000\n")
    board = Board(BoardConfig(card=str(tmp_path / "sd")))
    program = Program("import mine\nopen('/sd/x', 'w').write('text')\nblock = bytearray(50000)\n")
    assert Engine(board, program=program).run() == 0
    there = weakref.ref(board)
    del board
    gc.collect()
    assert there() is None
