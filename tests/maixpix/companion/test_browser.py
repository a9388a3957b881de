"""The gallery in a real browser (Chromium, headless): live cards, deleting, and a phone's width."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from rig.browser import DESKTOP, PHONE, browser

pytestmark = pytest.mark.slow

PICTURES = sorted((Path(__file__).resolve().parents[3] / "assets" / "pictures").glob("*.jpg"))


@pytest.fixture
def photographs():
    """Bodies of snapshots as boards take them: 320x240, each of another thing."""

    def make(number: int) -> bytes:
        out = io.BytesIO()
        with Image.open(PICTURES[number % len(PICTURES)]) as picture:
            ImageOps.fit(picture, (320, 240), centering=(0.5, 0.3)).save(out, "JPEG", quality=90)
        return out.getvalue()

    return make


def test_the_gallery_is_live_in_a_browser(receiver, tus, photographs, tmp_path, stored_files):
    def send(number: int) -> None:
        body = photographs(number)
        metadata = {"filename": f"snap{number:04}.jpg", "board": "kitchen"}
        assert tus.create(len(body), body, metadata).status == 201

    async def look() -> None:
        async with browser(tmp_path / "profile") as page:
            await page.show(f"{receiver.url}/gallery", DESKTOP)
            await page.until("document.getElementById('live').dataset.state === 'on'")
            assert await page.value("!document.getElementById('empty').hidden")
            for number in range(1, 4):
                await asyncio.to_thread(send, number)
            await page.until("document.querySelectorAll('figure').length === 3")
            names = await page.value("[...document.querySelectorAll('figcaption b')].map(b => b.textContent).join()")
            assert names == "snap0003.jpg,snap0002.jpg,snap0001.jpg"
            assert await page.value("document.getElementById('empty').hidden")
            await page.until("[...document.images].every(i => i.complete && i.naturalWidth === 320)")
            await asyncio.to_thread(tus.client.get, "/command?board=kitchen")
            await page.until("document.querySelector('#boards button') !== null")
            shown = await page.screenshot("gallery-desktop")
            colours = shown.resize((110, 80)).getcolors(8800)
            assert len(colours) > 300, "the thumbnails are not painted"

            await page.value("document.querySelector('#boards button').click()")
            await page.until(
                "document.readyState === 'complete' && document.getElementById('live').dataset.state === 'on'"
            )
            for _ in range(200):
                told = await asyncio.to_thread(tus.client.get, "/command?board=kitchen")
                if told.status == 200:
                    break
                await asyncio.sleep(0.05)
            assert told.body == b"snap\n"

            await page.until("document.querySelectorAll('figure').length === 3")
            await page.value("document.querySelector('button.delete').click()")
            await page.until("document.querySelectorAll('figure').length === 2")
            assert sorted(name.split("/")[1] for name in stored_files()) == ["snap0001.jpg", "snap0002.jpg"]
            assert await page.value("document.getElementById('count').textContent") == "2"

            await page.show(f"{receiver.url}/gallery", PHONE)
            await page.until("document.getElementById('live').dataset.state === 'on'")
            await page.value("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
            await page.until("[...document.images].every(i => i.complete && i.naturalWidth === 320)")
            assert await page.value("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
            heights = "[...document.querySelectorAll('.actions a, button')].map(b => b.getBoundingClientRect().height)"
            assert min(await page.value(heights)) >= 40, "buttons are too small for a thumb"
            await page.screenshot("gallery-phone")

            # submit() goes round the script: what happens where none runs.
            await page.value("document.querySelector('figure form').submit()")
            await page.until("document.querySelectorAll('figure').length === 1")
            assert [name.split("/")[1] for name in stored_files()] == ["snap0001.jpg"]
            assert page.complaints == []

    asyncio.run(look())


def test_files_that_are_no_pictures_have_cards_too(receiver, tus, tmp_path):
    """Text, a damaged picture and a long name: no broken image, nothing wider than a phone, live and after a reload."""
    damaged = b"\xff\xd8\xff" + bytes(50) + b"\xff\xd9"
    files = {"notes.txt": b"temperature 21", "damaged.jpg": damaged, "measurement-" * 9 + "x": b"22"}
    broken = "[...document.querySelectorAll('.broken')].map(b => b.textContent).join()"
    labels = "[...document.querySelectorAll('figure .file')].map(f => f.textContent).join()"

    async def look() -> None:
        async with browser(tmp_path / "profile") as page:
            await page.show(f"{receiver.url}/gallery", PHONE)
            await page.until("document.getElementById('live').dataset.state === 'on'")
            for name, body in files.items():
                answer = await asyncio.to_thread(tus.create, len(body), body, {"filename": name})
                assert answer.status == 201
            await page.until("document.querySelectorAll('figure').length === 3")
            for _ in ("live", "reloaded"):
                await page.value("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
                await page.until(f"{broken} === 'the picture is damaged: its header cannot be read'")
                assert await page.value("document.images.length") == 0
                assert await page.value(labels) == "bin,txt"
                assert await page.value("document.documentElement.scrollWidth <= innerWidth")
                await page.screenshot("gallery-files")
                await page.show(f"{receiver.url}/gallery", PHONE)
            # That the damaged picture could not be shown is the one complaint, once for each page.
            assert all("422" in text or "415" in text for text in page.complaints), page.complaints

    asyncio.run(look())


def test_the_list_of_pictures_in_a_browser(receiver, tmp_path):
    async def look() -> None:
        async with browser(tmp_path / "profile") as page:
            for name, size in (("desktop", DESKTOP), ("phone", PHONE)):
                await page.show(f"{receiver.url}/", size)
                await page.value("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
                await page.until("[...document.images].every(i => i.complete && i.naturalWidth === 320)")
                assert await page.value("document.querySelectorAll('figure').length") == 3
                assert await page.value("document.documentElement.scrollWidth <= innerWidth")
                await page.screenshot(f"pictures-{name}")
            assert page.complaints == []

    asyncio.run(look())


class ForeignPage(BaseHTTPRequestHandler):
    """Another site: it tries whatever a page can."""

    page = ""

    def do_GET(self) -> None:
        body = self.page.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


FOREIGN = """<!doctype html><title>elsewhere</title><iframe id="frame" src="TARGET/gallery"></iframe>
<form id="form" method="post" action="TARGET/gallery/delete" target="hole"><input name="file" value="FILE"></form>
<iframe name="hole"></iframe>
<script>
const tries = {};
async function attempt(name, path, options) {
  try {
    const answer = await fetch("TARGET" + path, { credentials: "include", ...options });
    tries[name] = "status " + answer.status + " " + (await answer.text()).length;
  } catch (error) { tries[name] = "blocked"; }
}
async function all() {
  await attempt("read", "/gallery", {});
  await attempt("list", "/uploads.json", {});
  await attempt("delete", "/uploads/FILE", { method: "DELETE" });
  await attempt("form", "/gallery/delete", { method: "POST", mode: "no-cors",
    headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: "file=FILE&secret=guess" });
  await attempt("blind", "/gallery/snap", { method: "POST", mode: "no-cors", body: "board=kitchen" });
  await new Promise((done) => { const image = new Image(); image.onload = () => { tries.image = "shown"; done(); };
    image.onerror = () => { tries.image = "blocked"; done(); }; image.src = "TARGET/uploads/FILE"; });
  document.getElementById("form").submit();
  return JSON.stringify(tries);
}
</script>"""


def test_a_browser_logs_in_and_a_page_of_another_origin_can_do_nothing(
    companion, uploads, tus_for, photographs, tmp_path, stored_files
):
    token = "correct-horse-battery"
    server = companion(uploads=uploads, host="0.0.0.0", token=token)
    tus = tus_for(server, token)
    for number in (1, 2):
        body = photographs(number)
        assert tus.create(len(body), body, {"filename": f"snap{number}.jpg", "board": "kitchen"}).status == 201
    file = sorted(stored_files())[0]
    page_of = type("Foreign", (ForeignPage,), {"page": FOREIGN.replace("TARGET", server.url).replace("FILE", file)})
    foreign = ThreadingHTTPServer(("127.0.0.1", 0), page_of)
    threading.Thread(target=foreign.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    async def look() -> None:
        async with browser(tmp_path / "profile") as page:
            await page.show(f"{server.url}/gallery", DESKTOP)
            await page.until("location.pathname === '/login'")
            await page.value("document.querySelector('#token').value = 'a wrong one'; document.forms[0].submit()")
            await page.until("document.querySelector('[role=alert]')?.textContent.includes('not the token')")
            await page.value(f"document.querySelector('#token').value = '{token}'; document.forms[0].submit()")
            await page.until("document.querySelectorAll('figure').length === 2")
            await page.until("document.getElementById('live').dataset.state === 'on'")
            await page.until("[...document.images].every(i => i.complete && i.naturalWidth === 320)")
            assert await page.value("document.cookie") == ""  # scripts cannot read it

            # 127.0.0.1 with another port is the same site, localhost is another one: neither may do anything.
            for origin in (f"http://127.0.0.1:{foreign.server_port}/", f"http://localhost:{foreign.server_port}/"):
                await page.show(origin, DESKTOP)
                tries = json.loads(await page.value("all()"))
                assert tries["read"] == tries["list"] == tries["delete"] == tries["image"] == "blocked", tries
                assert len(stored_files()) == 2
            await page.show(f"{server.url}/gallery", DESKTOP)
            await page.until("document.querySelectorAll('figure').length === 2")
            await page.until("document.getElementById('live').dataset.state === 'on'")
            await page.value("document.querySelector('button.delete').click()")
            await page.until("document.querySelectorAll('figure').length === 1")
            await page.until("document.getElementById('news').textContent.includes('was deleted')")

    try:
        asyncio.run(look())
    finally:
        foreign.shutdown()
        foreign.server_close()
    assert len(stored_files()) == 1
