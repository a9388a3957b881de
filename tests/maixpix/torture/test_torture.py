"""`maixpix torture`: scenarios are data, runs repeat exactly, failing ones get small, and a sample of runs holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from maixpix.cli import run as maixpix
from maixpix.commands.torture import APPS
from maixpix.torture.goals import GOALS
from maixpix.torture.kinds import KINDS, draw
from maixpix.torture.laws import KEEPS
from maixpix.torture.minimise import Part, minimise, parts, with_only
from maixpix.torture.pages import PATH, Shelf
from maixpix.torture.play import How
from maixpix.torture.run import Total, Verdict, judge, torture
from maixpix.torture.scenario import AIR_LIES, GUEST_LIES, PAGE_LIES, PHONE_LIES, SINK_LIES, Cycle, Lie, Scenario
from maixpix.torture.sinks import Sink
from maixpix.torture.talk import Do, Request
from virtualboard.faults import ACTIONS, WIRE_ACTIONS


def test_a_scenario_is_the_same_from_its_seed_and_from_its_text():
    for seed in range(300):
        drawn = draw(seed)
        assert drawn == draw(seed) == Scenario.from_json(drawn.to_json()) and "\n" not in drawn.to_json()
        assert "'" not in drawn.to_json()  # it is printed between two of them
    assert draw(5, "send").app == "send" and draw(5) != draw(6)


def test_every_app_fault_and_lie_is_drawn():
    drawn = [draw(seed) for seed in range(3000)]
    assert Counter(each.app for each in drawn).keys() == set(KINDS) == set(KEEPS) == set(GOALS) == set(APPS)
    faults = {fault["do"] for each in drawn for cycle in each.cycles for fault in cycle.faults}
    # These concern the module's own network and builds that lack a command: no app here has anything to do with them.
    others = {"join-station", "lose-clients", "lack-command", "split-echo"}
    assert faults == (set(ACTIONS) | set(WIRE_ACTIONS)) - others
    lies = {lie.do for each in drawn for cycle in each.cycles for lie in cycle.lies}
    assert lies == {*PAGE_LIES, *SINK_LIES, *AIR_LIES, *GUEST_LIES, *PHONE_LIES}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no scenario"),
        ("[]", "no scenario"),
        ("[" * 100_000, "no scenario"),
        ('{"app":"show"}', "no scenario"),
        ('{"app":"none","cycles":[{"faults":[],"lies":[],"end_ms":null}]}', "no app is 'none'"),
        ('{"app":"show","cycles":[]}', "every cycle but the last one ends"),
        ('{"app":"show","cycles":[{"faults":[],"lies":[],"end_ms":5}]}', "every cycle but the last one ends"),
        ('{"app":"show","cycles":[{"faults":[{"do":"x"}],"lies":[],"end_ms":null}]}', "fault 1"),
        ('{"app":"show","more":1,"cycles":[{"faults":[],"lies":[],"end_ms":null}]}', "no scenario"),
    ],
)
def test_a_text_that_is_no_scenario_is_refused(text, told, capsys):
    with pytest.raises(ValueError, match=told):
        Scenario.from_json(text)
    assert maixpix(["torture", "--replay", text]) == 1
    assert told in capsys.readouterr().err


# -- servers ------------------------------------------------------------------------------------------------


def answered(do, **server):
    shelf = Shelf(server, [0, 1])
    steps = []
    for step in shelf.steps(
        Request(b"GET %b HTTP/1.1\r\nRange: bytes=900-" % PATH.encode()), Lie(0, do) if do else None
    ):
        steps.append(step)
        if len(steps) > 400:
            break
    return steps


@pytest.mark.parametrize("do", [lie for lie in PAGE_LIES if lie not in ("refuse", "change")])
def test_every_lie_of_the_server_of_pictures_differs_from_the_truth(do):
    assert answered(do, digest=True, ranges=True) != answered("", digest=True, ranges=True)


@pytest.mark.parametrize("do", ["500", "503", "404", "413", "silent", "junk", "lose-answer", "drip", "slow"])
def test_every_lie_of_the_receiver_differs_from_the_truth(do):
    request = Request(b"POST /files/ HTTP/1.1\r\nUpload-Length: 3")
    assert list(Sink({}).answer(request, b"abc", do)) != list(Sink({}).answer(request, b"abc", ""))


def test_a_receiver_that_loses_its_answer_has_the_file():
    sink = Sink({})
    steps = list(sink.answer(Request(b"POST /files/ HTTP/1.1\r\nUpload-Length: 3"), b"abc", "lose-answer"))
    assert steps == [Do.RESET] and list(sink.stored.values()) == [b"abc"]


# -- runs ---------------------------------------------------------------------------------------------------

REPEATED = 4


def test_a_run_is_the_same_again_and_in_another_process(capsys):
    once, again = judge(draw(REPEATED, "send"), How()), judge(draw(REPEATED, "send"), How())
    assert once.digest == again.digest and once.faults == again.faults
    code = "import sys; from maixpix.cli import run; sys.exit(run(sys.argv[1:]))"
    words = ["torture", "--replay", str(REPEATED), "--app", "send"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=dict(os.environ, PYTHONHASHSEED="7"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.findall(r"digest (\w+)", done.stdout) == [once.digest[:16]], done.stderr
    assert done.returncode == bool(once.wrong)


def test_a_sample_of_runs_keeps_all_laws():
    total = Total()
    torture(iter(range(700, 706)), "", How(), 1, lambda: False, total.add)
    assert total.runs == 6 and [each.wrong for each in total.failed] == []
    told = list(total.lines())
    assert [line.split()[:3] for line in told if line.startswith("all ")] == [["all", "6", "0"]]
    assert sum(each.runs for each in total.apps.values()) == 6


def test_a_failing_run_is_made_small():
    drawn = Scenario(
        "show",
        cycles=[
            Cycle([{"when": {"ms": at}, "do": "roam"} for at in range(9)], [Lie(0, "page"), Lie(1, "404")], 5000),
            Cycle([{"when": {"ms": 1}, "do": "brown-out"}], [], 900),
            Cycle([{"when": {"ms": 2}, "do": "say", "text": "x"}], [Lie(2, "page")]),
        ],
    )
    trials = []

    def fails(each):
        whens = [fault["when"]["ms"] for cycle in each.cycles for fault in cycle.faults]
        return 5 in whens and any(lie.nth == 2 for cycle in each.cycles for lie in cycle.lies)

    small = minimise(drawn, fails, lambda trial, left: trials.append(left))
    assert small.cycles == [Cycle([drawn.cycles[0].faults[5]], [], 5000), Cycle([], [Lie(2, "page")])]
    assert trials and len(trials) <= 120 and drawn.troubles == 16
    assert with_only(drawn, parts(drawn)) == drawn
    assert with_only(drawn, [Part("fault", 0, 1)]).cycles == [Cycle()]


def test_a_broken_law_ends_the_command_with_a_line_that_plays_it_again(monkeypatch, capsys):
    wrong = Verdict(draw(3, "show"), ["panel: it shows nothing"])
    monkeypatch.setattr("maixpix.torture.run.torture", lambda seeds, app, how, jobs, end, take: take(wrong))
    monkeypatch.setattr("maixpix.torture.run.judge", lambda scenario, how: Verdict(scenario, wrong.wrong))
    assert maixpix(["torture", "--runs", "5"]) == 1
    told = capsys.readouterr()
    assert "seed 3: panel: it shows nothing" in told.err
    (text,) = re.findall(r"^maixpix torture --replay '(.*)'$", told.out, re.M)
    assert Scenario.from_json(text).troubles == 0  # it fails whatever is left out
