"""apps/snap.py end to end: camera, outbox, modem, companion; no picture lost, doubled or damaged."""

import io
import json
import re
import threading
import time
import urllib.parse
import urllib.request

import pytest
from PIL import Image

from maixpix.companion import UploadLimits, running
from maixpix.demo.verdicts import psnr
from rig.patience import patient
from rig.servers import Raw
from rig.uploads import KEY, TOKEN, Station, arrived, play, receiver, state_line, stored, taken
from virtualboard.board import BoardConfig, WifiNetwork


@pytest.fixture
def station(tmp_path, board_card):
    return Station(board_card(tmp_path / "card"))


def collect(station, count=3):
    """Pictures taken without a receiver: name -> bytes."""
    before = station.waiting()
    result = station.run("snap", {"snaps": count, "snap_s": 1, "quality": 30})
    after = station.waiting()
    assert len(taken(result.console)) == count and len(after) == len(before) + count
    return after


def tus(companion):
    return f"http://pc:{companion.port}/files/"


@pytest.mark.parametrize("at", ["1.1", "1.7.4"])
def test_pictures_collect_without_a_receiver_and_are_delivered_later(station, tmp_path, at):
    ours = collect(station)
    with running(receiver(tmp_path)) as companion:
        result = station.run("snap", {"upload": tus(companion), "snaps": 1, "snap_s": 1, "quality": 30}, at=at)
    assert result.ok and "error" not in result.console, result.console
    kept = stored(tmp_path)
    assert station.waiting() == {} and list(kept) == [f"s000000{i}.jpg" for i in (1, 2, 3, 4)]
    assert {name: kept[name] for name in ours} == ours
    assert re.findall(r"^safe (\S+)", result.console, re.M) == sorted(kept)  # the oldest first
    assert all(Image.open(io.BytesIO(data)).size == (320, 240) for data in kept.values())
    assert sorted(entry.name for entry in station.outbox.iterdir()) == ["number"]


def test_a_press_of_the_key_takes_a_burst(station, tmp_path):
    fault = {"when": {"ms": 4000}, "do": "press-key", "for_ms": 150}
    with running(receiver(tmp_path)) as companion:
        result = station.run("snap", {"upload": tus(companion), "snaps": 3, "burst": 3}, faults=[fault])
    assert result.ok and len(taken(result.console)) == 3 and len(stored(tmp_path)) == 3


def test_a_press_during_an_upload_is_not_missed(station, tmp_path):
    station.plant(1)
    pressed = {"when": {"command": "AT+CIPSENDBUF", "nth": 2}, "do": "press-key", "for_ms": 60}
    with running(receiver(tmp_path)) as companion:
        result = station.run("snap", {"upload": tus(companion), "snaps": 1, "quality": 30}, faults=[pressed])
    assert result.ok and len(stored(tmp_path)) == 2


def test_a_command_of_the_companion_takes_a_picture(station, tmp_path):
    answers = [b"", b"snap\n", b"", b""]

    def answer(connection, head):
        body = answers.pop(0) if answers else b""
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    server = Raw(answer)
    with running(receiver(tmp_path)) as companion:
        settings = {"upload": tus(companion), "snaps": 1, "command": f"http://pc:{server.port}/command?board=dock"}
        result = station.run("snap", settings)
    server.close()
    assert result.ok and len(stored(tmp_path)) == 1
    # The token is the companion's, and this is another server.
    assert len(server.requests) == 2
    assert not any(b"authorization" in head.lower() or TOKEN.encode() in head for head in server.requests)


def test_the_companion_that_is_asked_gets_its_token(station, tmp_path):
    with running(receiver(tmp_path)) as companion:
        command = f"http://pc:{companion.port}/command?board=dock"
        result = station.run("snap", {"upload": tus(companion), "snaps": 2, "snap_s": 4, "command": command})
    assert result.ok and len(stored(tmp_path)) == 2
    assert "wifi home, address" in result.console and "error" not in result.console, result.console


def test_an_answer_in_pieces_is_read_to_its_end(station, tmp_path):
    def answer(connection, head):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nsn\r\n2\r\nap\r\n0\r\n\r\n")

    server = Raw(answer)
    result = station.run("snap", {"upload": "", "snaps": 1, "command": f"http://pc:{server.port}/"}, end_ms=30_000)
    server.close()
    assert len(taken(result.console)) == 1


def test_a_click_in_the_gallery_brings_a_picture_there(station, tmp_path):
    """The whole way: POST /gallery/snap -> /command -> camera -> upload -> gallery, byte for byte."""
    committed = {}
    clicked = []
    with running(receiver(tmp_path, token=None)) as companion:

        def fetch(path, form=None):
            data = None if form is None else urllib.parse.urlencode(form).encode()
            with urllib.request.urlopen(companion.url + path, data, timeout=patient(20)) as answer:
                return answer.read()

        def click():
            """As a person would: once the page offers the board."""
            end = time.monotonic() + patient(60)
            while time.monotonic() < end:
                page = fetch("/gallery").decode()
                if "shed" in page:
                    secret = re.search(r'name="secret" value="([^"]+)"', page)[1]
                    clicked.append(fetch("/gallery/snap", {"secret": secret, "board": "shed"}))
                    return
                time.sleep(0.02)

        settings = {"wifi": [["home", KEY]], "upload": tus(companion), "snaps": 1, "name": "shed",
                    "command": f"http://pc:{companion.port}/command?board=shed"}  # fmt: skip
        (station.card / "pix.json").write_text(json.dumps(settings))
        config = BoardConfig(card=str(station.card), camera=str(station.scenes()), names={"pc": "127.0.0.1"},
                             wifi=[WifiNetwork("home", KEY)])  # fmt: skip
        person = threading.Thread(target=click)
        person.start()
        played = play(config, "snap", 3_600_000, committed.__setitem__)
        person.join()
        listed = json.loads(fetch("/uploads.json"))["uploads"]
        pictures = [fetch(entry["url"]) for entry in listed]
    assert clicked and "done, 1 taken" in played.console, played.console
    assert [entry["board"] for entry in listed] == ["shed"]
    assert pictures == list(committed.values()) and list(committed) == taken(played.console)


def test_without_a_network_pictures_collect(station, tmp_path):
    """Looking for a network takes 20 s a time; what is due meanwhile is taken all the same."""
    result = station.run(
        "snap", {"upload": "http://pc:1/files/", "snap_s": 3, "colour": "off"}, ssid="elsewhere", end_ms=50_000
    )
    names = taken(result.console)
    assert 15 <= len(names) <= 17 and sorted(station.waiting()) == names, result.console
    assert result.console.count("error no-network") in (2, 3, 4)  # asked for less and less often
    ours = set(station.waiting().values())  # the camera has seen some views twice: such pictures are kept once
    with running(receiver(tmp_path)) as companion:
        station.run("snap", {"upload": tus(companion), "snaps": 1, "snap_s": 1})
    assert ours < set(stored(tmp_path).values()) and station.waiting() == {}


def test_a_network_that_goes_away_costs_no_picture(station, tmp_path):
    lost = {"when": {"ms": 13_000}, "do": "lose-wifi", "for_ms": 20_000}
    with running(receiver(tmp_path)) as companion:
        settings = {"upload": tus(companion), "snap_s": 3, "colour": "off"}
        result = station.run("snap", settings, faults=[lost], end_ms=45_000)
    names = taken(result.console)
    assert 13 <= len(names) <= 15 and "wifi lost, waiting" in result.console, result.console
    assert result.console.count("\nsafe ") + len(station.waiting()) == len(names)


def test_a_long_upload_costs_no_picture(station, tmp_path):
    ours = station.plant(1, large=1)
    with running(receiver(tmp_path)) as companion:
        settings = {"upload": tus(companion), "snap_s": 1, "snaps": 9, "colour": "off"}
        result = station.run("snap", settings)
    console = result.console
    assert len(ours["s0000001.jpg"]) > 200_000 and result.ok, console
    during = console[console.index("wifi home, address") : console.index("safe s0000001.jpg")]
    assert len(taken(during)) >= 2 and "error" not in console, console
    kept = stored(tmp_path)
    assert len(kept) == 10 and kept["s0000001.jpg"] == ours["s0000001.jpg"]


def test_the_panel_tells_when_the_card_is_full_and_nothing_is_removed(station, tmp_path):
    settings = {"snap_s": 1, "reserve_kb": 2048, "quality": 95}
    panel = tmp_path / "panel.png"
    result = station.run("snap", settings, end_ms=8_000, panel=panel,
                         faults=[{"when": {"ms": 4000}, "do": "fill-card", "leave": 2_100_000}])  # fmt: skip
    assert "error card-full" in result.console and "2048 kB needed" in result.console
    assert sorted(station.waiting()) == taken(result.console) != []
    with Image.open(panel) as shown:
        line = shown.convert("L").crop((0, 224, 320, 238))
        assert line.getextrema() == (0, 255)  # the line of the state stands below the picture
        top = (0, 0, 320, 220)
        views = [Image.open(view).convert("RGB") for view in (tmp_path / "scenes1").iterdir()]
        assert max(psnr(shown.convert("RGB").crop(top), view.crop(top)) for view in views) > 30


def test_the_panel_shows_the_picture_and_every_state_of_it(station, tmp_path):
    """taken / sending n % / safe, read back glyph by glyph from the panel itself."""
    states, shown = [], []
    views = station.scenes()

    def watch(board):
        def look():
            picture = board.panel.image()
            text = state_line(picture)
            if text and "?" not in text and text not in states:
                states.append(text)
                shown.append(picture.crop((0, 0, 320, 220)))

        board.panel.on_frame = look

    with running(receiver(tmp_path)) as companion:
        settings = {"wifi": [["home", KEY]], "upload": tus(companion), "token": TOKEN, "snaps": 1, "snap_s": 1}
        (station.card / "pix.json").write_text(json.dumps({**settings, "colour": "on", "quality": 95}))
        config = BoardConfig(card=str(station.card), camera=str(views), names={"pc": "127.0.0.1"},
                             wifi=[WifiNetwork("home", KEY)])  # fmt: skip
        played = play(config, "snap", 60_000, lambda name, data: None, watch)
    assert "done, 1 taken" in played.console, played.console
    assert states[0] == "s0000001.jpg taken, 1 waiting"
    assert states[-2:] == ["s0000001.jpg safe, 0 waiting", "1 taken, none waiting"]
    percents = [int(found[1]) for text in states if (found := re.fullmatch(r"s0000001.jpg sending (\d+) %", text))]
    assert len(percents) > 5 and percents == sorted(percents) and percents[-1] >= 90
    order = [text.split(" ")[1].rstrip(",") for text in states if text.startswith("s0000001")]
    assert order == ["taken"] + ["sending"] * len(percents) + ["safe"]
    sent = Image.open(io.BytesIO(*stored(tmp_path).values())).convert("RGB").crop((0, 0, 320, 220))
    assert all(psnr(picture, sent) > 30 for picture in shown)


def test_no_camera_is_told_and_old_pictures_are_still_delivered(station, tmp_path):
    ours = station.plant(2)
    with running(receiver(tmp_path)) as companion:
        settings = {"upload": tus(companion), "snap_s": 3}
        result = station.run("snap", settings, no_camera=True, end_ms=25_000)
    assert "error no-camera" in result.console
    assert stored(tmp_path) == ours and station.waiting() == {}


def test_a_picture_that_is_refused_does_not_block_the_others(station, tmp_path):
    ours = station.plant(3)
    second = station.outbox / "s0000002.jpg"
    second.write_bytes(ours["s0000002.jpg"] + bytes(60_000))
    limits = UploadLimits(max_file_bytes=50_000)
    with running(receiver(tmp_path, upload_limits=limits)) as companion:
        settings = {"upload": tus(companion), "snap_s": 1000, "quality": 30}
        result = station.run("snap", settings, end_ms=40_000)
    assert "error upload-refused" in result.console
    assert sorted(stored(tmp_path)) == ["s0000001.jpg", "s0000003.jpg", "s0000004.jpg"]
    assert list(station.waiting()) == ["s0000002.jpg"]


def test_a_wrong_token_keeps_everything(station, tmp_path):
    ours = station.plant(2)
    with running(receiver(tmp_path, token="another-token-1")) as companion:
        result = station.run("snap", {"upload": tus(companion), "snap_s": 1000}, end_ms=20_000)
    assert "error http-401" in result.console and stored(tmp_path) == {}
    assert {name: data for name, data in station.waiting().items() if name in ours} == ours


@pytest.mark.parametrize("door", ["tcp", "tcp+name"])
def test_raw_tcp(station, tmp_path, door):
    ours = station.plant(2)
    token = None if door == "tcp" else TOKEN
    with running(receiver(tmp_path, token=token)) as companion:
        settings = {"upload": f"{door}://pc:{companion.tcp_port}", "snaps": 1, "snap_s": 1}
        result = station.run("snap", settings)
        kept = arrived(tmp_path, 3)
    assert result.ok, result.console
    assert len(kept) == 3 and set(ours.values()) < set(kept.values()) and station.waiting() == {}
    # Without an answer nothing proves that it is safe: the card keeps it.
    sent = station.card / "sent"
    assert sent.exists() == (door == "tcp")
    if door == "tcp":
        assert {entry.name: entry.read_bytes() for entry in sent.iterdir()}.items() >= ours.items()
    else:
        assert sorted(kept) == ["s0000001.jpg", "s0000002.jpg", "s0000003.jpg"]


TROUBLES = [
    {"when": {"lane": "to_modem", "byte": 9000}, "do": "lose-wifi", "for_ms": 3000},
    {"when": {"lane": "to_modem", "byte": 9000}, "do": "reset-modem"},
    {"when": {"lane": "to_modem", "byte": 9000}, "do": "brown-out"},
    {"when": {"lane": "to_modem", "byte": 9000}, "do": "drop"},
    {"when": {"lane": "to_modem", "byte": 9000}, "do": "double", "count": 3},
    {"when": {"lane": "to_modem", "byte": 9000}, "do": "flip"},
    {"when": {"lane": "to_modem", "byte": 9000}, "do": "stall-card", "ms": 300},
    {"when": {"lane": "to_modem", "byte": 9000}, "do": "close-link", "link": 4},
    {"when": {"lane": "to_modem", "byte": 9000}, "do": "close-link", "link": 4, "reset": True},
    {"when": {"lane": "to_modem", "byte": 9000}, "do": "stall-modem", "ms": 4000},
    {"when": {"command": "AT+CIPSTART", "nth": 2}, "do": "reset-modem"},
]


@pytest.mark.parametrize("fault", TROUBLES, ids=lambda fault: fault["do"] + str(fault["when"].get("byte", "")))
def test_trouble_that_passes_costs_nothing(station, tmp_path, fault):
    ours = station.plant(1)
    with running(receiver(tmp_path)) as companion:
        settings = {"upload": tus(companion), "snaps": 1, "snap_s": 1, "quality": 30}
        result = station.run("snap", settings, faults=[fault], at="1.7.4", end_ms=120_000)
    assert result.ok and result.report["faults"], result.console
    kept = stored(tmp_path)
    assert station.waiting() == {} and len(kept) == 2
    assert kept["s0000001.jpg"] == ours["s0000001.jpg"]


def test_the_power_is_cut_in_mid_upload(station, tmp_path):
    ours = station.plant(2)
    cut = {"when": {"lane": "to_modem", "byte": 12_000}, "do": "cut-power"}
    with running(receiver(tmp_path)) as companion:
        settings = {"upload": tus(companion), "snaps": 1, "snap_s": 1, "quality": 30}
        result = station.run("snap", settings, faults=[cut])
        assert not result.ok
        assert station.run("snap", settings).ok
    kept = stored(tmp_path)
    assert station.waiting() == {} and {name: kept[name] for name in ours} == ours


def test_the_companion_is_stopped_and_started_again(station, tmp_path):
    ours = station.plant(3)
    here = receiver(tmp_path)
    first = running(here)
    companion = first.__enter__()
    state = {"first": first}

    def on_event(event):
        # At the first "safe" the companion goes away; when the board complains it comes back on the same port.
        text = event.get("console", "")
        if "safe s0000001" in text and "second" not in state:
            state["second"] = None
            state["first"].__exit__(None, None, None)
        elif "error " in text and state.get("second", 0) is None:
            state["second"] = running(receiver(tmp_path, port=companion.port))
            state["second"].__enter__()

    try:
        settings = {"upload": tus(companion), "snaps": 1, "snap_s": 1, "quality": 30}
        result = station.run("snap", settings, on_event=on_event, end_ms=200_000)
    finally:
        (state.get("second") or first).__exit__(None, None, None)
    assert result.ok and "error " in result.console, result.console
    kept = stored(tmp_path)
    assert station.waiting() == {} and {name: kept[name] for name in ours} == ours and len(kept) == 4
