# The pictures of a frame: which list they are of, which one comes next, and what is fetched before it is wanted.
#
# The settings say where they come from: "playlist" is a list's URL, a list or a folder of the card; else "picture" is
# one URL that is asked again and again (or the name of a picture of "server"); else the companion at "server" is asked
# for its playlist, and one that has none for the next picture, again and again.
#
# What is shown comes from the card, so it goes on without a network. Pictures whose content the list proves are fetched
# ahead; others are asked for when they are due, because a camera's picture of a minute ago is not what is wanted, and
# the last one is shown where that fails.

import utime
from micropython import const

from pix import plist
from pix.errors import PixError
from pix.files import if_there, make_folder
from pix.keep import Keep
from pix.rests import Rests
from pix.url import picture_url, quote

FOLDER = "/sd/frame"

_AHEAD = const(3)  # pictures that are fetched even if others, which are wanted later, have to leave the card for them
_MOST_PASSED = const(50)
_LOOK_MS = const(300000)  # between two looks at the whole list when nothing is missing: entries begin and end
_IS_FOLDER = const(0x4000)
_LIST_PAUSE_MS = const(2000)  # after the first failure to get the list; doubled with each further one
_LONGEST_PAUSE_MS = const(300000)
OF_THE_CARD = ("no-card", "card-full", "card-error")

# Trouble of module and network: no list or picture is to blame.
_OF_THE_NETWORK = (
    "no-modem", "modem-firmware", "modem-rebooted", "wrong-password", "no-network", "no-address", "join-timeout",
    "wifi-lost", "no-memory",
)  # fmt: skip


class Album:
    # `screen` is a pix.screen.Screen, `clock` a pix.clock.Clock whose `mark` tells what was shown before the restart.
    # Raises PixError "settings" and those of the card.
    def __init__(self, settings, screen, clock):
        self._settings = settings
        self._screen = screen
        self._clock = clock
        self._list_url = ""
        self._listed_at = None  # the tick at which the list was last asked for
        self._list_pause_ms = 0  # before it is asked for again, when that failed; 0 when all is well
        self._list = None
        self._at = -1  # what of it is shown, or was last
        self._rests = Rests()
        self._stuck = False  # the last picture that was wanted could not be had
        self._passed = []  # stems of pictures that had no room beside those before them: fetched when they come next
        self._bad = []  # entries of this list that are none
        self.wrong = None  # the PixError of the last of them, for the caller to take
        self._idle_at = None  # the tick at which there was nothing to fetch
        self._sized = False  # the files of this list were compared with it once; its entries need not be read for that
        self._fresh = False  # what the file of the shown picture holds is not on the panel yet
        self.item = None  # the pix.plist.Item on the panel
        make_folder(FOLDER)
        self.keep = Keep(FOLDER, settings.cache_files, settings.cache_kb)
        self._open()

    def _open(self):
        settings = self._settings
        source = settings.playlist
        if "://" in source:
            self._list_url = source
        elif source:
            info = if_there(source, _stat, source)
            folder = info is not None and info[0] & _IS_FOLDER
            self._take(plist.Folder(source.rstrip("/")) if folder else plist.Playlist(source))
        elif settings.picture:
            self._take(plist.Fixed(picture_url(settings, self._screen)))
        else:
            path = "playlist?board=%s&" % quote(settings.name or "board")
            self._list_url = picture_url(settings, self._screen, path)
        if self._list_url:
            kept = self.keep.list_path(self._list_url)
            if kept:
                self._take_kept(kept)
            elif not source and self.keep.proven(self._without_list().item(0)):
                self._take(self._without_list())  # there was a server without playlists

    def _take_kept(self, path):
        try:
            self._take(plist.Playlist(path, self._list_url))
        except PixError as error:
            if error.code in OF_THE_CARD:
                raise
            print("error", error.line)  # of a version with another idea of lists: it is asked for anew
            self.keep.forget_list()

    def _without_list(self):
        # What a server without playlists is asked for.
        path = "frame?board=%s&" % quote(self._settings.name or "board")
        return plist.Fixed(picture_url(self._settings, self._screen, path))

    def _has_list(self):
        return isinstance(self._list, plist.Playlist)

    def _take(self, found):
        # `found` is the list from now on; what is shown, or was before the restart, keeps its place in it.
        # Of several entries of one picture it is the nearest.
        stem = self.item.stem if self.item is not None else self._clock.mark
        old = max(self._at, 0)
        self._list = found
        self._at = -1
        for index, one in enumerate(found.stems):
            if one == stem and (self._at < 0 or abs(index - old) < abs(self._at - old)):
                self._at = index
        if self.item is None and self._at >= 0:
            self._at -= 1  # the same once more
        self._idle_at = None
        self._sized = False
        self._bad = []

    def _entry(self, index):
        # The Item of that number, None when the list has something else there.
        try:
            return self._list.item(index)
        except PixError as error:
            if error.code in OF_THE_CARD:
                raise
            if index not in self._bad:
                print("error", error.line)
                self._bad.append(index)
                self.wrong = error
            return None

    @property
    def needs_network(self):
        # False when everything is on the card anyway.
        return not isinstance(self._list, plist.Folder)

    @property
    def list_fails(self):
        # True while the list cannot be had.
        return self._list_pause_ms > 0

    @property
    def held_up(self):
        # True while what is wanted of the network does not come.
        return self.list_fails or self._stuck

    @property
    def outdated(self):
        # True while the picture on the panel is of no list any more.
        return self.item is not None and self._at < 0

    # -- showing ------------------------------------------------------------------------------------------

    def show(self, step=1, change="cut"):
        # Show the next picture, with step -1 the one before: the Item, None when there is none that can be shown. What
        # is not on the card, damaged or not valid now is passed over.
        count = len(self._list) if self._list else 0
        now = self._clock.now()
        for k in range(1, count + 1):
            index = (self._at + k * step) % count
            if self._list.stems and self.keep.lacks(self._list.stems[index]):
                continue
            item = self._entry(index)
            if item is not None and item.holds(now) and self._shown(item, change):
                self._at = index
                self.item = item
                self._idle_at = None
                return item
        return None

    def _shown(self, item, change):
        try:
            path = self.keep.proven(item) if item.url else item.path
            if not path:
                self._idle_at = None  # it may have been removed just now
                return False
            if self.item is None or self.item.stem != item.stem or self.item.digest != item.digest or self._fresh:
                self._screen.show(path, change, bool(item.url))
                self._fresh = False
            return True
        except PixError as error:
            print("error", error.line)
            if error.code in OF_THE_CARD:
                raise
            return False

    def covered(self):
        # Something else is on the panel: what comes next is drawn even if it is the same picture.
        self._fresh = True

    def again(self):
        # Show the present picture once more, after something else was on the panel. False when there is none.
        item, self.item = self.item, None
        if item is None or not self._shown(item, "cut"):
            return False
        self.item = item
        return True

    # -- fetching -----------------------------------------------------------------------------------------

    def work(self, modem, tell, fields):
        # One thing of the network that is due: "list", "picture", or "" when there is none. `tell` is a pix.tell.Tell,
        # fields() gives more header fields. Raises PixError.
        if self._list_due():
            self._refresh(modem, fields)
            self._all_well()
            return "list"
        if self._idle_at is not None and utime.ticks_diff(utime.ticks_ms(), self._idle_at) < _LOOK_MS:
            return ""
        count = len(self._list) if self._list else 0
        now = self._clock.now()
        for k in range(1, count + 1):
            index = (self._at + k) % count
            if self._sized and not self.keep.lacks(self._list.stems[index]):
                continue
            item = self._entry(index)
            if item is None or not item.url or self.keep.there(item) or not item.holds(now) or self._rests.has(item):
                continue
            if k > 1 and item.stem in self._passed:
                break
            if not self._room_for(item, k):
                break
            self._bring(modem, item, k, tell, fields)
            return "picture"
        self._idle_at = utime.ticks_ms()
        self._sized = len(self._list.stems) > 0 if count else False
        return ""

    def asked_when_due(self):
        # The Item to be shown next if nobody promised what it holds, else None. Raises PixError.
        if self._list is None:
            return None
        item = self._entry((self._at + 1) % len(self._list))
        now = self._clock.now()
        return item if item and item.url and not item.digest and item.holds(now) and not self._rests.has(item) else None

    def bring(self, modem, item, tell, fields):
        # Ask whether there is a new picture for `item`. Raises PixError.
        self._room_for(item, 1)
        self._fresh = self._bring(modem, item, 1, tell, fields) or self._fresh

    def _bring(self, modem, item, k, tell, fields):
        settings = self._settings
        # The companion has made this very file: what has its digest needs no second look at every code.
        made = bool(item.digest) and not settings.playlist
        try:
            new = self.keep.bring(
                modem, item, lambda path: self._screen.check(path, made), tell, headers=fields(), again=tell.again,
                body_kb=settings.body_kb, body_s=settings.body_s,
            )  # fmt: skip
        except PixError as error:
            if error.code == "digest-mismatch" and not self.list_fails:
                self._listed_at = None  # the list is older than the picture
            self._could_not(item, error)
            raise
        finally:
            self._screen.drop()
        self._all_well()
        if item.size < 0 and not self.keep.make_room(0, lambda stems: self._last(stems, k), 0):
            self._pass_over(item)
        return new

    def _pass_over(self, item):
        # Nobody told the size of the Item, and there is no room for so much: the pictures before it have it.
        self.keep.forget(item.stem)
        if len(self._passed) >= _MOST_PASSED:
            self._passed.clear()
        if item.stem not in self._passed:
            self._passed.append(item.stem)

    def _could_not(self, item, error):
        # The Item rests after the PixError `error`, unless it is not to blame. One that is the whole list and proven by
        # nobody is wanted again and again in any case.
        self._stuck = True
        if error.code in _OF_THE_NETWORK or error.code in ("no-card", "card-error"):
            return
        if len(self._list) > 1 or item.digest:
            self._rests.add(item, error.transient)

    def _all_well(self):
        if self._stuck:
            self._stuck = False
            self._rests.wake()
            self._idle_at = None

    def _list_due(self):
        if not self._list_url:
            return False
        now = utime.ticks_ms()
        pause_ms = self._list_pause_ms or self._settings.list_s * 1000
        return self._listed_at is None or utime.ticks_diff(now, self._listed_at) >= pause_ms

    def _refresh(self, modem, fields):
        url = self._list_url
        try:
            changed = self.keep.bring_list(modem, url, headers=fields(), check=lambda path: plist.Playlist(path, url))
        except PixError as error:
            if not self._settings.playlist and error.code in ("http-404", "bad-playlist") and not self._has_list():
                # A server without playlists; maixpix serve had none for years.
                self._list_url = ""
                self._take(self._without_list())
                return
            if self._list is not None and error.code not in _OF_THE_NETWORK:
                # Its pictures are not to wait for it.
                self._listed_at = utime.ticks_ms()
                self._list_pause_ms = min(max(2 * self._list_pause_ms, _LIST_PAUSE_MS), _LONGEST_PAUSE_MS)
            raise
        self._listed_at = utime.ticks_ms()
        self._list_pause_ms = 0
        if changed or not self._has_list():
            self._take(plist.Playlist(self.keep.list_path(url), url))

    def _room_for(self, item, k):
        # Make room on the card for the picture of the Item, which comes as the k-th from now: False when there is none,
        # PixError "card-full" when it is the next. One that is there already takes the place of its old self.
        if self.keep.make_room(item.size, lambda stems: self._last(stems, k), not self.keep.has(item.stem)):
            return True
        if k == 1:
            error = PixError("card-full", "no room for the next picture")
            self._could_not(item, error)
            raise error
        return False

    def _last(self, stems, k):
        # Which of the pictures `stems` on the card may go for one that comes as the k-th from now: one that is not in
        # the list, else, if it is one of the next, the one that is wanted latest of those behind it. None when there is
        # no such.
        left = set(stems)
        last = None
        for i in range(1, len(self._list) + 1):
            stem = self._list.stems[(self._at + i) % len(self._list)]
            if stem in left:
                left.remove(stem)
                last = stem if i > k else None
        return left.pop() if left else last if k <= _AHEAD else None


def _stat(path):
    import uos

    return uos.stat(path)
