"""Doctor against virtual boards that are well and that are not."""

from __future__ import annotations

import http.server
import json
import re
import runpy
import threading

import pytest

from maixpix import ports
from maixpix.board import bundle, device_tables, install, settings
from maixpix.board.link import Link
from maixpix.board.places import FolderPlace
from maixpix.cli import run as maixpix
from maixpix.doctor import modem
from maixpix.doctor.examine import _Examination, adapter, fat_kind, unmounted
from rig.board_process import needs_firmware
from rig.running_board import ROOT, RunningBoard

SECRET = 'key "of, the\\house'
HOME = {"ssid": "Ho,me", "password": SECRET}


@pytest.fixture
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            httpd.asked.append((self.path, dict(self.headers)))
            body = b"x" * 80000
            wanted = self.headers.get("Range")
            if wanted:
                body = body[: int(wanted.split("-")[1]) + 1]
            self.send_response(206 if wanted and self.server.status == 200 else self.server.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.status = 200
    httpd.asked = []
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def examine(tmp_path, server, capsys):
    """Call it with what differs from a healthy board; returns exit code and findings by name."""

    def run(settings=None, card=True, args=(), flash=None, **config):
        folder = tmp_path / "sd" if card else None
        (tmp_path / "flash").mkdir(exist_ok=True)
        for name, values in (flash or {}).items():
            (tmp_path / "flash" / name).write_text(json.dumps(values))
        if folder:
            folder.mkdir(exist_ok=True)
            values = {"wifi": [["Ho,me", SECRET]], "server": f"http://pc:{server.server_port}", **(settings or {})}
            (folder / "pix.json").write_text(json.dumps(values))
        base = {"wifi": [HOME, {"ssid": "Far", "password": "12345678", "rssi": -80}], "names": {"pc": "127.0.0.1"}}
        with RunningBoard(folder, tmp_path / "flash", {**base, **config}) as board:
            code = maixpix(["doctor", "--port", board.port, "--json", *args])
        said = capsys.readouterr()
        assert SECRET not in said.out + said.err
        assert json.dumps(SECRET)[1:-1] not in said.out + said.err
        report = json.loads(said.out)
        assert report["ok"] == (code == 0)
        return code, {finding["name"]: finding for finding in report["findings"]}

    return run


def test_a_board_that_lacks_only_the_software(examine, server):
    code, found = examine(at="1.7.4")
    assert code == 1
    assert [name for name, finding in found.items() if finding["state"] == "wrong"] == ["software"]
    assert found["modem"]["state"] == "ok"
    assert found["modem"]["text"] == "answers at 115200 baud, enable pad 8 switches it"
    assert found["at"] == {
        "name": "at",
        "state": "ok",
        "text": "AT 1.7.4.0 with passive receive, pipelined sending, name resolution, a settable rate, SNTP, mDNS, "
        "a host name",
        "remedy": "",
    }
    assert found["networks"]["text"] == "Ho,me -50 dBm, Far -80 dBm"
    assert found["join"]["text"].startswith("Ho,me in ")
    assert found["names"]["text"] == "pc is 127.0.0.1"
    size, speed, share = found["fetch"]["text"].split(", ")
    assert size.startswith("65,")
    assert speed.endswith(" kB/s")
    assert 30 < int(share.split()[0]) <= 100, "of what the line can carry"
    assert server.asked == [("/frame?board=doctor&size=320x240&format=bmp", server.asked[0][1])]
    assert found["port"]["text"].endswith(", no USB adapter")
    assert found["card"]["text"].startswith("FAT32, clusters of 2 kB, ")
    assert found["panel"]["text"].startswith("test card of 320x240")


def test_old_modem_firmware_is_a_note_with_its_remedy(examine):
    _, found = examine(at="1.1")
    assert found["modem"]["state"] == "ok"
    assert found["at"]["state"] == "note"
    assert found["at"]["text"] == (
        "AT 1.1.0.0 with pipelined sending, name resolution, a settable rate; "
        "without passive receive, SNTP, mDNS, a host name"
    )
    assert found["at"]["remedy"] == (
        "AT 1.7.4 would receive without loss; "
        "esptool on pads 6 and 7, GPIO0 of the module at ground, K210 in reset (docs/modem.md)"
    )
    assert found["join"]["state"] == "ok"


def test_a_module_with_another_program_is_named_and_left(examine):
    code, found = examine(at="2.1")
    assert code == 1
    assert found["at"]["state"] == "wrong"
    assert found["at"]["text"] == "ESP-AT 2.1.0.0, another program, which the board's code refuses"
    assert found["at"]["remedy"].startswith("flash AT 1.7.4: esptool on pads 6 and 7")
    assert list(found)[-1] == "at"


@pytest.mark.parametrize(
    ("lines", "answered", "state", "words"),
    [
        (["AT version:1.2.0.0(x)"], ['AT+CIPDOMAIN="127.0.0.1"'], "note", "without passive receive, a settable rate,"),
        (
            ["AT version:1.7.6.0(x)"],
            ["AT+CIPRECVMODE?"],
            "ok",
            "with passive receive, pipelined sending, mDNS; without",
        ),
        (["AT version:0.40.0.0(x)"], [], "note", "AT 0.40.0.0 alone; without passive receive, pipelined"),
        (["0018000902-AI03"], [], "note", "it says '0018000902-AI03'"),
        (["AT version:2.2.1.0(x)", "Bin version:x"], [], "wrong", "ESP-AT 2.2.1.0"),
        ([], [], "note", "it does not tell its version"),
    ],
)
def test_a_build_that_lacks_commands_is_told_by_its_own_answers(lines, answered, state, words):
    finding = modem.firmware({"version": lines, "answered": answered}, 6, 7)
    assert finding.state == state
    assert words in finding.text
    assert (finding.remedy == "") == (state == "ok")


@pytest.mark.parametrize(
    ("settings", "config", "name", "words"),
    [
        ({"wifi": [["Ho,me", "wrong password"]]}, {}, "join", "Ho,me: wrong password"),
        ({"wifi": [["Elsewhere", "12345678"]]}, {}, "join", "Elsewhere: no such network"),
        ({}, {"wifi": []}, "networks", "none in range"),
        ({}, {"names": {}}, "names", "pc is unknown"),
        ({"server": "http://127.0.0.1:9"}, {}, "server", "no connection to 127.0.0.1:9"),
    ],
)
def test_what_is_wrong_with_the_network_has_its_own_line(examine, settings, config, name, words):
    code, found = examine(settings, **config)
    assert code == 1
    assert found[name]["state"] == "wrong"
    assert found[name]["text"] == words
    assert found[name]["remedy"]
    assert list(found)[-1] == name, "later steps need this one"


def test_a_server_that_answers_with_an_error(examine, server):
    server.status = 503
    _, found = examine()
    assert found["server"]["state"] == "wrong"
    assert "HTTP/1.0 503" in found["server"]["text"]


def test_no_card(examine):
    code, found = examine(card=False, args=["--no-network"])
    assert code == 1
    assert found["card"]["text"] == "not mounted: no card, or none in FAT"
    assert "FAT32" in found["card"]["remedy"]
    assert found["settings"]["remedy"] == "run `maixpix setup`"


def test_the_picture_of_the_settings_is_fetched_with_its_login(examine, server):
    url = f"http://me:open%2Dsesame@pc:{server.server_port}/pictures/cat%20one.bmp?x=1"
    _, found = examine({"picture": url, "server": ""})
    path, fields = server.asked[0]
    assert path == "/pictures/cat%20one.bmp?x=1"
    assert fields["Authorization"] == "Basic bWU6b3Blbi1zZXNhbWU="
    assert fields["Range"] == "bytes=0-65535"
    assert found["fetch"]["state"] == "ok"
    assert "sesame" not in json.dumps(found)


def test_a_picture_by_name_comes_from_the_server_in_a_large_form(examine, server):
    server.status = 404
    _, found = examine({"picture": "my cat.jpg"})
    assert server.asked[0][0] == "/pictures/my%20cat.jpg?size=320x240&format=bmp"
    assert found["server"]["state"] == "wrong"
    assert found["server"]["remedy"] == "it has no my cat.jpg"


def test_settings_are_taken_from_both_places_as_the_board_does(examine):
    flash = {"pix.json": {"wifi": [["Ho,me", SECRET]], "board": "bit", "app": "frame"}}
    _, found = examine({"app": "show", "wifi": [["Ho,me", SECRET]]}, flash=flash, args=["--no-network"])
    assert found["settings"]["state"] == "ok"
    assert found["settings"]["text"] == (
        "/flash/pix.json and /sd/pix.json: 1 network, app show; the card's app, wifi win; from the flash: board"
    )


def test_networks_that_are_on_the_flash_only_are_used(examine, tmp_path):
    _, found = examine(card=False, flash={"pix.json": {"wifi": [["Ho,me", SECRET]]}})
    assert found["settings"]["text"] == "/flash/pix.json: 1 network, app show"
    assert found["join"]["state"] == "ok"


def test_damaged_settings_are_named_by_their_file(examine):
    _, found = examine(flash={"pix.json": {"rotation": 9}}, args=["--no-network"])
    assert found["settings"]["state"] == "wrong"
    assert found["settings"]["text"] == "/flash/pix.json: setting rotation must be from 0 to 3"


def test_the_boards_own_pads_win(examine):
    _, found = examine(flash={"config.json": {"board_info": {"WIFI_TX": 9, "WIFI_RX": 10, "WIFI_EN": 11}}})
    assert found["modem"]["text"] == "silent on pads 9, 10, enable 11"


@pytest.mark.parametrize("name", ["dock", "cube", "amigo"])
def test_the_panel_is_started_as_pix_starts_it(name):
    """One table for both: every argument of lcd.init, the direction of the glass, the backlight, the pads."""
    board = runpy.run_path(str(ROOT / "firmware" / "pix" / "board.py"))
    wiring = device_tables.wiring(name)
    assert (wiring.strap, wiring.key, wiring.lcd, wiring.backlight, wiring.direction) == board["_BOARDS"][name]
    pins = board["Pins"]()
    assert (wiring.tx, wiring.rx, wiring.enable) == (pins.wifi_tx, pins.wifi_rx, pins.wifi_en)


def test_boards_are_those_of_the_device_code(capsys):
    assert settings.board_names() == sorted(settings.board_names(), key=settings.board_names().index)
    assert set(settings.board_names()) == set(device_tables.constant("board.py", "_BOARDS"))
    assert maixpix(["doctor", "--board", "toaster", "--port", "/dev/null"]) == 2
    assert "'toaster' is none of dock, go, bit, cube, amigo" in capsys.readouterr().err


def test_the_adapter_behind_the_port_is_told(monkeypatch, tmp_path):
    (tmp_path / "tty").write_text("")
    monkeypatch.setattr(
        "maixpix.ports.scan", lambda: [ports.Port(str(tmp_path / "tty"), "a guess", "1A86:7523", "", 1, 2)]
    )
    assert adapter(str(tmp_path / "tty")) == "a guess (1A86:7523), port 2 of 2"
    assert adapter("rfc2217://127.0.0.1:1") == "over the network"


def sector(**at: bytes) -> bytearray:
    """A sector that ends in 55 AA, with texts at offsets given as _3=b"EXFAT"."""
    data = bytearray(510) + b"\x55\xaa"
    for name, text in at.items():
        data[int(name[1:]) : int(name[1:]) + len(text)] = text
    return data


@pytest.mark.parametrize(
    ("first", "boot", "words"),
    [
        (None, b"", "no card answers in the slot"),
        (b"", b"", "a card is there, but cannot be read"),
        (bytes(512), b"", "the card is not formatted"),
        (sector(_450=b"\x07"), sector(_3=b"EXFAT   ")[:90], "the card is formatted exFAT"),
        (sector(_3=b"EXFAT   "), b"", "the card is formatted exFAT, without a partition table"),
        (sector(_450=b"\x07"), sector(_3=b"NTFS    ")[:90], "the card is formatted NTFS"),
        (sector(_82=b"FAT32   "), b"", "the card has FAT, but no partition table"),
        (sector(_450=b"\xee"), bytes(90), "the card has a GPT partition table"),
        (sector(_450=b"\x0c"), sector(_82=b"FAT32   ")[:90], "the card has FAT, but was not mounted"),
        (sector(_450=b"\x83"), bytes(90), "the card's first partition is no FAT (type 0x83)"),
    ],
)
def test_what_is_in_the_slot_is_told_from_its_sectors(first, boot, words):
    found = {"looked": True, "answers": first is not None, "first": (first or b"").hex(), "boot": bytes(boot).hex()}
    text, remedy = unmounted(found)
    assert text == words
    assert remedy


@pytest.mark.firmware
@pytest.mark.slow
@needs_firmware
def test_real_firmware_can_tell_an_empty_slot(tmp_path, capsys):
    with RunningBoard(None, tmp_path / "flash", script="k210_board.py") as board:
        assert maixpix(["doctor", "--no-network", "--json", "--port", board.port]) == 1
        found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
        assert found["card"]["text"] == "no card answers in the slot"
        assert found["camera"]["state"] == "ok"


@pytest.mark.firmware
@pytest.mark.slow
@needs_firmware
def test_real_firmware_can_read_the_sectors_of_a_card(tmp_path):
    (tmp_path / "sd").mkdir()
    with RunningBoard(tmp_path / "sd", tmp_path / "flash", script="k210_board.py") as board, Link(board.port) as link:
        assert link.wait_for_card()
        examination = _Examination(link, None)
        assert examination._slot()[0] == "the card has FAT, but was not mounted"  # for this is a good one


@pytest.mark.parametrize(("clusters", "kind"), [(4084, "FAT12"), (4085, "FAT16"), (65524, "FAT16"), (65525, "FAT32")])
def test_the_fat_type_follows_from_the_number_of_clusters(clusters, kind):
    assert fat_kind(clusters) == kind


@pytest.mark.parametrize(
    ("found", "state", "words"),
    [
        ({"boot_bytes": 0}, "note", "enable pad 8 does not restart it"),
        ({"boot_bytes": 9, "talks_while_off": True}, "note", "talks while its enable pad 8 is low"),
        ({"enable": None}, "ok", "no enable pad"),
    ],
)
def test_what_the_enable_pad_did_is_told(found, state, words):
    finding = modem.wiring({"enable": 8, "rate": 115200, **found}, 6, 7)
    assert finding.state == state
    assert words in finding.text


def test_a_modem_that_waits_for_its_strap(examine):
    # A Dock (M1W) taken for a Bit: IO0 is not driven low, so the module starts in another mode.
    code, found = examine({"board": "bit"}, modem="strapped")
    assert code == 1
    assert found["modem"]["state"] == "wrong"
    assert found["modem"]["text"] == "it starts but answers no AT command"
    assert "IO0" in found["modem"]["remedy"]
    assert "networks" not in found


def test_the_same_modem_with_the_right_board_is_well(examine):
    _, found = examine({"board": "dock"}, modem="strapped")
    assert found["join"]["state"] == "ok"


def test_no_modem(examine):
    _, found = examine(modem="absent")
    assert found["modem"]["text"] == "silent on pads 6, 7, enable 8"


def test_without_network_the_modem_is_left_alone(examine):
    _, found = examine(args=["--no-network"])
    assert "modem" not in found
    assert "camera" in found


def test_a_dead_port_is_a_finding(capsys, monkeypatch):
    import os
    import pty
    import tty

    monkeypatch.setattr("maixpix.board.link._ENTER_TIMEOUT_S", 1)
    monkeypatch.setattr("maixpix.board.link._CHARACTER_TIMEOUT_S", 0.5)
    monkeypatch.setattr("maixpix.board.link._IDE_TRIES", 3)
    master, slave = pty.openpty()
    tty.setraw(slave)
    assert maixpix(["doctor", "--port", os.ttyname(slave)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("WRONG connection no MaixPy answers on /dev/pts/")
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize(
    ("spoil", "words", "remedy"),
    [
        ({"pix/errors.py": None, "pix/errors.mpy": b"M\x05\x02\x1f"}, "incompatible .mpy file", "deploy with --source"),
        ({"pix/screen.py": None}, "no module named 'pix.screen'", "`maixpix deploy`"),
        ({"pix/screen.py": b"def broken(:\n"}, "SyntaxError", "`maixpix deploy`"),
        ({"apps/show.py": None}, "no module named 'show'", "`maixpix deploy`"),
    ],
)
def test_what_keeps_the_software_from_starting_is_told(examine, tmp_path, spoil, words, remedy):
    card = tmp_path / "sd"
    card.mkdir()
    install.install(FolderPlace(card), bundle.build(mpy=False))
    for name, data in spoil.items():
        path = card / "maixpix" / "a" / name
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)
    code, found = examine(args=("--no-network",))
    assert code == 1
    assert found["software"]["state"] == "wrong"
    assert found["software"]["text"].startswith("version 1 on the card does not start: ")
    assert words in found["software"]["text"]
    assert remedy in found["software"]["remedy"]
    assert found["memory"]["state"] == found["panel"]["state"] == "ok", "the trial leaves nothing behind"


def test_software_that_starts_is_said_to(examine, tmp_path):
    card = tmp_path / "sd"
    card.mkdir()
    install.install(FolderPlace(card), bundle.build(mpy=False))
    _, found = examine(args=("--no-network",))
    assert found["software"]["state"] == "ok"
    assert re.fullmatch(r"version 1 starts, \d+ files on the card", found["software"]["text"])
    assert found["memory"]["state"] == "ok"


@pytest.mark.parametrize(("encoding", "state"), [("utf-8-sig", "ok"), ("utf-16", "wrong"), ("latin-1", "wrong")])
def test_settings_are_judged_as_the_board_reads_them(examine, tmp_path, encoding, state):
    text = json.dumps({"wifi": [["Zürich", "12345678"]]}, ensure_ascii=False)
    (tmp_path / "flash").mkdir()
    (tmp_path / "flash" / "pix.json").write_bytes(text.encode(encoding))
    _, found = examine(card=False, args=("--no-network",))
    assert found["settings"]["state"] == state
    if state == "wrong":
        assert found["settings"]["remedy"] == "any `maixpix setup` writes it anew, in UTF-8"
