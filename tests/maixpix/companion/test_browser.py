"""The gallery in a real browser (Chromium, headless): live cards, deleting, and a phone's width."""

from __future__ import annotations

import asyncio
import io
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
    shown = "[...document.images].filter(i => i.offsetParent !== null).length"
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
                await page.until(f"{shown} === 0")
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
