"""Doctor against virtual boards that are well and that are not."""

from __future__ import annotations

import http.server
import json
import threading

import pytest
from boards_fixture import RunningBoard

from maixpix.cli import run as maixpix

SECRET = 'key "of, the\\house'
HOME = {"ssid": "Ho,me", "password": SECRET}


@pytest.fixture
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"x" * 30000
            self.send_response(self.server.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.status = 200
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def examine(tmp_path, server, capsys):
    """Call it with what differs from a healthy board; returns exit code and findings by name."""

    def run(settings=None, card=True, args=(), **config):
        folder = tmp_path / "sd" if card else None
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


def test_a_board_that_lacks_only_the_software(examine):
    code, found = examine(at="1.7.4")
    assert code == 1
    assert [name for name, finding in found.items() if finding["state"] == "wrong"] == ["software"]
    assert found["modem"]["state"] == "ok"
    assert found["modem"]["text"].startswith("AT 1.7.4")
    assert found["networks"]["text"] == "Ho,me -50 dBm, Far -80 dBm"
    assert found["join"]["text"].startswith("Ho,me in ")
    assert found["names"]["text"] == "pc is 127.0.0.1"
    assert found["fetch"]["text"].startswith("30,")
    assert found["panel"]["text"].startswith("test card of 320x240")
    assert "no passive receive" not in found["modem"]["text"]


def test_old_modem_firmware_is_a_note_with_its_remedy(examine):
    _, found = examine(at="1.1")
    assert found["modem"]["state"] == "note"
    assert found["modem"]["remedy"] == "AT 1.7.4 would make receiving lossless"


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
    assert found["card"]["text"] == "not mounted"
    assert "FAT32" in found["card"]["remedy"]
    assert found["settings"]["remedy"] == "run `maixpix setup`"


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

    monkeypatch.setattr("maixpix.link._ENTER_TIMEOUT_S", 1)
    monkeypatch.setattr("maixpix.link._CHARACTER_TIMEOUT_S", 0.5)
    master, slave = pty.openpty()
    tty.setraw(slave)
    assert maixpix(["doctor", "--port", os.ttyname(slave)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("WRONG connection no MaixPy answers on /dev/pts/")
    os.close(master)
    os.close(slave)
