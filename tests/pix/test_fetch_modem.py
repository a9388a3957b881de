"""pix.fetch through the modem driver, the serial line and the ESP8285 part: httpbin, and lines that lose bytes."""

import random

import pytest

from rig.device import Device
from rig.modem_bench import Bench

PICTURE = random.Random(4).randbytes(30_000)


class Board:
    """Driver and card together; `fetch` stores to the card."""

    def __init__(self, folder, profile):
        folder.mkdir(exist_ok=True)
        self.device = Device(folder)
        self.bench = bench = Bench(profile)
        for name in ("uos", "ubinascii", "uhashlib"):
            bench._system[name] = self.device.system[name]
        bench._builtins["open"] = self.device.open
        self.modem = bench.bring_up(recover=True)
        self.PixError = bench.PixError

    def fetch(self, url, **more):
        return self.bench.load("fetch").fetch(self.modem, url, "/sd/file.bin", **more)

    def stored(self):
        return self.device.listing()


@pytest.fixture(params=["1.1", "1.7.4", "1.7.4 passive"])
def board(request, tmp_path):
    board = Board(tmp_path / "card", request.param)
    yield board
    board.bench.close()


def test_httpbin_over_the_modem(board, httpbin_url):
    result = board.fetch(httpbin_url + "/image/jpeg")
    assert result.content_type == "image/jpeg" and result.bytes == 35588 == len(board.stored()["file.bin"])
    assert board.fetch(httpbin_url + "/stream-bytes/9000?seed=1&chunk_size=700").bytes == 9000
    board.fetch(httpbin_url + "/redirect-to?url=%2Frange%2F5000")
    assert board.stored() == {"file.bin": bytes(97 + i % 26 for i in range(5000))}
    for path, code in (("/status/404", "http-404"), ("/redirect/6", "redirect-loop"), ("/gzip", "compressed")):
        with pytest.raises(board.PixError) as e:
            board.fetch(httpbin_url + path)
        assert e.value.code == code
    assert board.stored() == {"file.bin": bytes(97 + i % 26 for i in range(5000))}


@pytest.mark.parametrize("digest", [False, True])
@pytest.mark.parametrize("change", ["drop", "double"])
def test_spoilt_bytes_never_make_a_wrong_file(board, origin, digest, change):
    """Bytes are lost or doubled anywhere: in the content, in the answer's head, in the modem's own words."""
    server = origin(PICTURE)
    server.digest = digest
    lane = board.bench.to_chip
    for seed in range(2):
        chance = random.Random(f"{digest} {change} {seed}")
        spoilt = {lane.delivered + chance.randrange(60, 400), lane.delivered + chance.randrange(400, 34_000)}

        def mangle(index, byte, spoilt=spoilt):
            return bytes((byte,)) * ((0 if change == "drop" else 2) if index in spoilt else 1)

        lane.mangle = mangle
        board.fetch(server.url(), retries=8, idle_ms=1500)
        lane.mangle = None
        assert board.stored() == {"file.bin": PICTURE}
        board.device.load("files").remove("/sd/file.bin")
    assert len(server.requests) > 2


def test_a_lost_network_comes_back_and_the_fetch_goes_on(board, origin):
    server = origin(PICTURE)
    lost = []

    def lose(done, total):
        if done >= 12_000 and not lost:
            lost.append(done)
            board.bench.modem.drop_wifi()
            board.bench.clock.after(3_000_000_000, board.bench.modem.restore_wifi)

    result = board.fetch(server.url(), progress=lose, retries=8)
    assert board.stored() == {"file.bin": PICTURE} and lost
    assert result.status == 206 and result.attempts > 1
