"""The REPL byte for byte, and mpremote's own program against it on a pseudo-terminal."""

import subprocess
import sys

import pytest

from rig.patience import patient
from virtualboard.board import Board, BoardConfig
from virtualboard.clock import MS, SECOND
from virtualboard.host.console import ConsoleLog
from virtualboard.hosted.engine import Engine
from virtualboard.launch import BoardProcess


class Typist:
    """Types at the console at given virtual times and reads what comes back."""

    def __init__(self, device, main=""):
        device.card.joinpath("main.py").write_text(main)
        self.board = device.board()
        self.log = ConsoleLog(self.board)
        self.engine = Engine(self.board, repl=True, end_ns=30 * SECOND)
        self.at = 2 * SECOND

    def type(self, data, wait_ms=100):
        self.board.clock.at(self.at, lambda: self.board.console_rx.write(data))
        self.at += wait_ms * MS

    def finish(self):
        self.board.clock.at(self.at + 500 * MS, self.engine.power_off)
        self.engine.run()
        return bytes(self.log.data).rpartition(b'Type "help()" for more information.\r\n')


def test_friendly_prompt(device):
    typist = Typist(device)
    typist.type(b"1 + 1\r")
    typist.type(b"x = 5; x * 2\r")
    typist.type(b"for i in range(2):\r    print(i)\r\r", 300)
    typist.type(b"1/0\r")
    typist.type(b"abx\x7fc\x03")
    typist.type(b"'end'\r")
    assert typist.finish()[2] == (
        b">>> 1 + 1\r\n2\r\n>>> x = 5; x * 2\r\n10\r\n"
        b">>> for i in range(2):\r\n...     print(i)\r\n... \r\n0\r\n1\r\n"
        b'>>> 1/0\r\nTraceback (most recent call last):\r\n  File "<stdin>", line 1, in <module>\r\n'
        b"ZeroDivisionError: divide by zero\r\n"
        b">>> abx\x08 \x08c\r\n>>> 'end'\r\n'end'\r\n>>> "
    )


def test_raw_mode_and_soft_reset(device):
    typist = Typist(device, "print('main ran')\n")
    typist.type(b"\r\x03\x03")
    typist.type(b"\r\x01")
    typist.type(b"print('one')\x04")
    typist.type(b"1/0\x04")
    typist.type(b"\x05A\x01")
    typist.type(b"x = 1\x04")
    typist.type(b"\x04", 1000)
    typist.type(b"print('x' in globals())\x04")
    typist.type(b"\x02")
    text = bytes(typist.finish()[0]) + b""
    raw = text.partition(b"raw REPL; CTRL-B to exit\r\n")[2]
    assert raw.startswith(
        b">OKone\r\n\x04\x04>OK\x04Traceback (most recent call last):\r\n"
        b'  File "<stdin>", line 1, in <module>\r\nZeroDivisionError: divide by zero\r\n\x04>'
        b"raw REPL; CTRL-B to exit\r\n>OK\x04\x04>OK\r\n[MaixPy]: soft reboot\r\n"
    )
    assert raw.count(b"main ran") == 0
    assert b"OKFalse\r\n\x04\x04>" in raw


def test_paste_mode(device):
    typist = Typist(device)
    typist.type(b"\x05")
    typist.type(b"def f():\r    return 3\rprint(f())\r\x04", 300)
    shown = typist.finish()[2]
    assert b"paste mode; Ctrl-C to cancel, Ctrl-D to finish\r\n=== " in shown
    assert shown.endswith(b"\r\n3\r\n>>> ")


def test_interrupt_of_a_running_program(device):
    typist = Typist(device, "import time\nprint('go')\nwhile True:\n    time.sleep_ms(10)\n")
    typist.type(b"\x03")
    typist.type(b"'alive'\r")
    board_text = typist.finish()
    assert b"KeyboardInterrupt: \r\n" in board_text[0]
    assert board_text[2].endswith(b"'alive'\r\n>>> ")


def test_interrupt_at_the_prompt_of_a_loop(device):
    typist = Typist(device)
    typist.type(b"while True: pass\r\r", 500)
    typist.type(b"\x03")
    typist.type(b"7\r")
    shown = typist.finish()[2]
    assert b"KeyboardInterrupt" in shown and shown.endswith(b"7\r\n7\r\n>>> ")


def test_too_much_input_is_lost(device):
    """Two kilobytes fit while nobody reads; what comes beyond is gone, as on the board."""
    typist = Typist(device, "import time\ntime.sleep(4)\n")
    typist.type(b"#" * 2040 + b"\rprint('lost')\r", 5000)
    shown = typist.finish()[2]
    assert shown.startswith(b">>> " + b"#" * 2040 + b"\r\n>>> print('")
    assert b"\r\nlost" not in shown


def test_soft_reset_keeps_hardware(device):
    typist = Typist(device)
    typist.type(b"import lcd; lcd.init(color=lcd.BLUE); x = 1\r", 1000)
    typist.type(b"\x04", 1500)
    typist.type(b"lcd\r")
    typist.type(b"import lcd; lcd.width()\r")
    shown = typist.finish()[2]
    assert b"NameError" in shown and b"320\r\n" in shown
    assert typist.board.panel.image().getpixel((5, 5)) == (0, 0, 255)


def test_the_power_may_go_at_any_byte_of_a_soft_reset(device):
    """Its message was printed where nobody expected the power to go: an error of the virtual board's own."""

    def play(cut=0):
        typist = Typist(device)
        if cut:
            typist.board.console_tx.at_byte(cut, typist.board.cut_power)
        typist.type(b"print('*' * 200)\r\x04", 1500)
        typist.finish()
        return bytes(typist.log.data), typist.engine.ended

    whole, ended = play()
    assert ended == "switched off"
    said = whole.index(b"*****\r\n>>> ") + 7
    for cut in range(said, whole.index(b"soft reboot") + 14, 2):
        heard, ended = play(cut)
        assert ended == "power cut" and whole.startswith(heard) and len(heard) >= cut


def test_soft_reset_closes_files(device):
    typist = Typist(device)
    typist.type(b"f = open('/sd/open.txt', 'w'); f.write('kept')\r", 500)
    typist.type(b"\x04", 1500)
    typist.type(b"open('/sd/open.txt').read()\r")
    assert typist.finish()[2].endswith(b"'kept'\r\n>>> ")


def test_ide_mode_is_deaf(device):
    device.flash.joinpath("ide_mode.conf").write_text("")
    typist = Typist(device)
    typist.type(b"\r\x01print(1)\x04")
    assert typist.finish()[1] == b""
    assert not device.flash.joinpath("ide_mode.conf").exists()
    assert typist.board.console_tx.tx_baud > 1_400_000


# -- mpremote ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """A board at the prompt, its console on a pseudo-terminal."""
    card = tmp_path_factory.mktemp("card")
    card.joinpath("main.py").write_text("")
    with BoardProcess(BoardConfig(card=str(card)), pty=True) as board:
        yield board.port(), card


def mpremote(port, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", port[0], *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )


def test_mpremote_exec(port):
    done = mpremote(port, "exec", "import sys; print(sys.platform, 6 * 7)")
    assert (done.returncode, done.stdout) == (0, "MaixPy 42\n"), done.stderr


def test_mpremote_copies_both_ways(port, tmp_path):
    blob = tmp_path / "blob.bin"
    blob.write_bytes(bytes(range(256)) * 12)
    assert mpremote(port, "fs", "cp", blob, ":/sd/blob.bin").returncode == 0
    assert port[1].joinpath("blob.bin").read_bytes() == blob.read_bytes()
    done = mpremote(port, "resume", "fs", "cp", ":/sd/blob.bin", tmp_path / "back.bin")
    assert done.returncode == 0 and tmp_path.joinpath("back.bin").read_bytes() == blob.read_bytes()
    done = mpremote(port, "resume", "fs", "ls", ":/sd")
    assert "3072 blob.bin" in done.stdout
    again = mpremote(port, "resume", "fs", "cp", blob, ":/sd/blob.bin")
    assert "Up to date" in again.stdout


def test_mpremote_runs_scripts_and_reports_errors(port, tmp_path):
    script = tmp_path / "s.py"
    script.write_text("import os\nos.mkdir('/sd/made')\nprint(os.listdir('/sd/made'))\nopen('/sd/none')\n")
    done = mpremote(port, "run", script)
    assert done.returncode == 1
    assert done.stdout.startswith("[]\nTraceback (most recent call last):\n")
    assert done.stdout.rstrip().endswith("OSError: [Errno 2] ENOENT")
    done = mpremote(port, "resume", "fs", "cat", ":/sd/none")
    assert done.returncode == 1 and "No such file" in done.stderr


def test_mpremote_on_flash(port):
    done = mpremote(port, "fs", "mkdir", ":/flash/d")
    assert done.returncode == 1 and "SPIFFS not support" in done.stderr + done.stdout


def test_wrong_rate_on_the_terminal_is_garbage(device):
    import os
    import termios

    from virtualboard.host.console import PtyConsole

    board = Board(BoardConfig())
    device.boards.append(board)
    console = PtyConsole(board)
    try:
        slave = os.open(console.name, os.O_RDWR | os.O_NOCTTY)
        settings = termios.tcgetattr(slave)
        settings[4] = settings[5] = termios.B57600
        termios.tcsetattr(slave, termios.TCSANOW, settings)
        board.console_tx.write(b"hello, this is at another rate")
        board.clock.advance(SECOND)
        assert os.read(slave, 100) != b"hello, this is at another rate"
        os.write(slave, b"abc")
        board.clock.poll()
        assert board.console_rx.tx_baud == 57600
        os.close(slave)
    finally:
        console.close()
