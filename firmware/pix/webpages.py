# The board's pages: what it shows and how it is, the pictures of its card, and what can be done with them. They go into
# any app that has a pix.web.Web: `Pages(web, ...)` adds them, and the app calls `work` when it has time.
#
# Whatever takes long (a picture to decode, a file to fetch) is noted as a wish and done by `work`, so that pages are
# answered at once. Pages work without script; with it, large photographs are shrunk by the browser before they come.

import gc

import utime
from micropython import const

import pix
from pix.errors import PixError
from pix.files import OUTBOX, SENT, make_folder, remove, size_of
from pix.webfile import send_file
from pix.webreq import WebError
from pix.webres import Response, redirect

PICTURES = "/sd/pics"  # where uploads and fetched pictures go

_FOLDERS = (("pics", PICTURES), ("card", "/sd"), ("outbox", OUTBOX), ("sent", SENT))
_SIGNAL_MS = const(20000)  # how long a signal strength that was asked for is good enough
_KINDS = (b"\xff\xd8", b"BM")


class Pages:
    # `web` is the pix.web.Web, `settings` and `screen` the app's. `actions`: name -> function of what the app can do:
    # "show" and "fetch" take a path or URL, "next" and "snap" nothing; those that are missing have no button. `shown`,
    # set by the app, is the path of the picture on the panel.
    def __init__(self, web, settings, screen, actions):
        self.web = web
        self.settings = settings
        self.screen = screen
        self.actions = actions
        self.shown = ""
        self.message = ""
        self._wish = None  # (name, arguments)
        self._signal = 0
        self._signal_at = None
        web.gate.csrf = True
        web.get("/")(self._index)
        web.get("/now")(self._now)
        web.get("/file/<folder>/<name>")(self._file)
        web.post("/do")(self._do)
        web.post("/upload", save=self._save)(self._upload)
        web.get("/settings")(self._settings)
        web.post("/settings")(self._set)

    def work(self):
        # Do what was wished for, if anything; True when that was so. What it says, or what went wrong, is told on the
        # pages. Raises PixError only for trouble with the panel itself.
        wish = self._wish
        if wish is None:
            return False
        name, arguments = wish
        self.lighten()  # a picture that is looked through wants 20 kB
        try:
            if name == "restart":
                self._restart()
            self.message = self.actions[name](*arguments) or "Done: %s" % name
        except PixError as error:
            self.web.note(error)
            self.message = error.line
        self._wish = None
        gc.collect()
        return True

    def lighten(self):
        # Give back the memory of the modules that are needed only while somebody asks for their pages.
        pix.forget("webindex", "webform", "websets", "setfile")

    def answer(self, body, **headers):
        # A page of ours: nothing but what it holds itself may run in it, and no other page may frame it.
        token = self.web.gate.token
        policy = (
            "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'nonce-%s'; connect-src "
            "'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        ) % token
        response = Response(body, 200, (("Content-Security-Policy", policy), ("Referrer-Policy", "same-origin")))
        for name in headers:
            response.add(name, headers[name])
        return response

    def wish(self, name, *arguments):
        # Have `work` do something. Raises WebError 503 while it has something to do already.
        if self._wish is not None:
            raise WebError(503, "The board is at work; try again in a moment.", (("Retry-After", "2"),))
        self._wish = name, arguments
        self.message = ""

    def names(self, folder):
        # See `pictures`.
        return pictures(folder)

    # -- the page -----------------------------------------------------------------------------------------

    def _index(self, request):
        from pix.webindex import body

        work = self._wish[0] if self._wish is not None else ""
        key = request.query.get("in", _FOLDERS[0][0])
        pieces = body(self, request, work, [name for name, _ in _FOLDERS], key, _folder(key))
        return self.answer(pieces, Refresh="2; url=/") if work else self.answer(pieces)

    def strength(self):
        # The network's strength in words, "-61 dBm", asked anew now and then.
        now = utime.ticks_ms()
        if self._signal_at is None or utime.ticks_diff(now, self._signal_at) > _SIGNAL_MS:
            self._signal_at = now
            self._signal = self.web.modem.signal()
        return "%d dBm" % self._signal if self._signal else "signal unknown"

    def _now(self, request):
        if not self.shown:
            raise WebError(404, "No picture is shown.")
        return send_file(request, self.shown)

    def _file(self, request, folder, name):
        return send_file(request, _path(folder, name))

    def _settings(self, request):
        from pix.websets import body

        return self.answer(body(self, request.query.get("saved")))

    def _set(self, request):
        from pix.websets import save

        save(self.settings, request.form)
        return redirect("/settings?saved=1", 303)

    # -- what is done -------------------------------------------------------------------------------------

    def _do(self, request):
        form = request.form
        key = form.get("in", _FOLDERS[0][0])
        back = "/" if key == _FOLDERS[0][0] else "/?in=" + key
        _folder(key)
        if "show" in form:
            self.wish("show", _path(key, form["show"]))
        elif "delete" in form:
            path = _path(key, form["delete"])
            if size_of(path) is None:
                raise WebError(404, "There is no such picture.")
            remove(path)
            self.message = "Deleted: %s" % form["delete"]
        elif form.get("do") == "restart":
            self.wish("restart")
        elif form.get("do") == "fetch" and "fetch" in self.actions:
            self.wish("fetch", form.get("url", "").strip())
        elif form.get("do") in ("next", "snap") and form["do"] in self.actions:
            self.wish(form["do"])
        else:
            raise WebError(400, "Nothing was chosen.")
        return redirect(back, 303)

    def _save(self, request, field, filename, kind):
        if self._wish is not None:
            raise WebError(503, "The board is at work; try again in a moment.", (("Retry-After", "2"),))
        from pix.webform import Saved, short_name

        make_folder(PICTURES)
        bmp = kind in ("image/bmp", "image/x-ms-bmp") or filename[-4:].lower() == ".bmp"
        path = short_name(PICTURES, filename, "bmp" if bmp else "jpg")
        return Saved(path, filename, request.length, _KINDS)

    def _upload(self, request):
        for saved in request.files.values():
            if "show" in self.actions:
                self.wish("show", saved.path)
            self.message = ""
            return redirect("/", 303)
        raise WebError(400, "No picture was chosen.")

    def _restart(self):
        # Once the answer that led here is out.
        end = utime.ticks_add(utime.ticks_ms(), 3000)
        while self.web.busy and utime.ticks_diff(end, utime.ticks_ms()) > 0:
            self.web.poll()
        import machine

        machine.reset()


def pictures(folder):
    # The names of the pictures in `folder`, sorted. Raises PixError.
    from pix.files import files

    found = [name for name in files(folder) if _is_picture(name)]
    found.sort()
    return found


def _is_picture(name):
    ending = name[name.rfind(".") + 1 :].lower()
    return ending in ("jpg", "jpeg", "bmp")


def _folder(key):
    for name, folder in _FOLDERS:
        if name == key:
            return folder
    raise WebError(404, "There is no such folder.")


def _path(key, name):
    # The path of a picture of the card, and of nothing else there.
    if "/" in name or "\\" in name or ":" in name or not _is_picture(name):
        raise WebError(404, "There is no such picture.")
    return _folder(key) + "/" + name
