"""Every AT firmware as people left it, before the device's own driver. A sample; benchmarks/modem_firmwares.py runs
2,000."""

import random

import pytest

from benchmarks.modem_firmwares import INJECTIONS, WORK, Job, plan, run
from virtualboard.esp8285 import PROFILES


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", INJECTIONS)
def test_each_oddity_alone(profile, name):
    work = random.Random(f"{profile} {name}").choice(WORK)
    ended = run(Job(0, profile, work, (name,), 1))
    assert not ended.wrong


@pytest.mark.parametrize("number", range(28))
def test_a_sample_of_the_plan(number):
    job = plan(28, seed=3)[number]
    ended = run(job)
    assert not ended.wrong, job


def test_every_profile_and_work_is_in_the_plan():
    jobs = plan(2000, seed=0)
    assert {(job.profile, job.work) for job in jobs} == {(profile, work) for profile in PROFILES for work in WORK}
    assert {name for job in jobs for name in job.injections} == set(INJECTIONS)


def test_data_mode_at_a_rate_of_its_own_is_left(boards):
    """Both are stored in the module's flash: nothing answers at any rate until +++ comes at the right one."""
    bench = boards("1.7.4")
    bench.modem.flash.baud = 57600
    bench.modem.flash.through = "127.0.0.1", 80
    bench.bring_up()
    assert bench.modem.flash.through is None


def test_a_connection_that_data_mode_is_opening_does_not_stop_the_start(boards):
    bench = boards("1.1", allow=())
    bench.modem.flash.ssid, bench.modem.flash.password = b"home", b"correct horse"
    bench.modem.flash.through = "10.9.9.9", 80  # nobody answers there
    modem = bench.bring_up()
    assert modem.baud == 1000000 and bench.modem.flash.through is None
