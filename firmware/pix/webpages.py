# The board's pages: what it shows and how it is, the pictures of its card, and what can be done with them. They go into
# any app that has a pix.web.Web: `Pages(web, ...)` adds them, and the app calls `work` when it has time.
#
# Whatever takes long (a picture to decode, a file to fetch) is noted as a wish and done by `work`, so that pages are
# answered at once. Pages work without script; with it, large photographs are shrunk by the browser before they come.

import gc

import utime
from micropython import const

from pix.errors import PixError
from pix.files import OUTBOX, SENT, all_bytes, free_bytes, head_of, make_folder, remove, size_of
from pix.log import PATHS
from pix.webfile import send_file
from pix.webpage import begin, escape, render
from pix.webreq import WebError
from pix.webres import Response, redirect

PICTURES = "/sd/pics"  # where uploads and fetched pictures go

_FOLDERS = (("pics", PICTURES), ("card", "/sd"), ("outbox", OUTBOX), ("sent", SENT))
_PER_PAGE = const(24)
_SIGNAL_MS = const(20000)  # how long a signal strength that was asked for is good enough
_LOG_BYTES = const(500)
_KINDS = (b"\xff\xd8", b"BM")

_STYLE = (
    ".b button,.b input{margin:.15em 0}ul{list-style:none;padding:0}li{display:flex;flex-wrap:wrap;gap:.4em;"
    "align-items:center;border-top:1px solid #ddd;padding:.3em 0}li a{flex:1 1 9em;overflow-wrap:anywhere}"
    "img{max-width:100%;border:1px solid #ccc}.m{background:#fd6;padding:.4em .6em}pre{white-space:pre-wrap;"
    "overflow-wrap:anywhere;font-size:.8em}.n a{margin-right:.8em}"
)
_TOP = (
    "<h1>{{name}}</h1>{{{message}}}{{{now}}}"
    '<form class="b" method="post" action="/do"><input type="hidden" name="csrf" value="{{token}}">{{{buttons}}}'
    "</form>"
)
_FETCH = (
    '<h2>Fetch a picture</h2><form class="b" method="post" action="/do"><input type="hidden" name="csrf" value='
    '"{{token}}"><input name="url" size="34" placeholder="http://..." required> <button name="do" value="fetch">Fetch'
    "</button></form>"
)
_UPLOAD = (
    '<h2>Send a picture</h2><form class="b" id="up" method="post" action="/upload" enctype="multipart/form-data">'
    '<input type="hidden" name="csrf" value="{{token}}"><input type="file" name="photo" accept="image/*" required> '
    "<button>Send and show</button><p>JPEG or BMP. {{hint}}</p></form>"
)
# Shrinks what is larger than the panel; the canvas makes baseline JPEGs, which is what MaixPy decodes.
_SCRIPT = (
    '<script nonce="{{token}}">up.onsubmit=async e=>{let f=up.photo.files[0];if(!f||!self.createImageBitmap)return;'
    "e.preventDefault();let d=new FormData(up);try{let i=await createImageBitmap(f),s=Math.min(1,{{width}}/i.width,"
    "{{height}}/i.height),c=document.createElement('canvas');c.width=i.width*s||1;c.height=i.height*s||1;"
    "c.getContext('2d').drawImage(i,0,0,c.width,c.height);d.set('photo',await new Promise(r=>c.toBlob(r,'image/jpeg',"
    ".85)),f.name.replace(/[.][^.]*$/,'')+'.jpg')}catch(x){}let r=await fetch('/upload',{method:'POST',body:d});"
    "if(r.redirected)location=r.url;else document.body.innerHTML=await r.text()}</script>"
)


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

    # -- the page -----------------------------------------------------------------------------------------

    def _index(self, request):
        busy = self._wish is not None
        body = self._body(request, busy)
        return self.answer(body, Refresh="2; url=/") if busy else self.answer(body)

    def _body(self, request, busy):
        settings = self.settings
        token = self.web.gate.token
        name = settings.name or "maixpix"
        yield begin(name, _STYLE)
        message = "At work: %s" % self._wish[0] if busy else self.message
        buttons = ""
        for action, text in (("next", "Next picture"), ("snap", "Take a picture")):
            if action in self.actions:
                buttons += '<button name="do" value="%s">%s</button> ' % (action, text)
        buttons += '<button name="do" value="restart">Restart</button>'
        now = ""
        if self.shown:
            now = '<p><img src="/now?%d" alt="The picture on the panel"></p>' % self.web.served
        yield render(
            _TOP, name=name, token=token, buttons=buttons, now=now,
            message='<p class="m">%s</p>' % escape(message) if message else "",
        )  # fmt: skip
        hint = "Without script only pictures that the board itself can decode; others through the companion."
        values = {"token": token, "width": self.screen.width, "height": self.screen.height, "hint": hint}
        if "show" in self.actions:
            yield render(_UPLOAD, **values)
            yield _scripted(_SCRIPT, values)
        if "fetch" in self.actions:
            yield render(_FETCH, token=token)
        for piece in self._pictures(request, token):
            yield piece
        for piece in self._state():
            yield piece
        yield '<p><a href="/settings">Settings</a></p></body></html>'

    def _pictures(self, request, token):
        # The names in one folder of the card: pictures of it would take minutes over this line.
        key = request.query.get("in", _FOLDERS[0][0])
        folder = _folder(key)
        first = request.query.get("from", "0")
        first = int(first) if first and len(first) < 7 and not first.strip("0123456789") else 0
        yield '<h2>Pictures</h2><p class="n">'
        for other, _ in _FOLDERS:
            yield "<b>%s</b> " % other if other == key else '<a href="/?in=%s">%s</a>' % (other, other)
        yield '</p><form method="post" action="/do"><input type="hidden" name="csrf" value="%s">' % token
        yield '<input type="hidden" name="in" value="%s"><ul>' % key
        names = []
        try:
            if size_of(folder) is not None:
                names = pictures(folder)
        except PixError as error:
            yield "<li>%s</li>" % escape(error.cause)
        for name in names[first : first + _PER_PAGE]:
            size = size_of(folder + "/" + name) or 0
            show = '<button name="show" value="%s">Show</button>' if "show" in self.actions else ""
            line = (
                '<li><a href="/file/%s/%s">%s</a> %d kB '
                + show
                + '<button name="delete" value="%s">Delete</button></li>'
            )
            shown = escape(name)
            parts = (key, shown, shown, (size + 1023) >> 10) + ((shown,) if show else ()) + (shown,)
            yield line % parts
        if not names:
            yield "<li>none</li>"
        yield "</ul></form>"
        if first + _PER_PAGE < len(names):
            yield '<p><a href="/?in=%s&amp;from=%d">%d more</a></p>' % (
                key,
                first + _PER_PAGE,
                len(names) - first - _PER_PAGE,
            )

    def _state(self):
        modem = self.web.modem
        yield "<h2>State</h2><table>"
        yield _row("Wi-Fi", "%s, %s" % (modem.address, self._strength()))
        yield _row("Module", "AT %d.%d at %d baud" % (modem.version + (modem.baud,)))
        yield _row("Memory", "%d kB free" % (gc.mem_free() >> 10))
        try:
            yield _row("Card", "%d of %d MB free" % (free_bytes("/sd") >> 20, all_bytes("/sd") >> 20))
        except PixError as error:
            yield _row("Card", error.cause)
        seconds = utime.ticks_ms() // 1000
        yield _row("Running", "%d h %02d min, %d pages" % (seconds // 3600, seconds // 60 % 60, self.web.served))
        yield "</table>"
        lines = last_lines(PATHS[0])
        if lines:
            yield "<h2>Last errors</h2><pre>%s</pre>" % escape(lines)

    def _strength(self):
        # "-61 dBm", asked anew now and then.
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


def last_lines(path):
    # The last lines of the log at `path`, text; "" when there are none.
    try:
        size = size_of(path)
        if not size:
            return ""
        if size <= _LOG_BYTES:
            data = head_of(path, _LOG_BYTES)
        else:
            with open(path, "rb") as f:
                f.seek(size - _LOG_BYTES)
                data = f.read(_LOG_BYTES)
            data = data[data.find(b"\n") + 1 :]
        return data.decode()
    except (PixError, OSError, UnicodeError):
        return ""  # a page must not fail for want of its log


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


def _row(name, value):
    return "<tr><th>%s</th><td>%s</td></tr>" % (name, escape(value))


def _scripted(text, values):
    # Like `render` for a text that is full of braces: only the three known names are replaced.
    for name in ("token", "width", "height"):
        text = text.replace("{{" + name + "}}", str(values[name]))
    return text
