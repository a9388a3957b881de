# The first page of the board: what it shows and how it is, the pictures of its card, and what can be done with them.
# It is loaded for as long as somebody looks at it.

import gc

import utime
from micropython import const

from pix.errors import PixError
from pix.files import all_bytes, free_bytes, head_of, size_of
from pix.log import PATHS
from pix.webpage import begin, escape, render

_PER_PAGE = const(24)
_LOG_BYTES = const(500)

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


def body(pages, request, work, folders, key, folder):
    # The page in pieces, for the pix.webpages.Pages `pages`. `work`: what they are doing just now, or "". The pictures
    # listed are those of `folder`, which is called `key` among the `folders`.
    settings = pages.settings
    token = pages.web.gate.token
    name = settings.name or "maixpix"
    yield begin(name, _STYLE)
    message = "At work: %s" % work if work else pages.message
    buttons = ""
    for action, text in (("next", "Next picture"), ("snap", "Take a picture")):
        if action in pages.actions:
            buttons += '<button name="do" value="%s">%s</button> ' % (action, text)
    buttons += '<button name="do" value="restart">Restart</button>'
    now = ""
    if pages.shown:
        now = '<p><img src="/now?%d" alt="The picture on the panel"></p>' % pages.web.served
    yield render(
        _TOP, name=name, token=token, buttons=buttons, now=now,
        message='<p class="m">%s</p>' % escape(message) if message else "",
    )  # fmt: skip
    hint = "Without script only pictures that the board itself can decode; others through the companion."
    values = {"token": token, "width": pages.screen.width, "height": pages.screen.height, "hint": hint}
    if "show" in pages.actions:
        yield render(_UPLOAD, **values)
        yield _scripted(_SCRIPT, values)
    if "fetch" in pages.actions:
        yield render(_FETCH, token=token)
    for piece in _pictures(pages, request, token, folders, key, folder):
        yield piece
    for piece in _state(pages):
        yield piece
    yield '<p><a href="/settings">Settings</a></p></body></html>'


def _pictures(pages, request, token, folders, key, folder):
    # The names in one folder of the card: pictures of it would take minutes over this line.
    first = request.query.get("from", "0")
    first = int(first) if first and len(first) < 7 and not first.strip("0123456789") else 0
    yield '<h2>Pictures</h2><p class="n">'
    for other in folders:
        yield "<b>%s</b> " % other if other == key else '<a href="/?in=%s">%s</a>' % (other, other)
    yield '</p><form method="post" action="/do"><input type="hidden" name="csrf" value="%s">' % token
    yield '<input type="hidden" name="in" value="%s"><ul>' % key
    names = []
    try:
        if size_of(folder) is not None:
            names = pages.names(folder)
    except PixError as error:
        yield "<li>%s</li>" % escape(error.cause)
    for name in names[first : first + _PER_PAGE]:
        size = size_of(folder + "/" + name) or 0
        show = '<button name="show" value="%s">Show</button>' if "show" in pages.actions else ""
        line = (
            '<li><a href="/file/%s/%s">%s</a> %d kB ' + show + '<button name="delete" value="%s">Delete</button></li>'
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


def _state(pages):
    modem = pages.web.modem
    yield "<h2>State</h2><table>"
    yield _row("Wi-Fi", "%s, %s" % (modem.address, pages.strength()))
    yield _row("Module", "AT %d.%d at %d baud" % (modem.version + (modem.baud,)))
    yield _row("Memory", "%d kB free" % (gc.mem_free() >> 10))
    try:
        yield _row("Card", "%d of %d MB free" % (free_bytes("/sd") >> 20, all_bytes("/sd") >> 20))
    except PixError as error:
        yield _row("Card", error.cause)
    seconds = utime.ticks_ms() // 1000
    yield _row("Running", "%d h %02d min, %d pages" % (seconds // 3600, seconds // 60 % 60, pages.web.served))
    yield "</table>"
    lines = _last_lines(PATHS[0])
    if lines:
        yield "<h2>Last errors</h2><pre>%s</pre>" % escape(lines)


def _last_lines(path):
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


def _row(name, value):
    return "<tr><th>%s</th><td>%s</td></tr>" % (name, escape(value))


def _scripted(text, values):
    # Like `render` for a text that is full of braces: only the three known names are replaced.
    for name in ("token", "width", "height"):
        text = text.replace("{{" + name + "}}", str(values[name]))
    return text
