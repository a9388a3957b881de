"""`pix.screen` by what is on the panel: text read back from its pixels, bars, borders and pictures."""

import pytest
from PIL import Image

from rig.app_board import run
from rig.panel_text import BLACK, GREEN, GREY, RED, WHITE, YELLOW, card_of, read, unread
from virtualboard.board import BoardConfig

SIZES = {"dock": (320, 240), "cube": (240, 240)}
HEAD = """
import utime
from pix.errors import PixError, TABLE
from pix.screen import Screen, wrap
screen = Screen(%r, %d)
def snap():
    print("snap")
    utime.sleep_ms(5)
"""


@pytest.fixture(scope="module")
def card(tmp_path_factory, board_card):
    return board_card(tmp_path_factory.mktemp("screen") / "card")


@pytest.fixture
def draw(card):
    """draw(code) -> the panel at every `snap()` of the code and at the end."""

    def start(code, model="dock", rotation=0):
        result = run(BoardConfig(card=str(card), model=model), HEAD % (model, rotation) + code)
        assert result.ok, result.console
        return [*result.snaps, result.panel]

    return start


def lines(picture, front=WHITE):
    return [line.text for line in read(picture) if line.front == front and line.back == BLACK]


def cells(picture, colour):
    """Boxes of the 8 pixel wide columns along the bar's row that are all of one colour."""
    width, height = picture.size
    bar = picture.crop((0, height - 20, width, height - 8))
    return [x // 8 for x in range(0, width, 8) if bar.crop((x, 0, x + 8, 12)).getcolors(2) == [(96, colour)]]


# -- stages ------------------------------------------------------------------------------------------------------


def test_stages_stand_below_each_other(draw):
    (panel,) = draw('screen.stage("modem starting")\nscreen.stage("wifi joining home")')
    assert [(line.x, line.y, line.text) for line in read(panel)] == [
        (8, 8, "modem starting"),
        (8, 24, "wifi joining home"),
    ]
    assert unread(panel).getcolors() == [(320 * 240, BLACK)]


def test_a_full_page_is_turned_before_it_reaches_the_note_and_the_bar(draw):
    code = 'for i in range(12):\n    screen.stage("line %d" % i)\n    snap()'
    panels = draw(code)
    assert lines(panels[10]) == [f"line {i}" for i in range(11)]
    assert read(panels[10])[-1].y + 12 <= 240 - 52
    assert lines(panels[11]) == ["line 11"]


def test_a_line_that_needs_more_room_than_is_left_turns_the_page(draw):
    code = 'for i in range(10):\n    screen.stage("line %d" % i)\nsnap()\nscreen.stage("two of " + "lines " * 6)'
    panels = draw(code)
    assert len(lines(panels[0])) == 10
    assert lines(panels[1]) == ["two of lines lines lines lines lines", "lines"]


@pytest.mark.parametrize("model", SIZES)
def test_an_endless_url_is_cut_to_three_lines(draw, model):
    url = "http://pc:8000/" + "x" * 600
    code = f'screen.progress(50, 100)\nfor i in range(9):\n    screen.stage("s")\nscreen.stage("fetching {url}")'
    code += "\nscreen.progress(50, 100)"
    (panel,) = draw(code, model)
    columns = (SIZES[model][0] - 16) // 8
    told = lines(panel)
    assert told[0] == "fetching" and told[1] == url[:columns] and len(told) == 3
    assert told[2] == "x" * (columns - 3) + "..."
    assert cells(panel, GREEN) == [1 + i for i in range(columns // 2)]


def test_a_stage_after_a_picture_or_a_card_starts_a_fresh_page(draw):
    (panel,) = draw('screen.stage("old")\nscreen.error(PixError("refused"))\nscreen.stage("new")')
    assert lines(panel) == ["new"] and unread(panel).getcolors() == [(320 * 240, BLACK)]


@pytest.mark.parametrize(
    ("text", "columns", "wanted"),
    [
        ("", 10, []),
        ("one two three", 7, ["one two", "three"]),
        ("one two three", 8, ["one two", "three"]),
        ("abcdefghijkl", 5, ["abcde", "fghij", "kl"]),
        ("a bcdefgh", 5, ["a", "bcdef", "gh"]),
        ("12345 6", 5, ["12345", "6"]),
    ],
)
def test_wrap(draw, card, text, columns, wanted):
    result = run(BoardConfig(card=str(card)), HEAD % ("dock", 0) + f"print(wrap({text!r}, {columns}))")
    assert result.lines[-1][1] == repr(wanted)


# -- the note ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", SIZES)
def test_a_note_replaces_the_one_before_and_nothing_else(draw, model):
    code = """
for i in range(11):
    screen.stage("stage %d" % i)
screen.progress(5, 10)
screen.note("Wi-Fi module restarted, again in 250 ms " + "and so on " * 20)
snap()
screen.note("Server refused, again in 2 s")
"""
    long, short = draw(code, model)
    assert lines(long) == lines(short) == [f"stage {i}" for i in range(11)]
    assert len(lines(long, YELLOW)) == 2 and lines(long, YELLOW)[1].endswith("...")
    assert lines(short, YELLOW) == ["Server refused, again in 2 s"]
    assert cells(long, GREEN) == cells(short, GREEN) != []


# -- the bar -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", SIZES)
def test_the_bar_shows_the_share(draw, model):
    columns = (SIZES[model][0] - 16) // 8
    code = "for done in (0, 99, 500, 1000):\n    screen.progress(done, 1000)\n    snap()"
    panels = draw(code, model)
    for panel, done in zip(panels, (0, 99, 500, 1000), strict=False):
        full = done * columns // 1000
        assert cells(panel, GREEN) == [1 + i for i in range(full)]
        assert cells(panel, GREY) == [1 + i for i in range(full, columns)]
        outside = panel.copy()
        outside.paste(BLACK, (8, 220, 8 + 8 * columns, 232))
        assert outside.getcolors() == [(panel.width * panel.height, BLACK)]


def test_a_number_counts_where_the_length_is_unknown(draw):
    code = "for done in (0, 16000, 16384, 100000):\n    screen.progress(done, None)\n    snap()"
    told = [[line.text for line in read(panel) if line.back == GREY] for panel in draw(code)]
    assert told == [[], [], ["16 kB"], ["97 kB"], ["97 kB"]]


def test_the_bar_comes_back_after_a_page_turn_and_starts_anew_for_the_next_file(draw):
    code = """
screen.progress(80, 100)
screen.error(PixError("refused"))
screen.stage("again")
screen.progress(82, 100)
snap()
screen.progress(10, 100)
"""
    turned, anew = draw(code)
    assert len(cells(turned, GREEN)) == 82 * 38 // 100 and len(cells(turned, GREY)) == 38 - 82 * 38 // 100
    assert len(cells(anew, GREEN)) == 3 and len(cells(anew, GREY)) == 35


# -- pictures ----------------------------------------------------------------------------------------------------


def bmp(card, size, colour=(255, 0, 0)):
    Image.new("RGB", size, colour).save(card / "in.bmp")


@pytest.mark.parametrize(
    ("model", "size", "box"),
    [
        ("dock", (320, 240), (0, 0, 320, 240)),
        ("dock", (100, 60), (110, 90, 210, 150)),
        ("dock", (480, 150), (0, 70, 320, 170)),  # shrunk to 320x100
        ("dock", (160, 480), (120, 0, 200, 240)),  # shrunk to 80x240
        ("cube", (252, 168), (0, 40, 240, 200)),
    ],
)
def test_a_picture_is_shrunk_and_centred_on_black(draw, card, model, size, box):
    bmp(card, size)
    code = 'screen.stage("old text")\nscreen.progress(1, 2)\nscreen.note("old note")\nprint(screen.show("/sd/in.bmp"))'
    (panel,) = draw(code, model)
    wanted = Image.new("RGB", panel.size)
    wanted.paste(RED, box)
    assert panel.tobytes() == wanted.tobytes()


def test_a_turned_panel_is_240_wide(draw, card):
    bmp(card, (320, 160))
    shown, card_shown = draw('screen.show("/sd/in.bmp")\nsnap()\nscreen.error(PixError("refused"))', rotation=1)
    assert shown.getbbox() == (100, 0, 220, 240)  # 240x120 seen from the side
    for turns in (1, 3):
        turned = card_shown.rotate(90 * turns, expand=True)
        if read(turned):
            assert card_of(turned)[0] == "Server refused"
            break
    else:
        raise AssertionError("no card to be read")


def test_check_says_what_show_would_and_leaves_the_panel_alone(draw, card):
    Image.new("L", (1600, 1200), 99).save(card / "big.jpg")
    Image.new("L", (64, 48), 99).save(card / "small.jpg")
    (card / "cut.jpg").write_bytes((card / "small.jpg").read_bytes()[:-40])
    # Nobody waits for the end of a file that is too big anyway.
    (card / "bigcut.jpg").write_bytes((card / "big.jpg").read_bytes()[:-40])
    code = """
screen.stage("before")
kind = screen.check("/sd/small.jpg")
screen.stage("%s %dx%d" % (kind.format, kind.width, kind.height))
for name in ("big", "bigcut", "cut", "none"):
    for call in (screen.check, screen.show):
        try:
            call("/sd/%s.jpg" % name)
        except PixError as e:
            screen.stage(e.code)
"""
    (panel,) = draw(code)
    codes = ["too-big", "too-big", "bad-picture", "not-picture"]
    assert lines(panel) == ["before", "jpeg 64x48", *[code for code in codes for _ in range(2)]]


# -- cards -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", SIZES)
def test_every_sentence_fits_with_the_longest_detail(draw, card, model):
    """One that fills whole lines badly, one without any space, and none; read back from the pixels."""
    details = ("fifteen-letters " * 9).strip(), "x" * 300, ""
    code = f"""
for record in TABLE.strip().split("\\n\\n"):
    for detail in {details!r}:
        e = PixError(record.split("\\n")[0], detail)
        print("told|" + "|".join((e.title, e.cause, e.remedy, e.code)))
        screen.error(e)
        snap()
"""
    result = run(BoardConfig(card=str(card), model=model), HEAD % (model, 0) + code)
    assert result.ok, result.console
    told = [line.split("|")[1:] for _, line in result.lines if line.startswith("told|")]
    assert len(told) == len(result.snaps) > 100
    for texts, panel in zip(told, result.snaps, strict=True):
        shown = [text.replace(" ", "") for text in card_of(panel)]
        assert shown == [text.replace(" ", "") for text in texts]


def test_a_card_is_red_above_and_black_below(draw):
    (panel,) = draw('screen.error(PixError("no-card"))', "cube")
    rest = unread(panel)
    assert rest.crop((0, 0, 240, 36)).getcolors() == [(240 * 36, RED)]
    assert rest.crop((0, 36, 240, 240)).getcolors() == [(240 * 204, BLACK)]
    assert card_of(panel) == (
        "No SD card",
        "There is no readable card in the slot",
        "Insert a FAT32 card and reset the board",
        "no-card",
    )
    assert [(line.x, line.y) for line in read(panel) if line.back == RED or line.text == "no-card"] == [
        (8, 12),
        (8, 220),
    ]
