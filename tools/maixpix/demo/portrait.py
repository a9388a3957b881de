"""A picture of a run: the panel in its frame beside what the console said."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

_BACK = (24, 26, 32)
_BOARD = (12, 58, 46)
_BEZEL = (8, 8, 10)
_TEXT = (214, 219, 230)
_DIM = (128, 136, 150)
_MARGIN = 24
_MOST_LINES = 30
_TEXT_WIDTH = 560

COLOURS = {"plain": _TEXT, "good": (120, 210, 140), "fault": (240, 180, 70), "bad": (240, 96, 88)}
"""Tone of a line or verdict -> its colour."""

Line = tuple[str, str, str]
"""(when, what, tone): one line of the console."""


def portrait(shots: list[Image.Image], title: str, lines: list[Line], verdicts: list[tuple[str, bool]]) -> Image.Image:
    """The first of `shots` (the panel) in its frame, a second one (a snapshot) small below the text beside it:
    `title`, `lines` and (text, ok) `verdicts`, green when ok and red when not. Of many lines the middle is left out.
    """
    panel = shots[0]
    shown = panel.resize((panel.width * 2, panel.height * 2), Image.Resampling.NEAREST)
    lines = _shortened(lines)
    y = _MARGIN + 48
    small = 150 if len(shots) > 1 else 0
    bottom = y + 23 * len(lines) + 14 + 24 * len(verdicts) + small + 2 * _MARGIN
    width = shown.width + 2 * _MARGIN + 40 + _TEXT_WIDTH + _MARGIN
    height = max(shown.height + 2 * _MARGIN + 40, bottom)
    picture = Image.new("RGB", (width, height), _BACK)
    draw = ImageDraw.Draw(picture)
    board = (_MARGIN, _MARGIN, _MARGIN + shown.width + 40, height - _MARGIN)
    draw.rounded_rectangle(board, 14, fill=_BOARD)
    top = (board[1] + board[3] - shown.height) // 2
    draw.rounded_rectangle((_MARGIN + 12, top - 8, _MARGIN + 28 + shown.width, top + shown.height + 8), 6, fill=_BEZEL)
    picture.paste(shown, (_MARGIN + 20, top))
    left = board[2] + _MARGIN
    draw.text((left, _MARGIN + 4), title, fill=_TEXT, font=ImageFont.load_default(20))
    font = ImageFont.load_default(14)
    for when, what, tone in lines:
        draw.text((left, y), when, fill=_DIM, font=font)
        draw.text((left + 70, y), _cut(draw, what, _TEXT_WIDTH - 80, font), fill=COLOURS[tone], font=font)
        y += 23
    y += 14
    for verdict, ok in verdicts:
        colour = COLOURS["good" if ok else "bad"]
        draw.text((left, y), _cut(draw, verdict, _TEXT_WIDTH, font), fill=colour, font=font)
        y += 24
    if small:
        snapshot = shots[1].resize((shots[1].width * small // shots[1].height, small), Image.Resampling.LANCZOS)
        picture.paste(snapshot, (left, y + 8))
    return picture


def _shortened(lines: list[Line]) -> list[Line]:
    if len(lines) <= _MOST_LINES:
        return lines
    half = _MOST_LINES // 2
    left_out = len(lines) - 2 * half + 1
    return [*lines[: half - 1], ("", f"... {left_out} more lines ...", "plain"), *lines[-half:]]


def _cut(draw: ImageDraw.ImageDraw, text: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """`text`, shortened with an ellipsis when it is wider than `width` pixels."""
    while draw.textlength(text, font=font) > width and len(text) > 4:
        text = text[:-4] + "..."
    return text
