"""`pix.album` with lists and servers that are odd: one bad entry or answer never keeps the others from the panel."""

import hashlib

import pytest

from rig.device import Device

HEAD = "maixpix-playlist 1"
SERVER = "http://pc"


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Shop:
    """A modem whose links give what `files` has for a path: the bytes of a body, or (status, fields, bytes)."""

    version = (1, 7)

    def __init__(self, files):
        self.files, self.asked = files, []

    def connect(self, host, port, timeout_ms=0):
        return _Link(self)


class _Link:
    timeout_ms = 0

    def __init__(self, shop):
        self.shop, self.said = shop, b""

    def write(self, head):
        target = bytes(head).split()[1].decode()
        self.shop.asked.append(target)
        found = self.shop.files.get(target.split("?")[0][1:], (404, "", b""))
        status, fields, body = found if isinstance(found, tuple) else (200, "", found)
        since = [line for line in fields.split("\r\n") if line.startswith("Last-Modified: ")]
        if since and since[0].replace("Last-Modified", "If-Modified-Since").encode() in bytes(head):
            status, body = 304, b""
        length = "" if "Content-Length" in fields else f"Content-Length: {len(body)}\r\n"
        self.said = f"HTTP/1.1 {status} so\r\n{fields}{length}\r\n".encode() + body

    def readinto(self, view):
        count = min(len(view), len(self.said))
        view[:count], self.said = self.said[:count], self.said[count:]
        return count

    def close(self):
        """Nothing is open."""


class Panel:
    """A screen that takes every file; `shown` are their contents."""

    width, height = 320, 240

    def __init__(self, device):
        self.device, self.shown = device, []

    def check(self, path, made=False):
        """Any file is a picture here."""

    def show(self, path, change="cut", made=False):
        self.shown.append((self.device.folder / path[4:]).read_bytes())

    def drop(self):
        """No picture is in memory."""


class Silent:
    """A pix.tell.Tell that says nothing."""

    def progress(self, done, total):
        """Not shown."""

    def again(self, error, ms):
        """Not told."""


class Frame:
    """An album over `files`, worked as apps/frame.py does: `turns(n)` shows n times with a fetch or two in between."""

    def __init__(self, device, files, **settings):
        self.device, self.shop, self.panel = device, Shop(files), Panel(device)
        settings = device.load("config").Settings(**{"server": SERVER, **settings})
        (device.folder / "frame").mkdir(exist_ok=True)
        self.clock = device.load("clock").Clock("/sd/frame/now")
        self.album = device.load("album").Album(settings, self.panel, self.clock)
        self.codes = []

    def work(self, most=60):
        for _ in range(most):
            try:
                if not self.album.work(self.shop, Silent(), lambda: ()):
                    return
            except self.device.PixError as error:
                self.codes.append(error.code)
                self.device.skipped_ms += 2000

    def turns(self, count):
        for _ in range(count):
            try:
                self.album.show()
            except self.device.PixError as error:
                self.codes.append(error.code)
            self.work()
            self.device.skipped_ms += 20_000
        return self.panel.shown

    def cached(self):
        return {file.read_bytes() for file in (self.device.folder / "frame").glob("*.jpg")}


@pytest.fixture
def frame(device):
    """frame(files, **settings) -> Frame."""
    return lambda files, **settings: Frame(device, files, **settings)


def picture(name, size=3000):
    return b"\xff\xd8" + name.encode() * (size // len(name)) + b"\xff\xd9"


A, B, C = picture("a"), picture("b"), picture("c")


def entry(name, data=None, seconds="-", size=None, since="-", until="-", url=None):
    proof = f"{digest(data)} {len(data) if size is None else size}" if data else f"- {'-' if size is None else size}"
    return f"{seconds} {proof} {since} {until} {url or 'p/' + name} {name}"


def ours(*entries):
    return "\n".join([HEAD, *entries, f"end {len(entries)}", ""]).encode()


# -- pictures that the card has no room for ----------------------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False], ids=["size told", "size unknown"])
def test_a_picture_bigger_than_the_cache_pushes_nothing_out_and_blocks_nothing(frame, told):
    huge = picture("huge", 200_000)
    entries = [entry("a", A), entry("huge", huge) if told else entry("huge"), entry("b", B), entry("c", C)]
    files = {"playlist": ours(*entries), "p/a": A, "p/b": B, "p/c": C, "p/huge": huge}
    one = frame(files, cache_kb=64)
    one.turns(12)
    assert one.cached() == {A, B, C}
    assert {A, B, C} == set(one.panel.shown[-3:])
    assert sum(target.startswith("/p/huge") for target in one.shop.asked) <= (0 if told else 1)


def test_a_picture_that_the_full_card_cannot_take_leaves_the_others(tmp_path):
    (tmp_path / "full").mkdir()
    device = Device(tmp_path / "full")
    device.card.fill(400_000)
    big = picture("big", 900_000)
    entries = [entry("a", A), entry("big", big), entry("b", B)]
    one = Frame(device, {"playlist": ours(*entries), "p/a": A, "p/b": B, "p/big": big})
    one.turns(8)
    assert one.cached() == {A, B} and {A, B} == set(one.panel.shown[-2:])


def test_a_body_of_another_size_than_the_list_tells_is_refused_before_it_is_on_the_card(frame, device):
    lie = picture("lie", 500_000)
    one = frame({"playlist": ours(entry("a", A), entry("lie", B, url="p/lie")), "p/a": A, "p/lie": lie})
    one.turns(5)
    assert one.cached() == {A} and set(one.panel.shown) == {A}
    assert device.card.bytes_written < 60_000


# -- entries that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    ["https://pc/x.jpg", "ftp://pc/x.jpg", "http://", "http://pc:99999/x", "\\\\nas\\x.jpg", "http://pc/\x01x", "//"],
)
def test_a_url_that_cannot_be_fetched_is_passed_over(frame, bad):
    text = f"{SERVER}/p/a\n{bad} a bad one\n{SERVER}/p/b\n"
    one = frame({"list.txt": text.encode(), "p/a": A, "p/b": B}, playlist=f"{SERVER}/list.txt")
    one.turns(6)
    assert {A, B} == set(one.panel.shown[-2:])
    # And so after a restart without a network.
    again = frame({}, playlist=f"{SERVER}/list.txt")
    again.turns(4)
    assert {A, B} == set(again.panel.shown[-2:])


@pytest.mark.parametrize(
    "bad",
    [
        entry("x", C, seconds="-5"),
        entry("x", C, seconds="soon"),
        entry("x", C, size="-7"),
        entry("x", C, size="1e3"),
        entry("x", C, since="-1"),
        entry("x", C).replace(digest(C), "12ab"),
        entry("x", C, url="https://pc/x"),
    ],
)
def test_a_line_of_the_companions_list_that_is_not_understood_is_passed_over(frame, bad):
    one = frame({"playlist": ours(entry("a", A), bad, entry("b", B)), "p/a": A, "p/b": B, "p/x": C})
    one.turns(6)
    assert {A, B} == set(one.panel.shown)


def test_a_caption_of_any_bytes_is_no_trouble(frame):
    text = f"{SERVER}/p/a Gr\xfc\xdfe\n{SERVER}/p/b ".encode("latin-1") + bytes(range(128, 256)) + b"\n"
    one = frame({"list.txt": text, "p/a": A, "p/b": B}, playlist=f"{SERVER}/list.txt")
    one.turns(4)
    assert {A, B} == set(one.panel.shown)


@pytest.mark.parametrize("seconds", [0, 1, 86_400, 10**9, 10**30])
def test_a_picture_stays_for_a_time_that_the_chip_can_count(device, seconds):
    (device.folder / "list.txt").write_bytes(ours(entry("a", A, seconds=seconds)))
    found = device.load("plist").Playlist("/sd/list.txt", SERVER).item(0).seconds
    assert found == min(seconds, 31 * 86_400)


# -- a list that cannot be had ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [(500, "", b"oops"), (404, "", b""), b"<html><title>Log in</title></html>", HEAD.encode() + b"\nx\nend 1\n"],
)
def test_pictures_come_while_the_list_is_in_trouble(frame, answer):
    one = frame({"list.txt": f"{SERVER}/p/a\n{SERVER}/p/b\n".encode(), "p/a": A}, playlist=f"{SERVER}/list.txt")
    one.turns(2)
    again = frame({"list.txt": answer, "p/a": A, "p/b": B}, playlist=f"{SERVER}/list.txt")
    again.turns(6)
    assert again.cached() == {A, B} and again.codes and again.album.list_fails
    again.shop.files["list.txt"] = f"{SERVER}/p/c\n".encode()
    again.shop.files["p/c"] = C
    again.turns(30)
    assert again.panel.shown[-1] == C and not again.album.list_fails


def test_a_kept_list_that_is_not_understood_is_asked_for_again(frame, device):
    one = frame({"playlist": ours(entry("a", A)), "p/a": A})
    one.turns(2)
    bad = HEAD.encode() + b"\nx\nend 1\n"
    listed = one.album.keep.list_path
    url = next(name for name in (one.album._list_url,))
    assert listed(url)
    (device.folder / "frame" / "list.txt").write_bytes(bad)
    (device.folder / "frame" / "list.tag").write_bytes(one.album.keep._packed(url, "", digest(bad)))
    again = frame({"playlist": ours(entry("a", A)), "p/a": A})
    assert again.turns(2)[-1] == A


# -- changes -----------------------------------------------------------------------------------------------------------


def test_a_new_picture_of_the_same_name_and_size_is_fetched_at_once(frame):
    new = A[:5] + b"X" + A[6:]
    one = frame({"playlist": ours(entry("a", A)), "p/a": A}, list_s=10)
    one.turns(3)
    one.shop.files.update({"playlist": ours(entry("a", new)), "p/a": new})
    one.turns(4)
    assert one.panel.shown[-1] == new


def test_an_entry_that_is_listed_twice_keeps_its_place_when_the_list_changes(frame):
    names = {"a": A, "b": B, "c": C}
    first = [entry(name, names[name]) for name in "abac"]
    one = frame({"playlist": ours(*first), **{f"p/{name}": data for name, data in names.items()}}, list_s=10)
    one.turns(5)
    while one.panel.shown[-2:] != [C, A]:
        one.turns(1)  # the first "a" is on the panel
    one.shop.files["playlist"] = ours(*first, entry("d"))
    one.device.skipped_ms += 10_000
    one.work()
    one.turns(1)
    assert one.panel.shown[-1] == B


# -- one picture's trouble ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [(500, "", b""), (503, "Retry-After: 60\r\n", b""), (404, "", b""), (302, "", b"")])
@pytest.mark.parametrize("proven", [True, False], ids=["proven", "free"])
def test_a_picture_that_cannot_be_had_does_not_hold_up_the_others(frame, answer, proven):
    entries = [entry(name, data if proven else None) for name, data in (("a", A), ("b", B), ("c", C))]
    one = frame({"playlist": ours(*entries), "p/a": answer, "p/b": B, "p/c": C})
    one.turns(6)
    assert {B, C} == one.cached() == set(one.panel.shown[-2:])
    one.shop.files["p/a"] = A
    one.device.skipped_ms += 1_800_000
    one.turns(6)
    assert {A, B, C} == set(one.panel.shown[-3:])


def test_a_picture_that_never_is_what_the_list_says_is_not_asked_for_without_end(frame):
    one = frame({"playlist": ours(entry("a", A)), "p/a": B})
    one.turns(20)
    assert one.shop.asked.count("/p/a") == 1 and not one.cached()


def test_what_is_asked_for_when_due_does_not_push_out_its_neighbours(frame):
    names = {name: picture(name) for name in "abcd"}
    text = "".join(f"{SERVER}/p/{name}\n" for name in names)
    files = {"list.txt": text.encode(), **{f"p/{name}": data for name, data in names.items()}}
    one = frame(files, playlist=f"{SERVER}/list.txt", cache_files=4)
    one.turns(5)
    one.shop.asked.clear()
    for _ in range(8):
        item = one.album.asked_when_due()
        one.album.bring(one.shop, item, Silent(), lambda: ())
        one.turns(1)
        assert len(one.cached()) == 4
    assert len([path for path in one.shop.asked if path.startswith("/p/")]) == 8


def test_the_cache_is_bounded_when_nobody_told_the_sizes(frame):
    names = {name: picture(name, 30_000) for name in "abcdefgh"}
    text = "".join(f"{SERVER}/p/{name}\n" for name in names)
    files = {"list.txt": text.encode(), **{f"p/{name}": data for name, data in names.items()}}
    one = frame(files, playlist=f"{SERVER}/list.txt", cache_kb=64)
    for _ in range(9):
        one.turns(1)
        assert sum(len(data) for data in one.cached()) <= 64 << 10
    assert len(set(one.panel.shown)) == 8
    assert len(one.shop.asked) < 30


def test_pictures_of_which_few_fit_are_all_shown(frame):
    names = {name: picture(name, 30_000) for name in "abcdefgh"}
    entries = [entry(name, data) for name, data in names.items()]
    one = frame({"playlist": ours(*entries), **{f"p/{name}": data for name, data in names.items()}}, cache_kb=64)
    one.turns(9)
    assert set(one.panel.shown) == set(names.values()) and not one.codes
    assert len([path for path in one.shop.asked if path.startswith("/p/")]) < 14


DATE = "Date: Sat, 28 Nov 2026 14:00:00 GMT\r\n"


@pytest.mark.parametrize(("changed", "writes"), [("13:00:00", 0), ("14:00:00", 4)], ids=["long ago", "just now"])
def test_a_server_that_tells_dates_only_costs_no_writes(frame, device, changed, writes):
    fields = f"{DATE}Last-Modified: Sat, 28 Nov 2026 {changed} GMT\r\n"
    files = {"list.txt": (200, fields, f"{SERVER}/p/a\n".encode()), "p/a": (200, fields, A)}
    one = frame(files, playlist=f"{SERVER}/list.txt", list_s=10)
    one.turns(2)
    before = one.album.keep.writes
    one.album.bring(one.shop, one.album.asked_when_due(), Silent(), lambda: ())
    device.skipped_ms += 10_000
    one.work()
    assert one.album.keep.writes - before == writes
