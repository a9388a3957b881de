"""The live page: everything through aiohttp's client, on boards that run meanwhile; and in a browser."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from PIL import Image

from maixpix.cli import run as maixpix
from maixpix.virtual.live import LiveBoard, LiveOptions
from maixpix.virtual.web import serving
from maixpix.virtual.web.view import without_key
from rig.board_process import ENGINES, FIRMWARE
from rig.browser import DESKTOP, PHONE, browser
from rig.patience import patient

KEY = "sesame, open"


class Running:
    """A board in a thread, with its page at `url`."""

    def __init__(self, options: LiveOptions) -> None:
        self.live = LiveBoard(options)
        self._doors = contextlib.ExitStack()
        self.url = self._doors.enter_context(serving(self.live, 0))
        self.port = urlsplit(self.url).port
        self._thread = threading.Thread(target=self.live.run)
        self._thread.start()

    def ask(self, function):
        return self.live.mailbox.ask(function).result(patient(20))

    def switch_off(self) -> None:
        self.live.stop()
        self._thread.join(patient(20))
        assert not self._thread.is_alive()
        self._doors.close()
        self.live.close()


@pytest.fixture(params=ENGINES)
def running(request, tmp_path):
    card = tmp_path / "card"
    card.mkdir()
    (card / "folder").mkdir()
    (card / "folder" / "data.bin").write_bytes(bytes(range(256)) * 20)
    (card / "main.py").write_text("print('main ran')\n")
    options = LiveOptions(card=card, wifi=[("net", KEY)], paced=False)
    if request.param == "k210":
        options = replace(options, engine="k210", firmware=Path(FIRMWARE))
    board = Running(options)
    board.card = card
    yield board
    board.switch_off()


class Page:
    """What a page knows: the events that came, joined."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url.partition("?")[0]
        self.console, self.log, self.kinds, self.hello, self.times = "", [], [], {}, []

    async def follow(self) -> None:
        async with self.session.get(self.url + "events") as answer:
            assert answer.status == 200 and answer.content_type == "text/event-stream"
            kind = ""
            async for line in answer.content:
                text = line.decode().rstrip("\n")
                if text.startswith("event: "):
                    kind = text[7:]
                elif text.startswith("data: "):
                    self.take(kind, json.loads(text[6:]))

    def take(self, kind: str, data) -> None:
        self.kinds.append(kind)
        if kind == "console":
            self.console += data["text"]
        elif kind == "log":
            self.log += data
        elif kind == "hello":
            self.hello = data
        elif kind == "time":
            self.times.append(data["ns"])

    async def until(self, condition, limit_s: float = 60) -> None:
        deadline = time.monotonic() + patient(limit_s)
        while not condition():
            assert time.monotonic() < deadline, (self.console[-500:], self.log[-5:], self.kinds[-9:])
            await asyncio.sleep(0.02)

    async def post(self, address: str, data, **options) -> int:
        async with self.session.post(self.url + address, json=data, **options) as answer:
            return answer.status

    async def type(self, text: str, then: str) -> None:
        """Type a line and wait for what it prints."""
        mark = len(self.console)
        assert await self.post("type", {"text": text + "\r"}) == 204
        await self.until(lambda: then in self.console[mark:])

    async def get(self, address: str, **options):
        async with self.session.get(self.url + address, **options) as answer:
            return answer.status, await answer.read(), answer.headers


def visitor() -> aiohttp.ClientSession:
    """A browser's jar; aiohttp's own keeps no cookies of addresses."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


@contextlib.asynccontextmanager
async def opened(url: str):
    async with visitor() as session:
        async with session.get(url) as answer:
            assert answer.status == 200 and "token" not in str(answer.url)
        page = Page(session, url)
        page.task = asyncio.create_task(page.follow())
        try:
            yield page
        finally:
            page.task.cancel()
            await asyncio.gather(page.task, return_exceptions=True)


def drive(scenario) -> None:
    asyncio.run(scenario)


def test_the_console_is_shown_and_typed_into(running):
    async def scenario():
        async with opened(running.url) as page:
            await page.until(lambda: ">>> " in page.console)
            assert "main ran" in page.console
            assert page.hello["width"] == 320 and page.hello["engine"] == running.live.options.engine
            await page.type(r"print(6 * 7, '\xfc')", "42 ü")
            async with opened(running.url) as late:
                # Who comes later gets the whole story.
                await late.until(lambda: "42 ü" in late.console)
                assert late.console.startswith(page.console[:200])
            assert page.times == sorted(page.times)

    drive(scenario())


def test_the_panel_is_announced_when_it_changes_and_exact(running, tmp_path):
    async def scenario():
        async with opened(running.url) as page:
            await page.until(lambda: ">>> " in page.console)
            await page.type("import lcd; lcd.init(); lcd.clear((0, 255, 0)); print('is' + 'done')", "isdone")
            await asyncio.sleep(patient(0.2))
            before = page.kinds.count("panel")
            await page.type("print('no' + 'thing')", "nothing")
            await asyncio.sleep(patient(0.2))
            assert page.kinds.count("panel") == before
            await page.type("lcd.fill_rectangle(10, 20, 30, 40, (255, 0, 0)); print('drawn' + '!')", "drawn!")
            await page.until(lambda: page.kinds.count("panel") > before)
            status, data, headers = await page.get("panel.png")
            assert status == 200 and headers["Content-Type"] == "image/png"
            shown = Image.open(io.BytesIO(data)).convert("RGB")
            assert shown.tobytes() == running.ask(running.live.board.panel.image).tobytes()
            assert shown.getpixel((25, 40)) == (255, 0, 0) and shown.getpixel((5, 5)) == (0, 255, 0)
            assert sorted(count for count, _ in shown.getcolors()) == [1200, 320 * 240 - 1200]

    drive(scenario())
    target = tmp_path / "shot.png"
    assert maixpix(["screenshot", str(target), "--web", running.url]) == 0
    with Image.open(target) as picture:
        assert picture.size == (320, 240)


MODEM = """\
from machine import UART; from fpioa_manager import fm
fm.register(6, fm.fpioa.UART2_RX, force=True); a = fm.register(7, fm.fpioa.UART2_TX, force=True)
u = UART(UART.UART2, 115200, read_buf_len=4096)
n = u.write('AT+CWMODE_CUR=1\\r\\n'); import time; time.sleep_ms(200)
n = u.write('AT+CWJAP_CUR="net","%s"\\r\\n'); time.sleep_ms(200)
print('sent' + 'all')"""


def test_the_modems_commands_and_events_are_listed_with_their_time_but_no_key(running):
    async def scenario():
        async with opened(running.url) as page:
            await page.until(lambda: ">>> " in page.console)
            *lines, last = (MODEM % KEY).splitlines()
            for line in lines:
                mark = len(page.console)
                assert await page.post("type", {"text": line + "\r"}) == 204
                await page.until(lambda mark=mark: ">>> " in page.console[mark + 1 :])
            await page.type(last, "sentall")
            await page.until(lambda: any("GOT IP" in entry["text"] for entry in page.log))
        commands = [entry["text"] for entry in page.log if entry["kind"] == "command"]
        assert commands == ["AT+CWMODE_CUR=1", 'AT+CWJAP_CUR="net","***"']
        events = [entry["text"] for entry in page.log if entry["kind"] == "event"]
        assert events[0] == "ready" and "WIFI CONNECTED" in events
        times = [entry["ns"] for entry in page.log]
        assert times == sorted(times) and times[0] > 0
        assert "sesame" not in json.dumps(page.log)

    drive(scenario())


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('AT+CWJAP="a","b"', 'AT+CWJAP="a","***"'),
        ('AT+CWJAP_DEF="a\\",b","s\\"e,c","aa:bb"', 'AT+CWJAP_DEF="a\\",b","***","aa:bb"'),
        ('AT+CWSAP_CUR="own","secret",5,3', 'AT+CWSAP_CUR="own","***",5,3'),
        ('AT+CWJAP="only', "AT+CWJAP=***"),
        ("AT+CWJAP=net,secret", 'AT+CWJAP=net,"***"'),
        ("AT+CWJAP?", "AT+CWJAP?"),
        ("AT+CIPSTART=0", "AT+CIPSTART=0"),
    ],
)
def test_keys_are_not_shown(line, shown):
    assert without_key(line) == shown


def test_the_cards_files_are_listed_and_come_down_whole(running):
    async def scenario():
        async with opened(running.url) as page:
            await page.until(lambda: ">>> " in page.console)
            code = "f = open('/sd/new.txt', 'w'); n = f.write('12345'); f.close(); print('wrote' + 'it')"
            await page.type(code, "wroteit")
            await page.until(lambda: "card" in page.kinds)
            card = json.loads((await page.get("card.json"))[1])
            assert card["present"] and not card["more"]
            sizes = {file["path"]: file["size"] for file in card["files"]}
            assert sizes["folder/data.bin"] == 5120 and sizes["new.txt"] == 5 and "main.py" in sizes
            status, data, headers = await page.get("card/folder/data.bin")
            assert status == 200 and data == bytes(range(256)) * 20
            assert headers["Content-Disposition"] == "attachment"
            (running.card.parent / "secret.txt").write_text("outside")
            (running.card / "link.txt").symlink_to(running.card.parent / "secret.txt")
            (running.card / "round").symlink_to(running.card / "about")
            (running.card / "about").symlink_to(running.card / "round")
            (running.card / "itself").symlink_to(running.card / "itself")
            outside = ["card/..%2fsecret.txt", "card/%2e%2e/secret.txt", "card/link.txt", "static/..%2fserver.py"]
            outside += ["card/round", "card/about/x", "card/itself", "card/" + "a" * 300, "card/" + "a/" * 900 + "b"]
            (running.card / "new.txt.gz").symlink_to(running.card.parent / "secret.txt")
            assert (await page.get("card/new.txt", headers={"Accept-Encoding": "gzip"}))[1] == b"12345"
            outside += ["static/" + "a" * 300 + ".js"]
            for address in (*outside, "card/none", "card/folder", "card/folder%00", "static/none.css"):
                url = aiohttp.client.URL(page.url + address, encoded=True)
                async with page.session.get(url) as answer:
                    assert answer.status == 404, address

    drive(scenario())


def test_keys_of_the_board(running):
    level = lambda: running.live.board.pads.level(16)  # noqa: E731

    async def scenario():
        async with opened(running.url) as page:
            await page.until(lambda: ">>> " in page.console)
            assert running.ask(level)
            assert await page.post("key", {"down": True}) == 204
            assert not running.ask(level)
            assert await page.post("key", {"down": False}) == 204
            assert running.ask(level)
            mark = len(page.console)
            assert await page.post("reset", {}) == 204
            await page.until(lambda: "main ran" in page.console[mark:])

    drive(scenario())


@pytest.fixture
def hosted():
    board = Running(LiveOptions(paced=False))
    yield board
    board.switch_off()


def test_nobody_elses_page_can_steer_the_board(hosted):
    async def scenario():
        async with opened(hosted.url) as page:
            await page.until(lambda: ">>> " in page.console)
            good = {"text": "x = 1\r"}
            assert await page.post("type", good, headers={"Origin": "http://evil.example"}) == 403
            assert await page.post("type", good, headers={"Sec-Fetch-Site": "cross-site"}) == 403
            assert await page.post("type", good, headers={"Host": "rebound.example"}) == 403
            assert (await page.get("panel.png", headers={"Host": "rebound.example"}))[0] == 403
            async with page.session.post(page.url + "type", data=b'{"text": "x"}') as answer:
                assert answer.status == 403  # a form's content type, which needs no permission to be sent
            assert (await page.get("type"))[0] == 405
            for bad in ({}, [], {"text": 5}, {"text": None}, "text"):
                assert await page.post("type", bad) == 400
            assert await page.post("key", {"down": "yes"}) == 400
            assert await page.post("type", good, headers={"Origin": "http://["}) == 403
            assert await page.post("type", {"text": "\ud800"}) == 400
            for kind in ("application/json; charset=nonsense", "application/json; charset=rot13"):
                headers = {"Content-Type": kind}
                async with page.session.post(page.url + "type", data=b'{"text": "x"}', headers=headers) as answer:
                    assert answer.status == 400
            assert await page.post("type", {"text": "y" * 9000}) == 413
            assert await page.post("type", {"text": "z" * 90_000}) == 413
            assert "x = 1" not in page.console
            await page.type("print('still' + 'fine')", "stillfine")

    drive(scenario())


READS = ("", "panel.png", "events", "card.json", "card/main.py")
ACTS = (("type", {"text": "x = 1\r"}), ("key", {"down": True}), ("reset", {}))


def test_without_the_token_nothing_is_read_typed_or_pressed(hosted):
    """Loopback is no proof: any user and any program of this machine can connect."""
    key = hosted.url.partition("token=")[2]
    assert len(key) > 20

    async def scenario():
        async with opened(hosted.url) as page:
            await page.until(lambda: ">>> " in page.console)
            async with visitor() as other:
                stranger = Page(other, hosted.url)
                for wrong in ("", "?token=", "?token=" + key[:-1], "?token=x", "?Token=" + key):
                    for address in READS:
                        assert (await stranger.get(address + wrong))[0] == 403, address
                    for address, data in ACTS:
                        assert await stranger.post(address + wrong, data) == 403, address
                for headers in ({"Authorization": "Bearer x"}, {"Cookie": f"maixpix-board-{hosted.port}=x"}):
                    assert (await stranger.get("panel.png", headers=headers))[0] == 403
                # A key in the address opens what is read, but types nothing: a link may lead there.
                assert await stranger.post("type?token=" + key, {"text": "x = 1\r"}) == 403
                assert not len(other.cookie_jar)
                # Programs show it in a header.
                assert (
                    await stranger.post("type", {"text": "y = 2\r"}, headers={"Authorization": f"Bearer {key}"}) == 204
                )
                assert (await stranger.get("static/page.css"))[0] == 200
            await page.until(lambda: "y = 2" in page.console)
            assert "x = 1" not in page.console
            (cookie,) = page.session.cookie_jar
            assert cookie["httponly"] and cookie["samesite"] == "Strict" and cookie.value != key

    drive(scenario())


def test_another_port_of_this_machine_is_another_page(hosted):
    """To a browser it is the same site and its requests carry the cookie."""

    async def scenario():
        async with opened(hosted.url) as page:
            for headers in ({"Sec-Fetch-Site": "same-site"}, {"Origin": "http://127.0.0.1:1"}, {"Origin": "null"}):
                for address in READS:
                    assert (await page.get(address, headers=headers))[0] == 403
                for address, data in ACTS:
                    assert await page.post(address, data, headers=headers) == 403
            for host in (
                "evil.example",
                f"evil.example:{hosted.port}",
                "127.0.0.1:1",
                "a.local",
                f"x@localhost:{hosted.port}",
            ):
                assert (await page.get("static/page.css", headers={"Host": host}))[0] == 403
            for host in (f"localhost:{hosted.port}", f"LOCALHOST:{hosted.port}", f"127.0.0.1:{hosted.port}"):
                assert (await page.get("card.json", headers={"Host": host}))[0] == 200

    drive(scenario())


def test_silent_connections_and_unfinished_requests_end(hosted):
    silent = [socket.create_connection(("127.0.0.1", hosted.port), 30) for _ in range(70)]
    try:

        async def scenario():
            async with opened(hosted.url) as page:
                await page.until(lambda: ">>> " in page.console)

        drive(scenario())
        silent[-1].sendall(b"GET / HTTP/1.1\r\nHost: x")
        with contextlib.suppress(ConnectionError):
            assert silent[-1].recv(100) == b""
    finally:
        for peer in silent:
            peer.close()


def test_the_page_is_self_contained(hosted):
    async def scenario():
        async with opened(hosted.url) as page:
            status, body, headers = await page.get("")
            assert status == 200
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
            assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
            text = body.decode()
            for _, address in re.findall(r'(src|href)="([^"]*)"', text):
                assert address.startswith("/"), address
                status, data, _ = await page.get(address[1:])
                assert status == 200 and b"http:" not in data.replace(b"http://www.w3.org", b""), address
            assert "<style" not in text and not re.search(r"<script(?![^>]*src=)", text) and " on" + "click" not in text

    drive(scenario())


def test_too_many_pages_are_turned_away(hosted):
    async def scenario():
        async with contextlib.AsyncExitStack() as stack:
            pages = [await stack.enter_async_context(opened(hosted.url)) for _ in range(8)]
            for page in pages:
                await page.until(lambda page=page: page.hello)
            assert (await pages[0].get("events"))[0] == 503
        await asyncio.sleep(patient(0.6))  # a closed page is noticed at the next word to it, twice a second
        async with opened(hosted.url) as page:
            await page.until(lambda: page.hello)

    drive(scenario())


def test_switching_off_ends_open_pages():
    board = Running(LiveOptions(paced=False))

    async def scenario():
        async with opened(board.url) as page:
            await page.until(lambda: page.hello)
            await asyncio.to_thread(board.switch_off)
            await asyncio.wait_for(asyncio.gather(page.task, return_exceptions=True), 10)

    drive(scenario())


@pytest.mark.slow
def test_in_a_browser(hosted, tmp_path):
    async def scenario():
        async with browser(tmp_path) as page:
            await page.show(hosted.url, DESKTOP)
            await page.until("document.getElementById('console').textContent.includes('>>> ')")
            await page.value(
                "document.getElementById('typed').value = "
                "\"import lcd; lcd.init(); lcd.clear((0, 0, 255)); print('a' + 'b')\";"
                "document.getElementById('line').requestSubmit()"
            )
            await page.until("document.getElementById('console').textContent.includes('\\nab')")
            blue = (
                "(() => { const c = document.createElement('canvas'); const p = document.getElementById('panel');"
                "c.width = c.height = 1; const x = c.getContext('2d'); x.drawImage(p, 0, 0, 1, 1);"
                "return [...x.getImageData(0, 0, 1, 1).data].join() === '0,0,255,255'; })()"
            )
            await page.until(blue)
            await page.until("document.getElementById('time').textContent > '0'")
            await page.screenshot("live-desktop")
            await page.show(hosted.url, PHONE)
            await page.until("document.getElementById('console').textContent.includes('ab')")
            assert await page.value("document.documentElement.scrollWidth <= innerWidth")
            await page.screenshot("live-phone")
            assert page.complaints == []

    drive(scenario())
