"""What a program of the hosted engine reaches of the machine when it climbs out of the device's Python."""

import contextlib
import json
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from rig.board_process import BoardProcess
from rig.forks import plainly
from rig.patience import patient
from rig.terminal import environment
from virtualboard import fence, landlock
from virtualboard.board import BoardConfig
from virtualboard.launch import run_app

try:
    import pty
except ImportError:  # Windows has none
    pty = None

ROOT = Path(__file__).resolve().parents[2]

CLIMB = """\
found = [c for c in ().__class__.__mro__[-1].__subclasses__() if c.__name__ == "_wrap_close"]
host = found[0].__init__.__globals__["sys"].modules
os, builtins = host["os"], host["builtins"]

def attempt(what, action):
    try:
        print(what, "done", action())
    except builtins.OSError as e:
        print(what, "refused", e.errno)
"""
"""The well-known way from any object to the host's own modules: no import is needed."""

needs_landlock = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock (Linux 5.19 and newer)")


needs_terminals = pytest.mark.skipif(pty is None, reason="this system has no pseudo-terminals")


@pytest.fixture(autouse=True, scope="module")
def started_plainly():
    """What is imported after the fence is up has to be reached through it."""
    with plainly():
        yield


@pytest.fixture
def place(tmp_path):
    """A user's folder with a secret in it, and a card beside that."""
    (tmp_path / "card").mkdir()
    (tmp_path / "secret.txt").write_text("the user's own")
    return tmp_path


def attempts(place):
    """Device code that climbs out and tries every kind of thing, one line of answer each."""
    made = {name: str(place / name) for name in ("secret.txt", "new.txt", "card/new.txt", "folder", "card/leak")}
    return (
        CLIMB
        + "\n".join(
            [
                f"made = {made!r}",
                "attempt('read', lambda: builtins.open(made['secret.txt']).read())",
                f"attempt('list', lambda: os.listdir({str(place)!r}))",
                "attempt('write', lambda: builtins.open(made['new.txt'], 'w').write('x'))",
                "attempt('empty', lambda: os.truncate(made['secret.txt'], 0))",
                "attempt('remove', lambda: os.remove(made['secret.txt']))",
                "attempt('rename', lambda: os.rename(made['secret.txt'], made['card/leak']))",
                "attempt('mkdir', lambda: os.mkdir(made['folder']))",
                "attempt('link', lambda: os.symlink(made['secret.txt'], made['card/leak']))",
                "attempt('start', lambda: os.execv('/bin/cat', ['cat', made['secret.txt']]))",
                "attempt('memory', lambda: builtins.open('/proc/self/mem', 'r+b').close())",
                "attempt('card', lambda: builtins.open(made['card/new.txt'], 'w').write('x'))",
                "attempt('signal', lambda: os.kill(os.getppid(), 0))",
                "print('environment', [n for n in os.environ if n.startswith('MAIXPIX_')])",
            ]
        )
        + "\n"
    )


def answers(text):
    return dict(line.split(" ", 1) for line in text.splitlines() if " " in line)


def judge(place, told):
    """`told`, line by line, is what a fence lets through: the card and nothing else."""
    for what in ("read", "list", "write", "remove", "rename", "mkdir", "link", "start", "memory"):
        assert told[what].startswith("refused"), (what, told[what])
    if landlock.version() >= 3:
        assert told["empty"].startswith("refused")
    if landlock.version() >= 6:
        assert told["signal"].startswith("refused")
    assert told["card"] == "done 1"
    assert sorted(path.name for path in place.iterdir() if path.name != "app.py") == ["card", "secret.txt"]
    assert (place / "secret.txt").read_text() == "the user's own"


@needs_landlock
def test_a_program_in_a_process_of_its_own_reaches_the_card_and_nothing_else(place, monkeypatch):
    monkeypatch.setenv("MAIXPIX_TOKEN", "do-not-tell")
    ran = run_app(BoardConfig(card=str(place / "card")), attempts(place))
    assert ran.ok, ran.console
    judge(place, answers(ran.console))


@needs_landlock
def test_a_program_that_the_command_runs_reaches_the_card_and_nothing_else(place):
    (place / "app.py").write_text(attempts(place))
    done = maixpix("--card", str(place / "card"), "--run", str(place / "app.py"))
    assert done.returncode == 0, done.stderr
    judge(place, answers(done.stdout))


def maixpix(*options, **more):
    return subprocess.run(
        [sys.executable, "-m", "maixpix", "board", *options],
        capture_output=True, text=True, timeout=patient(120), env=environment(**more),
    )  # fmt: skip


SHELL = """\
import fcntl, os, signal, struct, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, lambda *_: None)
print("ended with", subprocess.run(sys.argv[1:]).returncode)
print("typed:", struct.unpack("i", fcntl.ioctl(0, termios.FIONREAD, b"    "))[0])
"""


@contextlib.contextmanager
def at_a_shell(*options):
    """`maixpix board` as a shell starts it, at a terminal; gives the terminal's other end, and waits for the end."""
    master, slave = pty.openpty()
    shell = subprocess.Popen(
        [sys.executable, "-c", SHELL, sys.executable, "-m", "maixpix", "board", *options],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment(),
    )  # fmt: skip
    os.close(slave)
    try:
        yield master
        assert shell.wait(patient(60)) == 0
    finally:
        shell.kill()
        shell.wait()
        os.close(master)


def shown_until(master, words=None):
    """What the terminal shows until then; without `words` until the shell has ended."""
    shown = b""
    while words is None or words not in shown:
        assert select.select([master], [], [], patient(60))[0], shown
        try:
            piece = os.read(master, 4096)
        except OSError:  # Linux: nobody has the terminal open any more
            piece = b""
        if not piece:
            break
        shown += piece
    return shown


TYPISTS = """\
load = builtins.__import__
fcntl, termios = load('fcntl'), load('termios')

def type():
    for sign in b'echo out\\n':
        fcntl.ioctl(0, termios.TIOCSTI, builtins.bytes([sign]))

def apart():
    if not os.fork():
        try:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 1)
            type()
        finally:
            os._exit(0)
    os.wait()

def started():
    code = 'import fcntl, termios\\nfor sign in b"x", b"\\\\n": fcntl.ioctl(0, termios.TIOCSTI, sign)'
    load('subprocess').run([host['sys'].executable, '-c', code], stderr=-3)

"""


@needs_terminals
@pytest.mark.parametrize("way", ["TIOCSTI", "in a new session", "from a started program"])
def test_a_program_types_nothing_into_the_terminal_behind_it(way, place):
    code = (
        CLIMB + TYPISTS + f"attempt('typing', {{'TIOCSTI': type, 'in a new session': apart}}.get({way!r}, started))\n"
    )
    (place / "app.py").write_text(code)
    with at_a_shell("--run", str(place / "app.py")) as master:
        shown = shown_until(master)
    assert b"ended with 0" in shown
    assert b"typed: 0" in shown
    assert b"typing" in shown


@needs_terminals
def test_ctrl_c_still_switches_the_board_off():
    with at_a_shell() as master:
        shown_until(master, b"Ctrl-C switches it off")
        os.write(master, b"\x03")
        shown = shown_until(master)
        assert b"switched off" in shown and b"ended with 0" in shown


@pytest.mark.parametrize("secret", ["MAIXPIX_TOKEN", "MAIXPIX_WIFI_KEY", "GITHUB_TOKEN", "A_NAME_NOBODY_THOUGHT_OF"])
def test_secrets_in_the_environment_are_not_there(secret, place, monkeypatch):
    code = CLIMB + f"print([n for n in os.environ if n == {secret!r} or 'do-not-tell' in os.environ[n]])\n"
    monkeypatch.setenv(secret, "do-not-tell")
    ran = run_app(BoardConfig(card=str(place / "card")), code)
    assert ran.console.endswith("[]\n"), ran.console
    done = maixpix("--exec", code, **{secret: "do-not-tell"})
    assert done.stdout == "[]\n", done


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="this system shows no process's environment")
def test_the_first_copy_of_the_environment_is_blotted_out_too():
    code = (
        "from pathlib import Path\nfrom virtualboard import fence, landlock\n"
        "landlock.version = lambda: 0\nprint(fence.enclose([], []))\n"
        "print(Path('/proc/self/environ').read_bytes().count(b'do-not-tell'))\n"
    )
    told = apart(code, MAIXPIX_TOKEN="do-not-tell", LONG="do-not-tell" * 500).stdout
    assert told == "no Landlock\n0\n"


def apart(code, pass_fds=(), **more):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=patient(60),
        env=environment(**more), pass_fds=pass_fds,
    )  # fmt: skip


def test_without_landlock_a_board_runs_and_says_so(place):
    """The system call is refused, as by a container that forbids it; everything else is as it is."""
    code = (
        "import sys\nfrom virtualboard import landlock\nlandlock.version = lambda: 0\n"
        "from maixpix.cli import main\n"
        f"sys.argv = ['maixpix', 'board', '--card', {str(place / 'card')!r}, '--exec', 'print(6 * 7)']\nmain()\n"
    )
    done = apart(code)
    assert (done.returncode, done.stdout) == (0, "42\n"), done
    assert done.stderr == "programs for this board run as you, and reach what you reach (no Landlock)\n"


@needs_landlock
def test_with_landlock_nothing_is_said_of_it():
    assert maixpix("--exec", "print(6 * 7)").stderr == ""


@pytest.mark.skipif(not fence.HAS_LIMITS, reason="this system has no resource limits")
def test_memory_files_and_tasks_are_limited():
    code = (
        "import json, resource\nfrom virtualboard import fence\nfence.enclose([], [])\n"
        "kinds = ('AS', 'FSIZE', 'NOFILE', 'CORE', 'NPROC')\n"
        "print(json.dumps({kind: resource.getrlimit(getattr(resource, 'RLIMIT_' + kind)) for kind in kinds}))\n"
        "try:\n    bytearray(fence.MEMORY_BYTES)\nexcept MemoryError:\n    print('no')\n"
    )
    limits, memory = apart(code).stdout.splitlines()
    found = json.loads(limits)
    assert all(soft == hard for soft, hard in found.values())
    assert found["CORE"][0] == 0 and 0 < found["NOFILE"][0] <= fence.OPEN_FILES
    assert 0 < found["FSIZE"][0] <= fence.FILE_BYTES and 0 < found["AS"][0] <= fence.MEMORY_BYTES
    if sys.platform == "linux":
        assert found["NPROC"][0] > fence.MORE_TASKS
    assert memory == "no"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not list descriptors")
def test_descriptors_of_whoever_started_it_are_closed(tmp_path):
    with (tmp_path / "open").open("w") as file:
        code = (
            f"import os\nfrom virtualboard import fence\nos.fstat({file.fileno()})\nfence.enclose([], [])\n"
            f"try:\n    os.fstat({file.fileno()})\nexcept OSError:\n    print('closed')\n"
        )
        done = apart(code, pass_fds=[file.fileno()])
    assert done.stdout == "closed\n", done.stderr


@needs_landlock
def test_what_a_board_is_told_to_write_is_written(place):
    """Screenshot, flash and card, in folders that the programs themselves cannot reach."""
    flash = place / "flash"
    code = "import lcd; lcd.init(); lcd.clear(lcd.RED); f = open('/flash/a', 'w'); f.write('b'); f.close()"
    done = maixpix("--flash", str(flash), "--screenshot", str(place / "panel.png"), "--exec", code)
    assert done.returncode == 0, done.stderr
    assert (flash / "a").read_text() == "b"
    assert (place / "panel.png").read_bytes().startswith(b"\x89PNG")


@needs_landlock
def test_the_camera_sees_pictures_behind_links(place):
    """In a folder of links; where they lead nothing else can be read."""
    from PIL import Image

    (place / "camera").mkdir()
    Image.new("RGB", (320, 240), "red").save(place / "photo.png")
    (place / "camera" / "first.png").symlink_to(place / "photo.png")
    code = (
        "import sensor\nsensor.reset()\nsensor.set_pixformat(sensor.RGB565)\nsensor.set_framesize(sensor.QVGA)\n"
        "sensor.run(1)\nprint('seen', sensor.snapshot().get_pixel(100, 100))\n"
    )
    shot = place / "camera"
    ran = run_app(BoardConfig(card=str(place / "card"), camera=str(shot)), code + attempts(place))
    told = answers(ran.console)
    assert told["seen"] == "(255, 0, 0)", ran.console
    assert told["read"].startswith("refused")


@needs_landlock
def test_temporary_folders_do_not_outlive_the_board(place):
    (place / "temporary").mkdir()
    code = CLIMB + "print(builtins.len(os.listdir(os.environ['TMPDIR'])))"
    done = maixpix("--exec", code, TMPDIR=str(place / "temporary"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
    left = [path.name for path in (place / "temporary").iterdir()]
    assert left == [f"maixpix-{os.getuid()}"], left


@needs_landlock
def test_a_board_with_all_its_doors_works_behind_the_fence(place):
    from urllib.request import HTTPCookieProcessor, build_opener

    (place / "card" / "note.txt").write_text("read me")
    with BoardProcess("--card", str(place / "card"), "--web", "0", "--rfc2217", "0") as board:
        with build_opener(HTTPCookieProcessor).open(board.page, timeout=patient(30)) as page:
            assert b"<html" in page.read()
        assert board.pty and board.rfc2217
        assert board.stop() == 0
    assert board.said[-1] == "switched off\n" and not any("reach" in line for line in board.said)
