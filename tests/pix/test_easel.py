"""`pix.easel` at night and with keys, `pix.courier` with a card that takes nothing any more."""

import types

import pytest

from rig.device import PowerCut

DAY, NIGHT, CHOSEN = "on", "off", "/sd/hill.jpg"


class Face:
    """What lies over the picture, as words."""

    offline_s = 0

    def __init__(self, panel):
        self.panel = panel

    def fresh(self, caption):
        """Nothing is drawn."""

    def draw(self):
        """Nothing is drawn."""

    def note(self, text):
        self.panel.append("note")

    def info(self, lines):
        self.panel.append("info")


@pytest.fixture
def easel(device):
    """An easel whose album has one picture; `easel.panel` is what the panel showed, `easel.plan` what is planned."""
    panel = []
    (device.folder / "p").mkdir()
    (device.folder / "p" / "a.jpg").write_bytes(b"a")
    settings = device.load("config").Settings(playlist="/sd/p", interval_s=5)
    screen = types.SimpleNamespace(
        show=lambda path, *more: panel.append(path), blank=lambda: panel.append("black"), width=320, height=240
    )
    device.system["lcd"] = types.SimpleNamespace()
    (device.folder / "frame").mkdir()
    made = device.load("easel").Easel(settings, screen)
    made.panel, made.wishes = panel, []
    made.light = []
    device.load("easel").board = types.SimpleNamespace(light=lambda name, level: made.switch(level))
    made.switch = lambda level: False
    made._gestures = types.SimpleNamespace(wish=lambda: made.wishes.pop(0) if made.wishes else "")
    made._report = types.SimpleNamespace(shown=0, page=list, trouble=lambda error: None)
    made.face = Face(panel)
    made.turn()
    made.minute = 0

    def plan(light="on", picture="", seconds=0):
        made.minute += 1
        made.clock.local = lambda: (2026, 11, 28, 12, made.minute, 0, 5)
        made._schedule = types.SimpleNamespace(
            plan=lambda local: types.SimpleNamespace(light=light, picture=picture, seconds=seconds)
        )
        made.look()

    made.plan = plan
    return made


@pytest.mark.parametrize("wish", ["next", "previous", "info", "hold"])
def test_what_a_key_shows_at_night_is_gone_after_a_while(easel, device, wish):
    easel.plan("off")
    assert easel.panel[-1] == "black"
    easel.wishes.append(wish)
    easel.look()
    assert easel.panel[-1] != "black"
    device.skipped_ms += 21_000
    easel.look()
    assert easel.panel[-1] == "black" and not easel.due()


def test_the_light_is_on_while_somebody_looks_at_night(easel, device):
    levels = []
    easel.switch = lambda level: levels.append(level) or True
    easel.plan("off")
    easel.wishes.append("next")
    easel.look()
    assert levels == ["off", "on"]
    device.skipped_ms += 21_000
    easel.look()
    assert levels == ["off", "on", "off"]


def test_a_night_behind_a_chosen_picture_is_dark(easel):
    easel.plan("on", CHOSEN)
    assert easel.panel[-1] == CHOSEN
    easel.plan("off")
    assert easel.panel[-1] == "black"
    easel.plan("on")
    assert easel.panel[-1] == "/sd/p/a.jpg"


def test_the_chosen_picture_is_back_after_a_key(easel, device):
    easel.plan("on", CHOSEN)
    easel.wishes.append("next")
    easel.look()
    assert easel.panel[-1] == "/sd/p/a.jpg"
    device.skipped_ms += 21_000
    easel.look()
    assert easel.panel[-1] == CHOSEN


def test_keys_go_on_while_one_looks_at_night(easel):
    easel.plan("off")
    easel.wishes += ["next"]
    easel.look()
    shown = easel._report.shown
    easel.wishes += ["next"]
    easel.look()
    assert easel._report.shown == shown + 1


@pytest.mark.parametrize("worn", [True, False], ids=["takes nothing", "was pulled out"])
def test_a_card_that_never_took_anything_is_no_reason_to_start_anew(easel, device, worn):
    device.system["sys"] = types.SimpleNamespace(modules={})
    courier = device.load("courier")
    job = courier.Courier.__new__(courier.Courier)
    job._logged, job._card_bad_at, job._easel, job._good_at = ("card-error", device.ticks_ms()), None, easel, 0
    job.report, job._tell = types.SimpleNamespace(trouble=lambda error: None), types.SimpleNamespace(screen=None)
    easel.wrote = not worn
    error = device.PixError("card-error", "now")
    job.trouble(error)
    device.skipped_ms += 60_000
    if worn:
        job.trouble(error)
    else:
        with pytest.raises(PowerCut):
            job.trouble(error)


def test_a_picture_whose_file_is_gone_has_no_path(easel, device):
    """Behind a card, the portal or a night it is shown once more, or not, and the app asks which one it is."""

    def gone(*_):
        raise device.PixError("not-picture", "there is no file")

    assert easel.path() == "/sd/p/a.jpg"
    easel.album._screen.show = gone
    easel.back()
    assert easel.shown and easel.path() == ""
