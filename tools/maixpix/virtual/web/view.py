"""What the page shows of a board, gathered in the engine's thread."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from maixpix.virtual.live import LiveBoard

_CONSOLE_KEPT = 64 * 1024
_LOG_KEPT = 1000
_LINE_KEPT = 300

# The key is what follows the network's name: `AT+CWJAP="name","key"`, also _CUR and _DEF; CWSAP is its own network's.
_KEY = re.compile(
    r'^(AT\+CW[JS]AP(?:_CUR|_DEF)?=(?:"(?:\\.|[^"\\])*"|[^,]*),)(?:"(?:\\.|[^"\\])*"|[^,]*)(.*)$', re.DOTALL
)


@dataclass
class Cursor:
    """How much of a board's story one page has seen; the default is nothing."""

    console: int = 0
    log: int = 0
    panel: Any = None
    card: Any = None


class LiveView:
    """Follows a board. Make it before the board runs; every method belongs to the engine's thread."""

    def __init__(self, live: LiveBoard) -> None:
        self._live = live
        self._board = live.board
        self._console = bytearray()
        self._console_end = 0
        self._log: deque[tuple[int, str, str]] = deque(maxlen=_LOG_KEPT)
        self._log_end = 0
        live.console.listen(self._printed)
        modem = live.board.modem
        chained, event = modem.on_command, modem.on_event

        def on_command(line: bytes) -> None:
            self._note("command", without_key(line.decode("utf-8", "backslashreplace").rstrip("\r\n")))
            if chained is not None:
                chained(line)

        def on_event(text: str) -> None:
            self._note("event", text)
            if event is not None:
                event(text)

        modem.on_command, modem.on_event = on_command, on_event

    def about(self) -> dict[str, Any]:
        """What does not change while the board runs."""
        panel = self._board.panel
        return {
            "engine": self._live.options.engine,
            "model": self._board.model.title,
            "at": self._live.options.at,
            "width": panel.width,
            "height": panel.height,
        }

    def since(self, cursor: Cursor) -> dict[str, Any]:
        """What is new after `cursor`, which is moved on: any of console (bytes), log, panel, card, and always time."""
        news: dict[str, Any] = {"time": {"ns": self._board.clock.now, "paced": self._board.clock.pace}}
        if cursor.console < self._console_end:
            fresh = min(self._console_end - cursor.console, len(self._console))
            news["console"] = bytes(self._console[len(self._console) - fresh :])
            cursor.console = self._console_end
        if cursor.log < self._log_end:
            fresh = min(self._log_end - cursor.log, len(self._log))
            news["log"] = [
                {"ns": when, "kind": kind, "text": text}
                for when, kind, text in list(self._log)[len(self._log) - fresh :]
            ]
            cursor.log = self._log_end
        panel = self._panel_state()
        if cursor.panel != panel:
            news["panel"] = {"lit": self._board.panel.lit}
            cursor.panel = panel
        card = self._board.card
        state = (card.present, card.insertions, card.bytes_written)
        if cursor.card != state:
            news["card"] = {"present": card.present}
            cursor.card = state
        return news

    def panel(self) -> Image.Image:
        """What the panel shows, as a picture of its own."""
        return self._board.panel.image()

    def card_folder(self) -> Path | None:
        """The folder that is the card, brought up to date; None without a card."""
        card = self._board.card
        if not card.present:
            return None
        card.flush()
        return card.folder

    def type(self, text: str) -> None:
        """Type at the console."""
        self._live.console.type(text.encode())

    def press(self, down: bool) -> None:
        """The BOOT key."""
        self._board.press(down=down)

    def reset(self) -> None:
        """The reset key."""
        self._live.reset()

    def _panel_state(self) -> tuple[Any, ...]:
        panel = self._board.panel
        return panel.pixels_written, panel.lit, panel.madctl, panel.inverted, panel.resets

    def _printed(self, _when: int, data: bytes) -> None:
        self._console += data
        self._console_end += len(data)
        if len(self._console) > 2 * _CONSOLE_KEPT:
            del self._console[:-_CONSOLE_KEPT]

    def _note(self, kind: str, text: str) -> None:
        self._log.append((self._board.clock.now, kind, text[:_LINE_KEPT]))
        self._log_end += 1


def without_key(line: str) -> str:
    """An AT command line whose Wi-Fi key is not shown."""
    if not re.match(r"AT\+CW[JS]AP(_CUR|_DEF)?=", line):
        return line
    found = _KEY.match(line)
    # A line that is not understood may hold the key anywhere.
    return f'{found[1]}"***"{found[2]}' if found else line.partition("=")[0] + "=***"
