"""`maixpix demo` as users run it: both ways of a picture, its report, its folder, and its refusals."""

import functools
import http.server
import json
import re
import subprocess
import sys
import threading
from collections import Counter

import pytest
from PIL import Image

from maixpix.board import bundle
from maixpix.cli import run as maixpix
from maixpix.companion.pictures import MEDIA_TYPES
from maixpix.demo.board import Console
from maixpix.demo.files import FOLDERS, MARKER, RESULTS, fill_card, picture_suffix
from maixpix.demo.portrait import COLOURS, portrait
from maixpix.demo.run import DemoOptions, judge, link_figures, psnr, rate_line, run_demo
from maixpix.errors import UserError
from maixpix.flash import kfpkg
from maixpix.paths import board_files
from maixpix.virtual.reach import resolve_url
from rig.patience import patient
from virtualboard.clock import SECOND

COFFEE = board_files() / "assets" / "pictures" / "coffee.jpg"
RESET = {"when": {"lane": "to_chip", "byte": 12_000}, "do": "reset-modem"}
NO_WIFI = {"when": {"ms": 3000}, "do": "lose-wifi"}


def demo(tmp_path, *options):
    return subprocess.run(
        [sys.executable, "-m", "maixpix", "demo", "--out", str(tmp_path / "out"), *options],
        capture_output=True,
        text=True,
        timeout=patient(110),
        check=False,
    )


def report_of(tmp_path):
    return json.loads((tmp_path / "out" / "report.json").read_text())


def colours(path):
    with Image.open(path) as picture:
        return Counter({colour: count for count, colour in picture.convert("RGB").getcolors(1 << 24)})


def test_the_chips_card_has_the_byte_code_that_deploy_sends(tmp_path):
    fill_card(tmp_path, byte_code=True)
    sent = bundle.build().files
    there = {f"pix/{path.name}": path.read_bytes() for path in (tmp_path / "pix").iterdir()}
    assert there == {name: data for name, data in sent.items() if name.startswith("pix/")}
    assert (tmp_path / "apps" / "show.py").is_file()


# -- runs that succeed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "board", "share"),
    [
        ((), "Sipeed Maix Dock (M1W)", 0.97),
        (("--at", "1.7.4"), "Sipeed Maix Dock (M1W)", 0.88),
        (("--at", "1.7.4", "--baud", "2000000", "--panel", "240x240"), "Sipeed Maix Cube", 0.7),
    ],
)
def test_a_picture_goes_both_ways(tmp_path, options, board, share):
    done = demo(tmp_path, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"virtual {board} on the hosted engine, modem AT ")
    assert "the panel shows the picture" in done.stdout and "the snapshot is in the gallery" in done.stdout
    out = tmp_path / "out"
    report = report_of(tmp_path)
    assert report["ok"] and share <= report["line_share"] <= 1.0
    assert f"{report['line_share']:.1%} of the line rate" in done.stdout
    assert "modem latency 1 ms a command" in report["time_model"]
    assert report["payload_bytes"] == report["file_bytes"] == (out / "card" / "show.jpg").stat().st_size
    assert {"ms": 0.0, "text": "power off, power on: now a snapshot goes the other way"} in report["stages"]
    kept = list((out / "uploads").rglob("s0000001.jpg"))
    assert len(kept) == 1 and kept[0].read_bytes() == (out / "received.jpg").read_bytes()
    assert not list((out / "card" / "outbox").glob("*.jpg"))
    with Image.open(out / "demo.png") as picture:
        assert picture.width > 900
    assert colours(out / "demo.png")[COLOURS["good"]] and not colours(out / "demo.png")[COLOURS["bad"]]


def test_a_panel_that_needs_the_larger_heap_gets_it(tmp_path):
    done = demo(tmp_path, "--panel", "480x320")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("virtual Sipeed Maix Amigo on ")
    assert "takes 300 kB in one piece, so the board gets a larger heap" in done.stdout
    assert "Maix.utils.gc_heap_size(2097152)" in done.stdout
    assert report_of(tmp_path)["board"]["heap"]["size"] == 2097152
    with Image.open(tmp_path / "out" / "panel.png") as panel:
        assert panel.size == (480, 320)


def test_a_picture_of_ones_own(tmp_path):
    mine = tmp_path / "private" / "no suffix"
    mine.parent.mkdir()
    (mine.parent / "secret.jpg").write_bytes(COFFEE.read_bytes())
    Image.linear_gradient("L").convert("RGB").resize((500, 300)).save(mine, "PNG")
    done = demo(tmp_path, "--picture", str(mine))
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "out"
    ok, _ = judge(out / "panel.png", out / "card" / "show.jpg", (320, 240))
    with Image.open(out / "panel.png") as panel, Image.open(mine) as wanted:
        assert ok and psnr(panel.crop((0, 24, 320, 216)), wanted.resize((320, 192))) > 28
    # What the companion gave out lay in a folder of its own, not among the user's other pictures.
    assert sorted(path.name for path in (out / "picture").iterdir()) == [MARKER, "picture.png"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "TGA", "PPM", "PCX"])
def test_a_picture_is_served_as_what_it_is(tmp_path, kind):
    mine = tmp_path / "holiday.txt"
    Image.linear_gradient("L").convert("RGB").save(mine, kind)
    suffix = picture_suffix(mine, (320, 240))
    assert Image.registered_extensions()[suffix] == kind and suffix in MEDIA_TYPES


# -- runs that do not -----------------------------------------------------------------------------------------


def test_nothing_of_a_good_run_is_left_after_a_bad_one(tmp_path):
    out = tmp_path / "out"
    assert demo(tmp_path).returncode == 0
    assert {path.name for path in out.iterdir()} == {*RESULTS, *FOLDERS, MARKER} - {"board.flash"}
    (out / "notes.txt").write_text("mine")
    done = demo(tmp_path, "--faults", json.dumps([NO_WIFI]))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(
        "maixpix: no picture reached the card: no-network: The network is not in the air here: home; see the board's "
    )
    assert "error " in done.stdout and "kB/s" not in done.stdout
    left = {path.name for path in out.iterdir()}
    assert left == {"panel.png", "demo.png", "report.json", "notes.txt", *FOLDERS, MARKER}
    assert not list((out / "uploads").rglob("*.jpg"))
    report = report_of(tmp_path)
    assert report["ok"] is False and report["snapshot"] == {} and report["file_bytes"] == 0
    assert "time_model" in report and not {"line_share", "payload_s", "payload_bytes"} & set(report)
    drawn = colours(out / "demo.png")
    assert drawn[COLOURS["bad"]] and drawn[COLOURS["fault"]] and not drawn[COLOURS["good"]]


def test_faults_stand_among_the_stages_where_they_struck(tmp_path):
    plan = [{"when": {"ms": 4000}, "do": "cut-power"}, {"when": {"ms": 1000}, "do": "press-key"}]
    done = demo(tmp_path, "--faults", json.dumps(plan))
    assert done.returncode == 1
    assert "no picture reached the card: the board's power was cut; " in done.stderr
    stages = [(stage["ms"], stage["text"]) for stage in report_of(tmp_path)["stages"]]
    assert stages == sorted(stages)
    assert stages[0] == (1000.0, "fault: press-key") and stages[-1] == (4000.0, "fault: cut-power")
    assert "   4.000 s  fault: cut-power\n" in done.stdout


def test_a_retry_is_no_part_of_the_line_rate(tmp_path):
    done = demo(tmp_path, "--faults", json.dumps([RESET]))
    assert done.returncode == 0, done.stdout + done.stderr
    report = report_of(tmp_path)
    assert report["disturbed"] is True and "line_share" not in report
    assert report["payload_bytes"] == report["file_bytes"] < report["line_bytes"]
    assert "pauses and retries included" in done.stdout and "% of the line rate" not in done.stdout


def test_a_404_has_no_rate(tmp_path):
    done = demo(tmp_path, "--url", "http://pc:1/nothing.jpg")
    assert done.returncode == 1 and "kB/s" not in done.stdout
    report = {"modem": {"links": [{"printed": 524, "first_ns": 1, "last_ns": 5_240_001}]}}
    figures = link_figures(report, 1_000_000, 0)
    assert list(figures) == ["time_model"] and rate_line(figures) is None


def test_a_board_that_never_ends_and_one_that_cannot_begin_are_told_in_words(tmp_path):
    with pytest.raises(UserError, match=r"the board still ran after 0\.01 s.*; is the server silent"):
        run_demo(DemoOptions(tmp_path / "out", timeout_s=0.01), lambda line: None)
    with pytest.raises(UserError, match=r"^ValueError: .*9\.9.*; please report this") as caught:
        run_demo(DemoOptions(tmp_path / "out", at="9.9"), lambda line: None)
    assert "Traceback" not in caught.value.line and "\n" not in caught.value.line


# -- figures --------------------------------------------------------------------------------------------------


def links(*spans, faults=()):
    return {
        "modem": {"links": [{"printed": n, "first_ns": first, "last_ns": last} for n, first, last in spans]},
        "faults": [[when, "drop"] for when in faults],
    }


def test_the_share_is_of_the_modems_true_rate_and_of_the_file_alone():
    # 921600 is 80 MHz / 86 = 930232 baud; a head of 500 bytes, then 93023 of file, back to back.
    span = 93523 * 10 * SECOND // 930232
    figures = link_figures(links((93523, 7, 7 + span)), 921600, 93023)
    assert figures["line_baud"] == 930232 and figures["head_bytes"] == 500
    assert figures["line_share"] == pytest.approx(1.0, abs=1e-4) and figures["payload_s"] == pytest.approx(
        1.0, abs=1e-4
    )
    assert rate_line(figures) == (
        "93023 bytes of file in 1.000 s of virtual time: 93.0 kB/s, 100.0% of the line rate (930232 baud)"
    )


@pytest.mark.parametrize(
    "report",
    [
        links((11_000, 0, SECOND), (500, SECOND, 2 * SECOND)),  # a second link: a redirect, or a retry
        links((15_000, 0, SECOND)),  # half of it came twice
        links((9_000, 0, SECOND)),  # less came than the file has: an earlier run's part
        links((10_500, 0, SECOND), faults=[SECOND // 2]),
        links((10_500, 0, 3 * SECOND)),  # the server thought for long
    ],
)
def test_no_share_when_something_came_between(report):
    figures = link_figures(report, 1_000_000, 10_000)
    assert figures["disturbed"] and "line_share" not in figures and figures["payload_bytes"] == 10_000


def test_a_fault_before_or_after_the_body_does_not_count():
    report = links((10_500, 2 * SECOND, 2 * SECOND + 105_000_000), faults=[SECOND, 3 * SECOND])
    assert link_figures(report, 1_000_000, 10_000)["line_share"] == pytest.approx(1.0)


def test_what_the_board_prints_is_told_at_once_and_its_last_line_too():
    said = []
    console = Console(said.append)
    console.on_event({"t": 1_500_000_000, "console": "[MAIXPY] Pll0\r\n10 %\r2"})
    assert said == ["   1.500 s  10 %"]
    console.on_event({"t": 2_000_000_000, "console": "0 %\nmodem ready at 921600 baud\r\nerror x: y"})
    assert said[1:] == ["   2.000 s  20 %", "   2.000 s  modem ready at 921600 baud"]
    assert console.line_rate == 921600
    console.finish()
    assert said[3] == "   2.000 s  error x: y" and console.stages[-1].tone == "bad"
    console.finish()
    for number in range(50):
        console.on_event({"t": 3_000_000_000, "fault": f"drop byte {number}"})
    assert len(said) == 4 + 21 and said[-1].endswith("fault: and more of them, all in report.json")


def test_a_long_story_is_shortened_in_the_picture():
    shot = Image.new("RGB", (320, 240))
    lines = [(f"{n} s", f"line {n}", "plain") for n in range(500)]
    assert portrait([shot], "t", lines, [("good", True)]).height < 900


# -- its folder -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "theirs", ["card/thesis.txt", "uploads/s0000001.jpg", "picture/cat.jpg", "panel.png", "report.json", "uploads"]
)
def test_what_somebody_else_made_is_never_deleted(tmp_path, theirs, capsys):
    out = tmp_path / "out"
    path = out / theirs
    path.parent.mkdir(parents=True)
    path.write_text("all my work")
    assert maixpix(["demo", "--out", str(out)]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"{out / theirs.split('/')[0]}: not made by a demo, so not deleted; " in told
    assert [p.name for p in out.rglob("*") if p.is_file()] == [path.name] and path.read_text() == "all my work"


def test_a_link_to_somebodys_folder_is_not_followed(tmp_path, capsys):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / MARKER).write_text("copied along")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "card").symlink_to(mine, target_is_directory=True)
    assert maixpix(["demo", "--out", str(tmp_path / "out")]) == 1
    assert "not made by a demo" in capsys.readouterr().err and (mine / MARKER).exists()


def test_a_folder_that_cannot_be_had(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert maixpix(["demo", "--out", str(out)]) == 1
        assert capsys.readouterr().err == f"maixpix: {out} is no folder; name another folder with --out\n"


# -- refusals -------------------------------------------------------------------------------------------------


def test_no_picture_is_told_before_anything_starts(tmp_path, capsys):
    text, half, svg = tmp_path / "text.jpg", tmp_path / "half.jpg", tmp_path / "logo.svg"
    text.write_text("no picture")
    half.write_bytes(COFFEE.read_bytes()[:9000])
    svg.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    for path, why in ((text, "no picture"), (half, "damaged"), (svg, "no picture"), (tmp_path, "there is no picture")):
        assert maixpix(["demo", "--out", str(tmp_path / "out"), "--picture", str(path)]) == 1
        done = capsys.readouterr()
        assert done.out == "" and done.err.count("\n") == 1 and why in done.err
        assert done.err.endswith("; name a picture file with --picture\n") and str(path) in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--picture", "nowhere.jpg"), 1, "there is no picture nowhere.jpg"),
        (("--faults", "[1]"), 1, "fault 1: an entry needs"),
        (("--faults", '[{"when": {"ms": 1}, "do": "dance"}]'), 1, "fault 1: cannot do 'dance'; known: drop"),
        (
            ("--faults", '[{"when": {"lane": "x", "byte": 1}, "do": "drop"}]'),
            1,
            'fault 1: "lane" of "when" must be one of to_chip, to_modem, console_rx, console_tx, not "x"',
        ),
        (("--faults", '[{"when": {"ms": "abc"}, "do": "cut-power"}]'), 1, '"ms" of "when" must be a number from 0'),
        (
            ("--faults", '[{"when": {"lane": "to_chip", "byte": 1}, "do": "drop", "count": "x"}]'),
            1,
            '"count" of drop must be a whole number from 1 to 1000000, not "x"',
        ),
        (("--faults", '[{"when": {"ms": 1}, "do": "say"}]'), 1, 'fault 1: say needs "text", a text'),
        (("--panel", "100x100"), 1, "no board has a panel of 100x100; use one of 320x240, 240x240, 480x320"),
        (("--panel", "big"), 2, "'big' is no size"),
        (("--baud", "fast"), 2, "is not a valid"),
        (("--reach", "everywhere"), 2, "'everywhere' is no IPv4 address; write for example 192.168.1.20"),
        (("--reach", "::1"), 2, "'::1' is no IPv4 address"),
    ],
)
def test_wrong_use_is_told_in_words(tmp_path, options, code, words, capsys):
    assert maixpix(["demo", "--out", str(tmp_path / "out"), *options]) == code
    told = capsys.readouterr()
    assert words in told.err and "Traceback" not in told.err and told.out == ""
    assert code == 2 or told.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_package_without_firmware_is_refused_before_anything_begins(tmp_path, capsys):
    package = tmp_path / "model.kfpkg"
    kfpkg.write([kfpkg.Part(0x300000, "m.kmodel", b"KMDL" + bytes(99))], package)
    assert maixpix(["demo", "--out", str(tmp_path / "out"), "--firmware", str(package)]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("maixpix: model.kfpkg puts nothing to address 0, where the chip starts; ")
    assert told.out == "" and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("url", "reach", "told"),
    [
        ("http://192.0.2.7/a.jpg", [], "192.0.2.7 is not on this machine, .*; add --reach 192.0.2.7$"),
        ("http://192.0.2.7/a.jpg", ["10.0.0.0/8"], "192.0.2.7 is not on this machine, .*; add --reach 192.0.2.7$"),
        ("http://pictures.example/a.jpg", [], "pictures.example is not on this machine, .*; add --reach any$"),
        ("https://pictures.example/a.jpg", [], "pictures.example is not on this machine, .*; add --reach any$"),
        ("http://a..b/a.jpg", ["0.0.0.0/0"], "this machine finds no IPv4 address of a..b; check the name"),
        ("http://[::1]/a.jpg", ["0.0.0.0/0"], "::1 is an IPv6 address, and the board's modem has IPv4 only; "),
        ("http://pc:99999/a.jpg", [], "http://pc:99999/a.jpg is no address: Port out of range"),
        ("a.jpg", [], "a.jpg is no http:// address; write for example"),
        ("ftp://pc/a.jpg", [], "ftp://pc/a.jpg is no http:// address"),
        ("http:///a.jpg", [], "http:///a.jpg is no http:// address"),
    ],
)
def test_what_the_board_cannot_reach_is_told_at_once(url, reach, told):
    with pytest.raises(UserError, match="^" + told):
        resolve_url(url, {"pc": "127.0.0.1"}, reach)


def test_what_the_board_can_reach():
    known = {"pc": "127.0.0.1"}
    for url in ("http://pc:8000/a", "http://127.0.0.1/a", "http://127.9.9.9:80", "http://LOCALHOST/a", "https://pc/a"):
        assert resolve_url(url, known, []) == known
    assert resolve_url("http://192.0.2.7/a.jpg", known, ["192.0.2.0/24"]) == known
    assert resolve_url("http://203.0.113.9/a.jpg", known, ["192.0.2.0/24", "0.0.0.0/0"]) == known


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A web server with pictures that the board alone cannot show; its address."""
    folder = tmp_path_factory.mktemp("web")
    with Image.open(COFFEE) as picture:
        picture.resize((900, 600)).save(folder / "big.jpg", progressive=True)
        picture.resize((64, 48)).save(folder / "small.png")
        picture.resize((64, 48)).save(folder / "plain.jpg")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("big.jpg", "the board alone cannot show it (progressive: "),
        ("small.png", "the board alone cannot show it (not-jpeg: "),
        ("plain.jpg", ""),
    ],
)
def test_any_picture_of_the_web_is_shown(tmp_path, web, name, told):
    done = demo(tmp_path, "--url", f"{web}/{name}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert told in done.stdout and (told or "by the companion" not in done.stdout)
    assert "the panel shows the picture" in done.stdout


def test_https_goes_through_the_companion_at_once(tmp_path):
    done = demo(tmp_path, "--url", "https://127.0.0.1:1/cat.jpg")
    assert done.returncode == 1
    assert "the board's modem has no usable TLS for https://: the companion fetches it" in done.stdout
    assert re.search(r"fetching http://pc:\d+/fetch\?url=https%3A%2F%2F127\.0\.0\.1%3A1%2Fcat\.jpg", done.stdout)
    assert "error https" not in done.stdout
    assert done.stderr.count("\n") == 1


def test_the_grey_of_the_snapshot_is_explained(tmp_path):
    assert "in grey, as minimum builds of MaixPy must take it" in demo(tmp_path).stdout


def test_an_url_beyond_this_machine_ends_before_the_board_starts(tmp_path, capsys):
    assert maixpix(["demo", "--out", str(tmp_path / "out"), "--url", "http://192.0.2.7/a.jpg"]) == 1
    told = capsys.readouterr()
    assert told.out == "" and told.err.endswith("; add --reach 192.0.2.7\n") and not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["demo", "board"])
def test_help_says_what_reach_opens(command, capsys):
    assert maixpix([command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Let the board's links out of this machine, to this IPv4 address, range (192.168.1.0/24) or to `any`" in text
    assert "Without it only servers on this machine can be reached." in text


@pytest.mark.parametrize(("reach", "allowed"), [([], []), (["192.0.2.0/24"], ["192.0.2.7"])])
def test_reach_opens_just_that(reach, allowed):
    from maixpix.virtual.live import LiveBoard, LiveOptions

    live = LiveBoard(LiveOptions(reach=reach))
    try:
        network = live.board.network
        assert network.allows("127.0.0.1") and network.dns is bool(reach)
        assert [ip for ip in ("192.0.2.7", "198.51.100.1") if network.allows(ip)] == allowed
    finally:
        live.close()
