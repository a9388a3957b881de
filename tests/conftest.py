"""What all tests share: how this process and its children run, and a card with the device code on it."""

import gc
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from rig import forks

ROOT = Path(__file__).resolve().parents[1]

collect_ignore = ["bench_project"]  # somebody else's project: run as one, from the wheel (virtualboard/test_bench.py)

# A busy machine is no fault of an example's, a run that failed can be had again, and what a property's examples share
# holds nothing that one leaves for the next.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("suite")


def _keep_compiled_code(config: pytest.Config) -> None:
    """Hundreds of processes import the same modules and boards the same programs: what they compile is kept.

    `PYTHONDONTWRITEBYTECODE`, which containers set, would have each of them compile the whole tree again.
    """
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    cache = getattr(config, "cache", None)  # -p no:cacheprovider leaves none
    if cache is not None:
        os.environ.setdefault("MAIXPIX_CODE_CACHE", str(cache.mkdir("device-code")))


def _default_signals() -> None:
    """Ctrl-C as at a terminal, for this process and its children: `nohup`, a shell's `&` and many CI systems have it
    ignored, and what is ignored is inherited."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _know_no_authorities() -> None:
    """No test speaks to anybody beyond this machine, and aiohttp reads all authorities of the machine at its import,
    twice: a tenth of a second in each of hundreds of processes."""
    os.environ.update(SSL_CERT_FILE=os.devnull, SSL_CERT_DIR=os.devnull)


def pytest_configure(config: pytest.Config) -> None:
    _default_signals()
    _keep_compiled_code(config)
    _know_no_authorities()
    subprocess.Popen = forks.Popen


def pytest_unconfigure() -> None:
    forks.close()


def pytest_collection_finish() -> None:
    """What exists now stays to the end: device programs call gc.collect(), which need not search it each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def board_card():
    """A function that makes a folder an SD card with `pix` (and the apps) on it."""

    def make(folder: Path) -> Path:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "firmware" / "pix", folder / "pix", ignore=ignore)
        shutil.copytree(ROOT / "apps", folder / "apps", ignore=ignore)
        return folder

    return make
