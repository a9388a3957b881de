"""What a frame is made of: playlists, the proven cache, the clock, the schedule, the key."""

import datetime
import hashlib
import random
import types

import pytest

from maixpix.board import device_code
from maixpix.companion import playlists
from rig.device import PowerCut

A, B = b"\xff\xd8 first \xff\xd9", b"\xff\xd8 second, longer \xff\xd9"


def digest(data):
    return hashlib.sha256(data).hexdigest()


def ours(*entries, count=None):
    return "\n".join(["maixpix-playlist 1", *entries, f"end {len(entries) if count is None else count}"]) + "\n"


@pytest.fixture
def listed(device):
    """listed(text, url) -> pix.plist.Playlist of a list with that text."""

    def make(text, url="http://pc:8000/playlist?board=x"):
        (device.folder / "list.txt").write_text(text)
        return device.load("plist").Playlist("/sd/list.txt", url)

    return make


def test_every_field_of_an_entry_is_read(listed):
    entry = f"90 {digest(A)} {len(A)} 100 200 pictures/a%20b.jpg?size=320x240 a caption of words"
    found = listed(ours(entry, "- - - - - http://other/x.jpg"))
    one, two = found.item(0), found.item(1)
    assert (one.url, one.digest, one.size) == ("http://pc:8000/pictures/a%20b.jpg?size=320x240", digest(A), len(A))
    assert (one.seconds, one.since, one.until, one.caption) == (90, 100, 200, "a caption of words")
    assert (two.url, two.digest, two.size, two.seconds) == ("http://other/x.jpg", "", -1, 0)
    assert [one.holds(now) for now in (None, 99, 100, 199, 200)] == [True, False, True, True, False]
    assert list(found.stems) == [one.stem, two.stem]


def test_a_plain_list_of_urls(listed):
    found = listed("# mine\n\nhttp://a/1.jpg the first\n  2.jpg\n", "http://b/dir/list.txt")
    assert len(found) == 2
    assert (found.item(0).url, found.item(0).caption) == ("http://a/1.jpg", "the first")
    assert found.item(1).url == "http://b/dir/2.jpg"


def test_a_login_stays_with_its_own_host(listed):
    found = listed("1.jpg\nhttp://elsewhere/2.jpg\n", "http://me:se%40cret@b/list.txt")
    assert found.item(0).url == "http://me:se%40cret@b/1.jpg"
    assert found.item(1).url == "http://elsewhere/2.jpg"


@pytest.mark.parametrize(
    "text",
    [
        ours("- - - - - a.jpg", count=2),
        ours("- - - - - a.jpg")[:-3],
        ours("- - - -"),
        ours("x - - - - a.jpg"),
        ours("- 12ab - - - a.jpg"),
        "maixpix-playlist 1\n",
        "maixpix-playlist 1\n" + "- - - - - a.jpg\n" * 501 + "end 501\n",
        "http://a/" + "x" * 600 + "\n",
    ],
    ids=["count", "cut", "short", "seconds", "digest", "no end", "501", "long line"],
)
def test_a_list_that_is_not_whole_is_no_list(device, listed, text):
    with pytest.raises(device.PixError) as told:
        found = listed(text)
        for index in range(len(found)):
            found.item(index)
    assert told.value.code == "bad-playlist"


def test_what_the_companion_writes_the_board_reads(listed, tmp_path):
    from maixpix.companion.pictures import Picture

    paths = [tmp_path / f"Ünter {n} wegs.png" for n in range(480)]
    pictures = [Picture(path.name, path, 5, n) for n, path in enumerate(paths)]
    entries = [(picture, playlists.Known(digest(A), 10) if n % 2 else None) for n, picture in enumerate(pictures)]
    text = playlists.written(entries, "size=320x240&fit=fit&format=jpeg", 60)
    found = listed(text)
    assert len(text) <= playlists.MAX_BYTES + 100 and 200 < len(found) < 480
    assert found.item(1).digest == digest(A) and found.item(0).digest == ""
    assert found.item(0).url.endswith("%C3%9Cnter%200%20wegs.png?size=320x240&fit=fit&format=jpeg")
    assert found.item(0).caption == "?nter 0 wegs"


def test_an_order_of_ones_own_for_each_board_and_always_the_same(tmp_path):
    from maixpix.companion.pictures import Picture

    pictures = [Picture(f"{n}.jpg", tmp_path / f"{n}.jpg", 1, n) for n in range(20)]
    one, two = (playlists.ordered(pictures, "random", board) for board in ("one", "two"))
    assert one == playlists.ordered(pictures[::-1], "random", "one") and one != two
    assert [p.modified for p in playlists.ordered(pictures, "newest", "one")] == list(range(19, -1, -1))


# -- the cache -------------------------------------------------------------------------------------------------------


class Shop:
    """A modem whose every link gives the file that `files` has for its path."""

    version = (1, 7)

    def __init__(self, files, lie=False):
        self.files, self.lie, self.sent = files, lie, 0

    def connect(self, host, port, timeout_ms=0):
        shop = self

        class Link:
            timeout_ms = 0
            said = b""

            def write(self, head):
                name = bytes(head).split()[1].decode()[1:]
                body = shop.files.get(name)
                tag = f'"{digest(body or b"")[:20]}"'
                if body is None:
                    self.said = b"HTTP/1.1 404 no\r\nContent-Length: 0\r\n\r\n"
                elif f"If-None-Match: {tag}".encode() in bytes(head):
                    self.said = f"HTTP/1.1 304 same\r\nETag: {tag}\r\n\r\n".encode()
                else:
                    sent = body[:-3] + b"xxx" if shop.lie else body
                    shop.sent += 1
                    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nETag: {tag}\r\n\r\n"
                    self.said = head.encode() + sent

            def readinto(self, view):
                count = min(len(view), len(self.said))
                view[:count], self.said = self.said[:count], self.said[count:]
                return count

            def close(self):
                """Nothing is open."""

        return Link()


def item(device, name, data=None):
    proof = {"digest": digest(data), "size": len(data)} if data else {}
    return device.load("plist").Item(name, f"http://pc/{name}", **proof)


TELL = types.SimpleNamespace(progress=None, again=None)


def bring(keep, shop, item):
    return keep.bring(shop, item, lambda path: None, None, again=None)


def test_what_is_unchanged_is_never_written_again(device):
    keep = device.load("keep").Keep("/sd/frame", 5, 100)
    shop = Shop({"a.jpg": A})
    free = item(device, "a.jpg")
    assert bring(keep, shop, free) and keep.proven(free)
    operations = len(device.operations)
    assert not bring(keep, shop, free)
    assert not [name for name in device.operations[operations:] if name.startswith(("open", "write", "rename"))]
    assert (shop.sent, keep.unchanged, keep.count()) == (1, 1, 1)
    shop.files["a.jpg"] = B
    assert bring(keep, shop, free) and shop.sent == 2
    assert (device.folder / keep.path(free.stem)[4:]).read_bytes() == B


def test_a_picture_that_is_not_what_the_list_says_is_not_kept(device):
    keep = device.load("keep").Keep("/sd/frame", 5, 100)
    with pytest.raises(device.PixError) as told:
        bring(keep, Shop({"a.jpg": A}, lie=True), item(device, "a.jpg", A))
    assert told.value.code == "digest-mismatch" and not list((device.folder / "frame").iterdir())


@pytest.mark.parametrize("proof", [A, None], ids=["list", "note"])
def test_a_file_that_rots_is_removed(device, proof):
    keep = device.load("keep").Keep("/sd/frame", 5, 100)
    wanted = item(device, "a.jpg", proof)
    bring(keep, Shop({"a.jpg": A}), wanted)
    assert keep.proven(wanted)
    file = next((device.folder / "frame").glob("*.jpg"))
    file.write_bytes(A[:5] + b"X" + A[6:])
    assert keep.proven(wanted) == "" and not file.exists() and keep.count() == 0


def test_the_card_is_bounded_and_what_is_not_listed_goes_first(device):
    keep = device.load("keep").Keep("/sd/frame", 3, 100)
    shop = Shop({f"{n}.jpg": A for n in range(9)})
    items = [item(device, f"{n}.jpg", A) for n in range(5)]
    for one in items:
        assert keep.make_room(one.size, lambda stems: min(stems, key=[i.stem for i in items].index))
        bring(keep, shop, one)
        assert keep.count() <= 3
    assert [keep.there(one) for one in items] == [False, False, True, True, True]
    assert not keep.make_room(10, lambda stems: None)


def test_a_cut_at_any_write_leaves_proven_pictures_or_none(device):
    shop = Shop({"a.jpg": A, "list": b"http://pc/a.jpg\n"})
    for cut in range(60):
        keep = device.load("keep").Keep("/sd/frame", 5, 100)
        free = item(device, "a.jpg")
        device.cut_at = len(device.operations) + cut
        try:
            bring(keep, shop, free)
            keep.bring_list(shop, "http://pc/list")
            ended = True
        except PowerCut:
            ended = False
        device = device.restart()
        keep = device.load("keep").Keep("/sd/frame", 5, 100)
        path = keep.proven(free)
        if path:
            assert (device.folder / path[4:]).read_bytes() in (A, B)
        found = keep.list_path("http://pc/list")
        assert not found or (device.folder / found[4:]).read_bytes() == shop.files["list"]
        if ended:
            break
        shop.files["a.jpg"] = B if shop.files["a.jpg"] == A else A
    assert ended


# -- time ------------------------------------------------------------------------------------------------------------


def test_the_calendar_is_that_of_python(pix_modules):
    clock = pix_modules.load("clock")
    rng = random.Random(5)
    for _ in range(400):
        seconds = rng.randrange(0, 4_102_444_800)
        then = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
        assert clock.civil(seconds) == (*then.timetuple()[:6], then.weekday())
        assert clock.seconds_of(*then.timetuple()[:6]) == seconds
        assert clock.http_seconds(then.strftime("%a, %d %b %Y %H:%M:%S GMT")) == seconds
        assert clock.http_seconds(then.strftime("%a %b %d %H:%M:%S %Y")) == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "Sat, 28 Xxx 2026 14:00:00 GMT", "Sat, 28 Nov 2026 14:00 GMT",
                                  "Sat, 28 Nov 2026 24:00:00 GMT", "Sat, 28 Nov 2026 14:61:00 GMT",
                                  "Sat, 99 Nov 2026 14:00:00 GMT", "Sat, -1 Nov 2026 14:00:00 GMT"])  # fmt: skip
def test_what_is_no_date_tells_nothing(pix_modules, text):
    assert pix_modules.load("clock").http_seconds(text) is None


NOW = 1_800_000_000


def test_a_clock_that_drifts_learns_and_is_right_after_a_day(device):
    (device.folder / "frame").mkdir()
    clock = device.load("clock").Clock("/sd/frame/now")
    assert clock.now() is None and clock.local() is None
    start = device.ticks_ms()

    def world():  # the chip's counter is 100 millionths too slow
        return NOW + (device.ticks_ms() - start) * 1_000_100 // 1_000_000_000

    for _ in range(20):
        assert clock.hear(world(), device.ticks_ms(), "60")
        device.skipped_ms += 8 * 3_600_000
    device.skipped_ms += 16 * 3_600_000
    assert abs(clock.now() - world()) <= 3  # a day alone; without learning it would be 9 s
    assert (
        clock.zone == 60
        and clock.local()[3] == datetime.datetime.fromtimestamp(clock.now() + 3600, datetime.timezone.utc).hour
    )


@pytest.mark.parametrize("jump", [3600, -3600, 86_400 * 365, -86_400 * 30])
def test_a_servers_clock_that_is_put_right_teaches_no_drift(device, jump):
    (device.folder / "frame").mkdir()
    clock = device.load("clock").Clock("/sd/frame/now")
    clock.hear(NOW)
    device.skipped_ms += 8 * 3_600_000
    assert clock.hear(NOW + 8 * 3600 + jump)
    device.skipped_ms += 86_400_000
    assert abs(clock.now() - (NOW + 8 * 3600 + jump + 86_400)) <= 1


def test_the_time_is_roughly_there_after_a_restart_and_seldom_written(device):
    (device.folder / "frame").mkdir()
    clock = device.load("clock").Clock("/sd/frame/now", -60)
    clock.hear(NOW)
    writes = 0
    for _ in range(24 * 60):
        device.skipped_ms += 60_000
        writes += clock.keep(1234)
    assert writes <= 73 and (device.folder / "frame" / "now").stat().st_size == 64
    clock.keep(4321, at_once=True)
    device = device.restart()
    again = device.load("clock").Clock("/sd/frame/now")
    assert (again.sure, again.zone, again.mark) == (False, -60, 4321)
    assert abs(again.now() - (NOW + 86400)) <= 5
    (device.folder / "frame" / "now").write_bytes(b"pix-now 1 1800000000 0 0 0 00000000")
    assert device.load("clock").Clock("/sd/frame/now").now() is None


@pytest.mark.parametrize(
    ("rules", "when", "plan"),
    [
        ("* * * every 300", (12, 0, 3), (300, "on", "")),
        ("* 7-21 * every 60; * 22-23,0-6 * off", (23, 30, 2), (0, "off", "")),
        ("* 7-21 * every 60; * 22-23,0-6 * off", (7, 0, 2), (60, "on", "")),
        ("0-29 8 1-5 show /sd/m.jpg", (8, 29, 5), (0, "on", "/sd/m.jpg")),
        ("0-29 8 1-5 show /sd/m.jpg", (8, 29, 0), (0, "on", "")),
        ("*/15 * 7 dim", (3, 45, 0), (0, "dim", "")),
        ("*/15 * 7 dim", (3, 46, 0), (0, "on", "")),
        ("* * * off; * 12 * show /sd/noon.jpg", (12, 1, 4), (0, "on", "/sd/noon.jpg")),
    ],
)
def test_rules(pix_modules, rules, when, plan):
    hour, minute, weekday = when
    local = (2026, 11, 28, hour, minute, 0, (weekday - 1) % 7)
    found = pix_modules.load("sched").Schedule(rules).plan(local)
    assert (found.seconds, found.light, found.picture) == plan
    nothing = pix_modules.load("sched").Schedule(rules).plan(None)
    assert (nothing.seconds, nothing.light, nothing.picture) == (0, "on", "")


@pytest.mark.parametrize("rule", ["* * *", "60 * * off", "* 5-3 * off", "* * 8 off", "* * * every", "* * * every 0",
                                  "* * * show night.jpg", "* * * off now", "x * * off", "*/0 * * off"])  # fmt: skip
def test_a_rule_that_is_none_is_refused_on_board_and_host(pix_modules, rule):
    with pytest.raises(pix_modules.PixError):
        pix_modules.load("sched").Schedule(rule)
    wrong = device_code.load("config").wrong("schedule", rule)
    assert wrong.startswith("has a rule that is not understood") and rule[:10] in wrong


# -- the key ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("presses", "wishes"),
    [
        ([(100, 120)], ["next"]),
        ([(100, 120), (400, 100)], ["previous"]),
        ([(100, 120), (900, 100)], ["next", "next"]),
        ([(100, 1200)], ["hold"]),
        ([(100, 2500)], ["info"]),
        ([(100, 3500)], []),
        ([(100, 5)], []),
        ([(0, 400)], []),
    ],
)
def test_gestures(device, presses, wishes):
    now = [0]
    device.system["utime"].ticks_ms = lambda: now[0]
    pin = types.SimpleNamespace(value=lambda: not any(at <= now[0] < at + long for at, long in presses))
    gesture = device.load("gesture")
    gesture.board = types.SimpleNamespace(key=lambda name: pin)
    key, found = gesture.Gestures("dock"), []
    for now[0] in range(0, 6000, 20 if presses[0][1] > 5 else 1):
        found.append(key.wish())
    assert [wish for wish in found if wish] == wishes
