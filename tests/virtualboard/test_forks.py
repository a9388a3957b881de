"""Programs that the tests start by forking (`rig/forks.py`) are what they are when Python starts them."""

import os
import signal
import subprocess
import sys

import pytest

from rig import forks
from rig.patience import patient

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere everything is started plainly")

MAIXPIX = [sys.executable, "-m", "maixpix"]


def both(*words, **options):
    """What a command ends with: forked, and as Python starts it."""
    options = {"capture_output": True, "text": True, "check": False, "timeout": patient(60), **options}
    forked = subprocess.run([*MAIXPIX, *words], **options)
    with forks.plainly():
        return forked, subprocess.run([*MAIXPIX, *words], **options)


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--version"], 0), (["board", "--speed", "no"], 2), (["board", "--exec", "print(1); 1 / 0"], 1)],
)
def test_they_say_and_end_the_same(words, code):
    forked, plain = both(*words)
    assert (forked.returncode, forked.stdout, forked.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert forked.returncode == code and forked.stdout + forked.stderr


def test_they_begin_in_the_folder_that_was_given(tmp_path):
    (tmp_path / "maixpix.toml").write_text("[board]\nspeed = 'never'\n")
    forked, plain = both("board", "--exec", "pass", cwd=tmp_path)
    assert (forked.returncode, forked.stdout, forked.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert "'never' is not one of" in forked.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_signals_reach_them_and_what_they_ended_with_is_told(number, code):
    endless = [*MAIXPIX, "board", "--exec", "print('on')\nwhile True: pass"]
    with subprocess.Popen(endless, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process._status is not None, "it was forked"
        assert process.stdout.readline() == "on\n" and process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.send_signal(number)
        assert process.wait(patient(20)) == process.poll() == code
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ([sys.executable, "-c", "pass"], {}),
        ([sys.executable, "-X", "utf8", "-m", "maixpix", "--version"], {}),
        ([*MAIXPIX, "--version"], {"PYTHONHASHSEED": "7"}),
        ([*MAIXPIX, "--version"], {"PYTHONPATH": "/elsewhere"}),
        ([*MAIXPIX, "--version"], {"SSL_CERT_FILE": "/elsewhere"}),
    ],
)
def test_what_python_itself_reads_has_a_start_of_its_own(words, more):
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, env={**os.environ, **more}) as process:
        assert process._status is None
        assert process.wait(patient(20)) == 0
