"""A real browser (Chromium, headless), driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import os
import shutil
import subprocess
import time
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from rig.patience import patient

DESKTOP = (1100, 660)
PHONE = (390, 844)


class Browser:
    """One page of a headless Chromium, over its DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []
        """Console errors and violations of the content security policy."""

    async def call(self, method: str, **parameters):
        self._number += 1
        number = self._number
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await asyncio.wait_for(self._socket.receive_json(), 30)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            if message.get("method") == "Log.entryAdded":
                self.complaints.append(message["params"]["entry"]["text"])
            elif message.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(str(message["params"]["exceptionDetails"]))
            elif message.get("method") == "Page.javascriptDialogOpening":
                await self._socket.send_json(
                    {"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
                )

    async def show(self, url: str, size: tuple[int, int]) -> None:
        phone = size == PHONE
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=phone
        )
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def value(self, expression: str):
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return result["result"].get("value")

    async def until(self, expression: str) -> None:
        deadline = time.monotonic() + patient(20)
        while not await self.value(expression):
            assert time.monotonic() < deadline, f"never true: {expression}; {self.complaints}"
            await asyncio.sleep(0.05)

    async def screenshot(self, name: str) -> Image.Image:
        data = base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])
        if folder := os.environ.get("MAIXPIX_SCREENSHOTS"):
            Path(folder, name + ".png").write_bytes(data)
        return Image.open(io.BytesIO(data)).convert("RGB")


@contextlib.asynccontextmanager
async def browser(profile: Path, *options: str):
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if program is None:
        pytest.skip(
            "no Chromium on PATH (Debian: apt-get install chromium); the pages are checked by plain HTTP elsewhere"
        )
    process = subprocess.Popen(
        [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
         "--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={profile}",
         *options, "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port_file = profile / "DevToolsActivePort"
        deadline = time.monotonic() + patient(60)
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert process.poll() is None, "Chromium ended at once"
            assert time.monotonic() < deadline, "Chromium did not start"
            await asyncio.sleep(0.1)
        port = port_file.read_text().split("\n")[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                target = next(entry for entry in await answer.json() if entry["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Browser(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await page.call(domain + ".enable")
                yield page
    finally:
        process.kill()
        process.wait()
