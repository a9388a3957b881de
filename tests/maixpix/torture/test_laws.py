"""Each law of `maixpix torture` is broken on purpose, in a run that keeps them all, and sees it."""

from __future__ import annotations

import copy

import pytest
from PIL import Image

from maixpix.torture import air, easel, laws
from maixpix.torture.cards import same_card
from maixpix.torture.client import Answer
from maixpix.torture.guests import Visit
from maixpix.torture.pictures import planted, pool
from maixpix.torture.play import How, play
from maixpix.torture.played import Mark
from maixpix.torture.scenario import AIR, HOST, KEY, RAW, SSID, TOKEN, UPDATE_KEY, WEB_KEY, Lie, Scenario
from maixpix.torture.world import Heard

ERROR = "no-card: There is no readable card in the slot; Insert a FAT32 card and reset the board"
LOGGED = b"9 1.000 error %s\n"


def scenario(app, **more):
    settings = {"app": app, "wifi": [[SSID, KEY]], **more.pop("settings", {})}
    return Scenario(app, settings=settings, **more)


@pytest.fixture(scope="module")
def shown():
    return play(scenario("show", pictures=[3, 3], settings={"picture": f"http://{HOST}/a.jpg"}))


@pytest.fixture(scope="module")
def sent():
    to = {"upload": f"tcp+name://{HOST}:{RAW}", "token": TOKEN, "send": "DCIM/*.jpg"}
    return play(scenario("send", planted=2, settings=to))


@pytest.fixture(scope="module")
def visited():
    return play(scenario("web", seed=5, settings={"app": "panel", "web_key": WEB_KEY}, planted=1, quiet_ms=12_000))


@pytest.fixture(scope="module")
def set_up():
    settings = {"app": "frame", "picture": f"http://{HOST}/a.jpg", "wifi": []}
    return play(scenario("portal", pictures=[3, 3], settings=settings))


@pytest.fixture(scope="module")
def updated():
    picture = {"picture": f"http://{HOST}/a.jpg"}
    more = {"app": "frame", "server": f"http://{HOST}:{AIR}", "name": "shelf", "update_key": UPDATE_KEY}
    return play(scenario("update", pictures=[3, 3], planted=1, settings={**picture, **more}))


@pytest.fixture(scope="module")
def deployed():
    return play(scenario("deploy", settings={"app": "show"}))


@pytest.fixture(scope="module")
def filled():
    return play(scenario("fill", settings={"app": "show"}))


def test_a_run_to_which_nothing_happens_keeps_all_laws(shown, sent, visited, set_up, updated, deployed, filled):
    for run in (shown, sent, visited, set_up, updated, deployed, filled):
        assert laws.breaches(run) == [] and run.goal_ns
    assert len(sent.world.sink.stored) == 2
    kinds = {visit.what for visit in visited.world.guests.visits if visit.answer.status in (200, 303)}
    assert {"index", "upload"} < kinds and len(set_up.world.phone.keys) == 1
    assert updated.world.air.offered[0] == air.LAST


def flipped(data, at=-9):
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def never_ends(run):
    run.goal_ns = None


def shows_another(run):
    run.marks[0].panel = easel.picture(0)


def shows_one_pixel_wrong(run):
    run.panel = flipped(run.panel, 1000)


def shows_no_card(run):
    run.marks.append(Mark(0, 10**9, "show starts again in 2 s", run.panel, ERROR, 0))


def shows_an_unknown_error(run):
    run.marks.append(Mark(0, 10**9, "show starts again in 2 s", run.panel, "odd: It is odd; Wait", 0))


def keeps_a_torn_picture(run):
    run.last.files["show.jpg"] = pool()[3][:-200]


def changes_the_settings(run):
    run.last.files["pix.json"] += b" "


def loses_a_module(run):
    del run.last.files[next(path for path in run.last.files if path.endswith("pix/fetch.mpy"))]


def tears_a_picture_that_waits(run):
    run.last.files["outbox/s0000001.jpg"] = planted(1)[0][:-2]


def changes_a_picture_that_waits(run):
    run.cycles.insert(0, copy.deepcopy(run.last))
    run.cycles[0].files["outbox/s0000001.jpg"], run.last.files["outbox/s0000001.jpg"] = planted(2)


def loses_an_upload(run):
    run.given["outbox/s0000001.jpg"] = planted(3)[2]


def lets_an_upload_wait(run):
    run.last.files["outbox/s0000001.jpg"] = run.given["outbox/s0000001.jpg"] = planted(3)[2]


def takes_an_upload_for_sent(run):
    run.world.sink.stored.popitem()


def doubles_an_upload(run):
    run.last.lines.append((10**9, next(line for _, line in run.last.lines if line.startswith("safe "))))


def sends_what_never_was(run):
    run.world.sink.store("x.jpg", b"noise")


def loses_a_picture_that_was_told(run):
    run.last.lines.append((10**9, "taken s0000007.jpg 4711 bytes"))


def leaves_a_part(run):
    run.last.files["show.$jp"] = b""


def leaves_a_sidecar(run):
    run.last.files["show.~jp"] = b"pix-part 1\n"


def fills_the_card(run):
    run.last.files["pix.old"] = LOGGED % b"x" * 2000


def keeps_memory(run):
    run.marks = [Mark(0, at * 10**9, "shown", b"", "", 100_000 + 20_000 * at) for at in range(5)]


def logs_what_was_not_told(run):
    run.last.files["pix.log"] = LOGGED % ERROR.encode()


def logs_twice(run):
    run.last.lines.append((10**9, "error " + ERROR))
    run.last.files["pix.log"] = LOGGED % ERROR.encode() * 2


def logs_an_episode_twice(run):
    run.last.lines += [(10**9, "error " + ERROR)] * 2
    run.last.files["pix.log"] = LOGGED % ERROR.encode() * 2


def logs_nothing(run):
    run.last.lines.append((10**9, "error " + ERROR))


def crashes(run):
    run.last.files["pix.log"] = b"9 1.000 crash ValueError: boom\n"


def logs_noise(run):
    run.last.files["pix.log"] = b"\x00\x00\n"


def tells_the_key(run):
    run.last.lines.append((10**9, f"joining {SSID} with {KEY}"))


def writes_the_token(run):
    run.last.files["show.jpg"] += TOKEN.encode()


def talks_to(run, port, text):
    run.world.traffic.append(Heard(HOST, port, 0, bytearray(text)))


def sends_the_key(run):
    talks_to(run, 80, b"GET /?key=" + KEY.encode())


def sends_the_token_elsewhere(run):
    talks_to(run, 81, b"Authorization: Basic eA==\r\n")


def first_upload(run):
    return next(visit for visit in run.world.guests.visits if visit.what == "upload" and visit.answer.status == 303)


def loses_a_picture_of_a_guest(run):
    del run.last.files[f"pics/{first_upload(run).name}"]


def tears_a_picture_of_a_guest(run):
    run.last.files[f"pics/{first_upload(run).name}"] = b"\xff\xd8"


def lets_everybody_in(run):
    visit = run.world.guests.visits[0]
    visit.lie, visit.answer.status = "no-key", 200


def gives_out_another_file(run):
    visit = first_upload(run)
    given = Answer(200, {}, b"another")
    run.world.guests.visits.append(Visit(visit.cycle, "file", visit.name, "", given))


def tells_the_key_on_a_page(run):
    run.world.guests.visits[0].answer.raw += WEB_KEY.encode()


def leaves_a_part_of_an_upload(run):
    run.last.files["pics/g001.$jp"] = b"\xff\xd8"


def tells_the_key_of_its_own_network(run):
    (key,) = run.world.phone.keys
    run.last.lines.append((10**9, f"the key is {key.decode()}"))


def tells_the_key_to_the_telephone(run):
    run.world.phone.heard.append((0, b"value=" + KEY.encode()))


def tears_the_settings(run):
    run.last.files["pix.json"] = run.last.files["pix.json"][:-9]


def has_settings_of_nobody(run):
    run.last.files["pix.json"] = b'{"app": "show"}'


def forgets_the_network(run):
    run.last.files["pix.json"] = run.given["pix.json"]


def slot_of(run):
    return air.chosen(run.last.files)[0]


def starts_a_mixture(run):
    run.last.files[f"{slot_of(run)}/pix/led.py"] = b"# another\n"


def starts_nothing(run):
    for slot in "ab":
        run.last.files[f"maixpix/{slot}/ready"] = b"00000001 0"


def starts_what_nobody_offered(run):
    run.world.air.offered.clear()


def stays_with_the_old_version(run):
    run.last.files[f"{slot_of(run)}/ready"] = b"00000003 0"


def deploys_a_mixture(run):
    starts_a_mixture(run)


def damages_the_loader(run):
    run.last.files["main.py"] = flipped(run.last.files["main.py"])


def fills_in_half_a_file(run):
    run.last.files["kept/p0.jpg"] = run.last.files["kept/p0.jpg"][:-1]


def fills_in_less(run):
    del run.last.files["kept/p0.jpg"]


def leaves_what_it_was_writing(run):
    run.last.files["_fill.new"] = b""


BROKEN = {
    "recovers": [never_ends],
    "panel": [shows_another, shows_one_pixel_wrong, shows_no_card, shows_an_unknown_error],
    "card": [
        keeps_a_torn_picture,
        changes_the_settings,
        loses_a_module,
        tears_a_picture_that_waits,
        changes_a_picture_that_waits,
    ],
    "uploads": [
        loses_an_upload,
        lets_an_upload_wait,
        takes_an_upload_for_sent,
        doubles_an_upload,
        sends_what_never_was,
        loses_a_picture_that_was_told,
    ],
    "pages": [loses_a_picture_of_a_guest, tears_a_picture_of_a_guest, lets_everybody_in, gives_out_another_file],
    "settings": [tears_the_settings, has_settings_of_nobody, forgets_the_network],
    "software": [
        starts_a_mixture,
        starts_nothing,
        starts_what_nobody_offered,
        stays_with_the_old_version,
        deploys_a_mixture,
        damages_the_loader,
    ],
    "filled": [fills_in_half_a_file, fills_in_less],
    "leftovers": [leaves_a_part, leaves_a_sidecar, leaves_a_part_of_an_upload, leaves_what_it_was_writing],
    "room": [fills_the_card],
    "heap": [keeps_memory],
    "log": [logs_what_was_not_told, logs_twice, logs_an_episode_twice, logs_nothing, crashes, logs_noise],
    "secrets": [
        tells_the_key,
        writes_the_token,
        sends_the_key,
        sends_the_token_elsewhere,
        tells_the_key_on_a_page,
        tells_the_key_of_its_own_network,
        tells_the_key_to_the_telephone,
    ],
}
WHERE = {
    "sent": [takes_an_upload_for_sent, doubles_an_upload],
    "visited": [*BROKEN["pages"], tells_the_key_on_a_page, leaves_a_part_of_an_upload],
    "set_up": [*BROKEN["settings"], tells_the_key_of_its_own_network, tells_the_key_to_the_telephone],
    "updated": BROKEN["software"][:-2],
    "deployed": [deploys_a_mixture, damages_the_loader],
    "filled": [*BROKEN["filled"], leaves_what_it_was_writing],
}
"""The run in which a law is broken, where that is not the one of `show`."""


@pytest.mark.parametrize(("law", "breach"), [(law, breach) for law in BROKEN for breach in BROKEN[law]])
def test_a_breach_is_seen(law, breach, request):
    fixture = next((name for name, breaches in WHERE.items() if breach in breaches), "shown")
    run = copy.deepcopy(request.getfixturevalue(fixture))
    breach(run)
    assert law in {told.partition(":")[0] for told in laws.breaches(run)}


def test_every_law_is_broken_here():
    assert set(BROKEN) == set(laws.LAWS)


def in_another_font(panel):
    picture = Image.frombytes("RGB", (320, 240), panel)
    for x in range(0, 320, 8):
        column = picture.crop((x, 0, x + 8, 240))
        picture.paste(column.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (x, 0))
    return picture.tobytes()


def test_a_card_is_the_same_in_another_font_and_no_other_card_is():
    wanted = easel.error_card(ERROR)
    other = in_another_font(wanted)
    assert other != wanted and same_card(other, wanted) and same_card(wanted, wanted)
    assert not same_card(in_another_font(easel.error_card(ERROR.replace("slot;", "sIot;"))), wanted)
    assert not same_card(flipped(other, 100), wanted) and not same_card(other, b"") and not same_card(b"", other)
    assert not same_card(other[: 320 * 3 * 60] + bytes(320 * 3 * 180), wanted)


def test_device_code_that_shows_nothing_is_seen():
    change = {"maixpix/a/apps/show.py": ("width, height = screen.show()", "width, height = 1, 1")}
    drawn = scenario("show", pictures=[3, 3], settings={"picture": f"http://{HOST}/a.jpg"})
    assert any(told.startswith("panel: ") for told in laws.breaches(play(drawn, How(plant=change))))


def test_device_code_that_believes_every_receiver_is_seen():
    change = {"maixpix/a/pix/upload.py": ("    if words[1:] != [job.digest, str(job.size)]:", "    if False:")}
    to = {"upload": f"tcp+name://{HOST}:{RAW}", "token": TOKEN, "send": "DCIM/*.jpg"}
    drawn = scenario("send", planted=1, settings=to, quiet_ms=20_000)
    drawn.cycles[0].lies = [Lie(0, "wrong-digest")]
    assert laws.breaches(play(drawn)) == []
    assert any(told.startswith("uploads: ") for told in laws.breaches(play(drawn, How(plant=change))))
