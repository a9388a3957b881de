"""`apps/panel.py` in a real browser, through the virtual modem: look, upload, settings, restart of nothing."""

import asyncio
import io
import json

import pytest
from PIL import Image

from rig.board_process import ENGINES, engine_options
from rig.browser import PHONE, browser
from rig.served_board import ROOT, ServedBoard, curl

DESKTOP = (1280, 800)


def small(path):
    """A picture of ours as a JPEG that the board can decode beside everything else."""
    out = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").resize((300, 200)).save(out, "JPEG")
    return out.getvalue()


PICTURES = {f"pics/{path.name}": small(path) for path in (ROOT / "assets" / "pictures").glob("*.jpg")}


@pytest.fixture
def board(tmp_path, request):
    engine = getattr(request, "param", "hosted")
    settings = {"app": "panel", "name": "desk", "token": "sEcReT", "interval_s": 60}
    with ServedBoard(tmp_path, settings, tuple(engine_options(engine)), PICTURES) as running:
        yield running


async def choose(page, path):
    """Choose a file in the page's file field."""
    root = (await page.call("DOM.getDocument"))["root"]["nodeId"]
    field = (await page.call("DOM.querySelector", nodeId=root, selector="input[type=file]"))["nodeId"]
    await page.call("DOM.setFileInputFiles", files=[str(path)], nodeId=field)


async def shown(page, text):
    await page.until(f"document.readyState == 'complete' && document.body.innerText.includes({text!r})")


@pytest.mark.parametrize("board", ENGINES, indirect=True)
def test_a_browser_shows_sends_and_sets(board, tmp_path):
    photo = tmp_path / "Holiday Photo.png"
    Image.effect_mandelbrot((1600, 900), (-2, -1, 1, 1), 50).convert("RGB").save(photo)

    async def use():
        async with browser(tmp_path / "profile") as page:
            await page.show(board.url + "/", DESKTOP)
            await page.value("[...document.querySelectorAll('button')].find(b=>b.value=='coffee.jpg').click()")
            await shown(page, "Shown: /sd/pics/coffee.jpg")
            await page.until("document.images[0].complete && document.images[0].naturalWidth > 0")
            await page.screenshot("board-desktop")
            await page.show(board.url + "/", PHONE)
            await page.until("document.images[0].complete")
            await page.screenshot("board-phone")
            assert await page.value("document.documentElement.scrollWidth <= 390")
            await choose(page, photo)
            await page.value("up.querySelector('button').click()")
            await shown(page, "Shown: /sd/pics/holidayp.jpg")
            await page.show(board.url + "/settings", PHONE)
            await page.screenshot("board-settings-phone")
            assert await page.value("document.documentElement.scrollWidth <= 390")
            assert "sEcReT" not in await page.value("document.documentElement.outerHTML")
            assert "correct horse" not in await page.value("document.documentElement.outerHTML")
            await page.value(
                "interval_s=document.querySelector('[name=interval_s]').value='90';"
                "document.querySelector('[name=ssid]').value='café';document.querySelector('[name=key]').value='k€y12345';"
                "document.querySelector('form').querySelector('p button').click()"
            )
            await shown(page, "Saved.")
            await page.screenshot("board-settings-saved")
            return [text for text in page.complaints if not text.startswith("[DOM]")]  # advice about password fields

    assert asyncio.run(use()) == []
    board.stop()
    with Image.open(board.card / "pics" / "holidayp.jpg") as sent:
        assert (sent.format, sent.size) == ("JPEG", (320, 180)) and "progressive" not in sent.info
    written = json.loads((board.card / "pix.json").read_text())
    assert written["interval_s"] == 90 and written["token"] == "sEcReT"
    assert written["wifi"] == [["home", "correct horse"], ["café", "k€y12345"]]


def token_of(board):
    page = curl(board.url + "/").stdout.decode()
    return page.split('name="csrf" value="')[1].split('"')[0], page


def test_the_pages_work_without_script_and_keep_their_secrets(board):
    token, page = token_of(board)
    assert len(page) < 12_000 and len(curl(board.url + "/settings").stdout) < 12_000
    assert page.count("http") == page.count('placeholder="http')  # nothing from elsewhere

    def status(path, *fields):
        done = curl("-o", "-", "-w", "%{http_code}", *[part for f in fields for part in ("-F", f)], board.url + path)
        return int(done.stdout[-3:]), done.stdout[:-3].decode()

    jpeg, png = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(jpeg, "JPEG")
    Image.new("RGB", (40, 30), "red").save(png, "PNG")
    (board.card.parent / "red.jpg").write_bytes(jpeg.getvalue())
    (board.card.parent / "red.png").write_bytes(png.getvalue())
    assert status("/upload", f"csrf={token}", f"photo=@{board.card.parent}/red.jpg")[0] == 303
    assert (board.card / "pics" / "red.jpg").read_bytes() == jpeg.getvalue()
    assert status("/upload", f"photo=@{board.card.parent}/red.jpg")[0] == 403
    for _ in range(50):
        code, text = status("/upload", f"csrf={token}", f"photo=@{board.card.parent}/red.png")
        if code != 503:
            break
    assert code == 415, text
    assert status("/do", f"csrf={token}", "delete=red.jpg")[0] == 303
    assert not (board.card / "pics" / "red.jpg").exists()
    for name in ("../pix.json", "pix.json", "none.jpg", "/sd/pix.json"):
        assert status("/do", f"csrf={token}", f"delete={name}", "in=card")[0] == 404
        assert status("/do", f"csrf={token}", f"show={name}", "in=card")[0] in (303, 404, 503)
    assert (board.card / "pix.json").exists()
    assert status("/do", "delete=coffee.jpg")[0] == 403
    settings = curl(board.url + "/settings").stdout.decode()
    for name in ("schedule", "overlay"):  # texts with rules of their own
        assert f'<input name="{name}" value=' in settings
    assert status("/settings", f"csrf={token}", "interval_s=x")[0] == 400
    assert status("/settings", f"csrf={token}", "fit=odd")[0] == 400
    assert status("/settings", f"csrf={token}", "token=new secret", "remove=web_key")[0] == 303
    assert "sEcReT" not in curl(board.url + "/settings").stdout.decode()
