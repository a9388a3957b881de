"""The stock driver: its receive parser line by line, its dialogue with the modem part, and a real server."""

import socket
import threading

import pytest

from rig import stock
from virtualboard.clock import MS
from virtualboard.wire import Lane

PARSER = """
import time, usocket, network
from machine import UART
from fpioa_manager import fm
fm.register(7, fm.fpioa.UART2_TX)
fm.register(6, fm.fpioa.UART2_RX)
u = UART(UART.UART2, 115200, read_buf_len=65000)
nic = network.ESP8285(u)
s = usocket.socket()
s.connect(('10.0.0.1', 80))
s.settimeout(1)
print('GO')
def recv(n):
    t = time.ticks_ms(); d = s.recv(n); return d, time.ticks_diff(time.ticks_ms(), t)
"""


class Script:
    """A far end that says OK to every command, so that the parser can be fed by hand."""

    def __init__(self, device):
        self.board = device.board()
        self.board.modem.enable(False)
        clock = self.board.clock
        self.rx, self.tx = Lane(clock, "in"), Lane(clock, "out")
        self.board.pads.serial_in[6], self.board.pads.serial_out[7] = self.rx, self.tx
        self.seen = b""
        self.tx.on_write = lambda: clock.after(20 * MS, self._answer)

    def _answer(self):
        self.tx.rx_baud = self.tx.tx_baud
        self.seen += self.tx.take()
        while b"\r\n" in self.seen:
            line, _, self.seen = self.seen.partition(b"\r\n")
            self.rx.write(b"+CWMODE:1\r\n\r\nOK\r\n" if line == b"AT+CWMODE?" else b"\r\nOK\r\n")

    def feed(self, data):
        self.rx.write(data)


def parse(device, wire, source, later=b""):
    """Lines that `source` prints, with `wire` coming when it begins, and `later` 200 ms after that."""
    script = Script(device)

    def before(board, engine):
        # The bytes come once the socket is connected: the init dialogue is about 10 commands of 25 ms.
        board.clock.at(2_000 * MS, lambda: script.feed(wire))
        board.clock.at(2_200 * MS, lambda: script.feed(later))

    ran = device.run(
        PARSER + "while time.ticks_ms() < 1990: time.sleep_ms(1)\n" + source, board=script.board, before=before
    )
    assert ran.code == 0, ran.text
    return ran.text.partition("GO\n")[2].splitlines()


@pytest.mark.parametrize(
    ("wire", "calls", "expected"),
    [
        (b"\r\n+IPD,5:helloCLOSED\r\n", (100, 100), [(b"hello", "at once"), (b"", "at once")]),
        (b"\r\n+IPD,5:hello", (100, 100), [(b"hello", "timeout"), (b"", "timeout")]),
        (b"\r\n+IPD,5:hello", (5,), [(b"hello", "at once")]),
        (b"\r\n+IPD,5:hello\r\n+IPD,5:worldCLOSED\r\n", (100, 100), [(b"helloworld", "at once"), (b"", "at once")]),
        (b"+IPD,5:hello+IPD,5:world", (100, 100), [(b"hello", "timeout"), (b"", "timeout")]),
        (b"\r\n+IPD,5:hello\r\nCLOSED\r\n", (100, 100), [(b"hello", "timeout"), (b"", "timeout")]),
        (b"\r\n+IPD,5:hello0,CLOSED\r\n", (100,), [(b"hello", "timeout")]),
        (b"CLOSED\r\n", (100, 100), [(b"", "timeout"), (b"", "timeout")]),
        (b"+CX\r\n\r\n+IPD,5:helloCLOSED\r\n", (100, 100), [(b"+Chel", "timeout"), (b"", "timeout")]),
        (b"\r\n+IPD,12:a+IPD,3:bcdeCLOSED\r\n", (100,), [(b"a+IPD,3:bcde", "at once")]),
        (b"\r\n+IPD,2,5:helloCLOSED\r\n", (100,), [(b"hello", "at once")]),
        (b"\r\n+IPD,9,5:hello", (100,), [(b"", "timeout")]),
    ],
    ids=lambda value: repr(value)[:30] if isinstance(value, bytes) else None,
)
def test_receive_parser(device, wire, calls, expected):
    lines = parse(device, wire, "".join(f"print(recv({n}))\n" for n in calls))
    got = []
    for line in lines:
        data, took = eval(line)
        got.append((data, "timeout" if took >= 1000 else "at once" if took < 100 else took))
    assert got == expected


def test_overflow_of_the_receive_ring(device):
    wire = b"".join(b"\r\n+IPD,1460:" + bytes(1460) for _ in range(40))
    lines = parse(device, wire, "time.sleep(6)\nprint(len(s.recv(60000)), len(s.recv(60000)))\n")
    assert lines[0].startswith("recvPkg | network->buffer overflow")
    first, second = map(int, lines[-1].split())
    assert first == 40959
    assert second == 58400 - 40959 - 1381


def test_timeout_inside_a_frame_loses_its_rest(device):
    lines = parse(
        device,
        b"\r\n+IPD,10:hello",
        "print(recv(10))\nprint(s.readline(), s.read(4))\n",
    )
    assert eval(lines[0])[0] == b"hello"


def test_stream_methods_tell_the_flagged_end(device):
    lines = parse(
        device,
        b"\r\n+IPD,8:ab\ncdefgCLOSED\r\n",
        "b = bytearray(3)\nprint(s.read(100), s.readinto(b), s.read(), s.read(5), s.readline(), s.recv(5))\n",
    )
    assert lines == ["b'ab\\ncdefg' None None None None b''"]


def test_the_end_is_seen_right_behind_the_data_and_missed_later(device):
    """Reading just what there is, the driver looks 100 times (184 us) for more; CLOSED that comes later is noise."""
    calls = "print(s.readline(), recv(5), recv(5))\n"
    assert parse(device, b"\r\n+IPD,3:ab\nCLOSED\r\n", calls) == ["b'ab\\n' (b'', 0) (b'', 0)"]
    late = parse(device, b"\r\n+IPD,3:ab\n", calls, later=b"CLOSED\r\n")
    assert late[0].startswith("b'ab\\n' (b'', 1") and late[0].endswith("(b'', 1001)")


@pytest.mark.parametrize("baud", stock.BAUDS)
def test_what_becomes_of_replies_is_as_on_the_chip(device, baud):
    """The same table as in firmware/test_stock_network.py."""
    board = device.board()
    asked = stock.attach(board, stock.CASES)
    ran = device.run(stock.JOIN.format(baud=baud) + asked, board=board)
    assert ran.code == 0, ran.text
    assert not stock.judge(ran.text, stock.CASES, baud)


# -- with the modem part ----------------------------------------------------------------------------------

START = """
import time, usocket, network
from machine import UART
from Maix import GPIO
from fpioa_manager import fm
fm.register(8, fm.fpioa.GPIOHS0)
fm.register(0, fm.fpioa.GPIOHS1)
en = GPIO(GPIO.GPIOHS0, GPIO.OUT); GPIO(GPIO.GPIOHS1, GPIO.OUT, value=0)
en.value(0); time.sleep_ms(50); en.value(1)
fm.register(7, fm.fpioa.UART2_TX)
fm.register(6, fm.fpioa.UART2_RX)
u = UART(UART.UART2, 115200, read_buf_len=10240)
time.sleep_ms(800)
nic = network.ESP8285(u)
"""


@pytest.fixture
def server():
    """A TCP server that answers each request line with as many bytes as it asks for, and keeps the connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    got = []

    def serve():
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link:
                text = b""
                while b"\n" not in text:
                    piece = link.recv(4096)
                    if not piece:
                        break
                    text += piece
                if not text:
                    continue
                got.append(text)
                count = int(text.split()[1])
                link.sendall(bytes(i & 0xFF for i in range(count)))
                link.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], got
    listener.close()


def test_join_and_fetch_through_the_modem(device, server):
    port, got = server
    ran = device.run(
        START
        + f"""
print(nic.isconnected())
nic.connect('home', 'correct horse')
print(nic.isconnected(), nic.ifconfig()[0], nic.ifconfig()[6], network.route() is nic)
s = usocket.socket()
s.connect(('127.0.0.1', {port}))
s.send(b'GET 5000 \\n')
data = b''
while len(data) < 5000:
    piece = s.recv(min(1024, 5000 - len(data)))
    if not piece: break
    data += piece
print(len(data), data == bytes(i & 255 for i in range(5000)))
s.close()
try:
    s.send(b'x')
except OSError as e:
    print(e)
"""
    )
    assert ran.lines == ["False", "True 192.168.4.50 home True", "5000 True", "32"]
    assert got == [b"GET 5000 \n"]


def test_wrong_password_and_names(device):
    ran = device.run(
        START
        + """
try:
    nic.connect('home', 'wrong')
except OSError as e:
    print(repr(e.args[0]))
time.sleep(8)
nic.connect('home', 'correct horse')
print(usocket.getaddrinfo('pictures.test', 80))
try:
    usocket.getaddrinfo('nowhere.test', 80)
except OSError as e:
    print(e.args[0])
time.sleep(15)  # the module is still asking for the name
nic.disconnect()
print(nic.isconnected())
""",
        settings={"names": {"pictures.test": "127.0.0.1"}},
    )
    assert ran.lines[0] == "'could not connect to ssid=home\\n'"
    assert ran.lines[1] == "[(2, 1, 0, '', ('127.0.0.1', 80))]"
    assert ran.lines[2:] == ["[MaixPy] get_host_byname | get_host_byname failed", "22", "False"]


def test_refused_port_is_minus_one(device):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    ran = device.run(
        START + f"nic.connect('home', 'correct horse')\ns = usocket.socket()\ns.connect(('127.0.0.1', {port}))\n"
    )
    assert ran.last == "OSError: -1"


@pytest.mark.parametrize(
    ("source", "last"),
    [
        ("usocket.socket().recv(1)", "OSError: [Errno 128] ENOTCONN"),
        ("usocket.socket().connect(('name', 80))", "ValueError: invalid arguments"),
        ("usocket.socket().connect(('1.2.3.4', 80))", "OSError: no available NIC"),
        ("usocket.socket().settimeout(None)", "TypeError"),
        ("usocket.socket().settimeout(-1)", "ValueError"),
        ("usocket.socket().sendall(b'')", "AttributeError"),
        ("usocket.inet_aton('1.2.3.4')", "AttributeError"),
        ("network.ESP8285(1)", "ValueError: invalid uart stream"),
    ],
)
def test_socket_errors(device, source, last):
    assert device.run(f"import usocket, network\n{source}\n").last.startswith(last)


def test_silent_module(device):
    ran = device.run(
        """
        import network, time
        from machine import UART
        t = time.ticks_ms()
        try:
            network.ESP8285(UART(UART.UART3, 115200))
        except OSError as e:
            print(e.args[0], time.ticks_diff(time.ticks_ms(), t))
        """
    )
    assert ran.lines[0] == "couldn't init nic esp8285 ,try again please"
    assert 3000 <= int(ran.lines[1]) < 3050


@pytest.mark.parametrize("source", ["usocket.getaddrinfo('x', 80)", "usocket.socket().sendto(b'', ('1.2.3.4', 5))"])
def test_null_pointers_crash(device, source):
    ran = device.run(f"import usocket\n{source}\nprint('never')\n")
    assert (ran.code, ran.engine.ended) == (3, "crash")
    assert "never" not in ran.text and "core dump" in ran.text


def test_collected_socket_closes_the_link(device, server):
    port, _ = server
    commands = []

    def note(board, engine):
        board.modem.on_command = commands.append

    ran = device.run(
        START
        + f"""
import gc
nic.connect('home', 'correct horse')
s = usocket.socket()
s.connect(('127.0.0.1', {port}))
s = None
print('dropped')
gc.collect()
""",
        before=note,
    )
    assert ran.code == 0
    assert [line.split(b"=")[0].strip() for line in commands[-2:]] == [b"AT+CIPSTART", b"AT+CIPCLOSE"]
