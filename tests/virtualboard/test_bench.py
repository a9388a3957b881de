"""The virtual board as a test bench: the object, the pytest plugin, an example project that has it from the wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from rig import wheel
from rig.board_process import ENGINES, FIRMWARE
from virtualboard import Bench, Request
from virtualboard.pytest_plugin import different, side_by_side

PROJECT = Path(__file__).resolve().parents[1] / "bench_project"

SENDER = """
import network, usocket
from fpioa_manager import fm
from machine import UART
fm.register(7, fm.fpioa.UART2_TX)
fm.register(6, fm.fpioa.UART2_RX)
network.ESP8285(UART(UART.UART2, 115200, read_buf_len=4096)).connect("home", "correct horse")
s = usocket.socket()
s.connect(usocket.getaddrinfo("server", {port})[0][-1])
s.settimeout(1)
s.send({data!r})
{more}
s.close()
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """Where the wheel is installed."""
    return wheel.installed(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def bench(request, tmp_path):
    return Bench(tmp_path, firmware=FIRMWARE if getattr(request, "param", "") == "k210" else None)


both = pytest.mark.parametrize("bench", ENGINES, indirect=True)


@both
def test_a_listener_hears_what_was_sent_and_the_modem_tells_its_traffic(bench):
    heard = bench.listen(3456)
    done = bench.run(SENDER.format(port=3456, data=b"picture" * 100, more=""))
    assert done.ok, done.traceback
    assert (heard.data, len(heard.connections)) == (b"picture" * 100, 1)
    assert any(line.startswith('AT+CIPSTART="TCP","10.0.0.2",3456') for line in bench.modem.commands)
    assert bench.modem.sent > 700 and bench.modem.received > 100


@both
def test_the_card_the_keys_and_the_pads_are_at_hand(bench):
    (bench.card / "in.txt").write_text("from the test")
    levels = []
    bench.press(at_ms=0, for_ms=60_000)
    bench.watch(12, lambda ms, level: levels.append(level))
    done = bench.run(
        "from fpioa_manager import fm\nfrom Maix import GPIO\n"
        "fm.register(16, fm.fpioa.GPIOHS0)\nfm.register(12, fm.fpioa.GPIOHS1)\n"
        "GPIO(GPIO.GPIOHS1, GPIO.OUT).value(1)\n"
        "with open('/sd/out.txt', 'w') as f: f.write(open('/sd/in.txt').read())\n"
        "print(GPIO(GPIO.GPIOHS0, GPIO.IN, GPIO.PULL_UP).value())\n1 / 0\n"
    )
    assert (done.ok, done.ended, done.output) == (False, "finished", "0\n")
    assert done.traceback.splitlines()[-2:] == [
        '  File "<stdin>", line 8, in <module>',
        "ZeroDivisionError: divide by zero",
    ]
    assert (bench.card / "out.txt").read_text() == "from the test"
    assert levels == [True]
    assert "[MAIXPY] Pll0" in bench.console and done.virtual_ms > 500


def test_a_server_sees_whole_requests_and_answers_as_told(bench):
    asked = []

    def handler(request: Request):
        asked.append(request)
        return (201, {"X-Mine": "yes"}, b"made") if request.method == "POST" else None

    assert bench.serve(handler, port=8080) == "http://server:8080"
    post = b"POST /things HTTP/1.0\r\nContent-Length: 5\r\nX-Name: cat\r\n\r\nhello"
    assert bench.run(SENDER.format(port=8080, data=post, more="print(s.recv(300))")).output == (
        "b'HTTP/1.1 201 OK\\r\\nContent-Length: 4\\r\\nConnection: close\\r\\nX-Mine: yes\\r\\n\\r\\nmade'\n"
    )
    (request,) = asked
    assert (request.target, request.headers["x-name"], request.body) == ("/things", "cat", b"hello")


def test_faults_happen_and_are_told(tmp_path):
    cut = Bench(tmp_path, faults=[{"when": {"ms": 3000}, "do": "cut-power"}])
    done = cut.run("import time\nprint('up')\ntime.sleep(60)\n")
    assert (done.ok, done.ended, done.faults) == (False, "power cut", ["cut-power"])
    with pytest.raises(ValueError, match="needs a MaixPy image"):
        Bench(tmp_path, engine="k210")
    with pytest.raises(ValueError, match="fault 1: cannot do 'melt'"):
        Bench(tmp_path, faults=[{"when": {"ms": 1}, "do": "melt"}]).run("1")


def test_differences_are_counted_and_drawn():
    wanted, seen = Image.new("RGB", (10, 8), (9, 9, 9)), Image.new("RGB", (10, 8), (9, 12, 9))
    seen.putpixel((3, 4), (255, 9, 9))
    assert different(wanted, seen, 2).histogram()[255] == 80
    assert different(wanted, seen, 3).getbbox() == (3, 4, 4, 5)
    drawn = side_by_side(wanted, seen)
    assert drawn.size == (46, 8)
    assert drawn.getpixel((36 + 3, 4)) == (255, 0, 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_example_project_has_it_from_the_wheel(engine, target, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["-q", "-p", "no:cacheprovider", "--strict-markers", "-W", "error"]
    options += ["--board-firmware", FIRMWARE] if engine == "k210" else []
    done = wheel.run(target, "pytest", *options, cwd=project)
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    if engine == "k210":
        return
    # One stored screen is wrong, the other is missing.
    stored = project / "screens" / "red.png"
    with Image.open(stored) as picture:
        changed = picture.convert("RGB")
    changed.paste((0, 0, 255), (10, 20, 30, 40))
    changed.save(stored)
    (project / "screens" / "green.png").unlink()
    done = wheel.run(target, "pytest", *options, cwd=project)
    assert (
        "screen red: 400 of 76800 pixels differ, within (10, 20, 30, 40); stored, seen and difference:" in done.stdout
    )
    assert "there is no stored screen" in done.stdout and "--update-screens" in done.stdout
    (report,) = (project / "screen-differences").iterdir()
    with Image.open(report) as picture:
        assert picture.size == (3 * 320 + 16, 240)
    done = wheel.run(target, "pytest", *options, "--update-screens", cwd=project)
    assert "3 passed" in done.stdout
    assert stored.read_bytes() == (PROJECT / "screens" / "red.png").read_bytes()


def test_a_new_user_with_the_wheel_in_an_empty_folder(target, tmp_path):
    made = wheel.run(target, "maixpix", "new", "mine", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    done = wheel.run(target, "maixpix", "board", "--run", "mine.py", "--screenshot", "panel.png", cwd=tmp_path)
    assert done.returncode == 0 and "shown: " in done.stdout, done.stderr
    with Image.open(tmp_path / "panel.png") as panel:
        assert len(panel.getcolors(1 << 17)) > 1000, "a photograph"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.py", "panel.png"]
