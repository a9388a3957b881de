"""The HTML pages: templates of the package filled with escaped text."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib import resources
from string import Template

from maixpix.companion.pictures import LeftOut, Picture, picture_url
from maixpix.companion.settings import ServeSettings
from maixpix.companion.uploads.log import Stored
from maixpix.text import one_line

_STATIC_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_STATIC_NAME = re.compile(r"[a-z0-9]{1,32}\.([a-z]{2,3})")

PREVIEW_QUALITY = 80
"""JPEG quality of the previews on the index page."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, nothing inline, in no other page's frame."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # With no-referrer browsers would send our own forms with "Origin: null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def static_type(name: str) -> str | None:
    """Media type of what a request for a static file names; None for what cannot be the name of one."""
    found = _STATIC_NAME.fullmatch(name)
    return _STATIC_TYPES.get(found[1]) if found else None


@cache
def asset(name: str) -> bytes:
    """Bytes of a file in the package's `static` folder."""
    return (resources.files("maixpix.companion") / "static" / name).read_bytes()


def template(name: str) -> Template:
    return Template(asset(name).decode())


def page_number(text: str) -> int:
    """The page that a query asks for, the first one for nonsense."""
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else 1


def index(
    pictures: list[tuple[Picture, str]],
    total: int,
    page: int,
    last: int,
    settings: ServeSettings,
    left_out: list[LeftOut],
) -> str:
    """The list of pictures: `pictures` are those of this `page`, each with why it cannot be shown ("" when it can).

    `total` counts all; `left_out` are files that are not given out at all.
    """
    width, height = settings.panel
    rows = "".join(_figure(picture, why_not, width, height) for picture, why_not in pictures)
    empty = '<p class="empty">No pictures here yet. Put some into the folder, then reload this page.</p>'
    links = [
        f'<a href="/?page={number}">{text}</a>'
        for number, text in ((page - 1, "previous"), (page + 1, "next"))
        if 1 <= number <= last
    ]
    return template("index.html").substitute(
        width=width,
        height=height,
        count="1 picture" if total == 1 else f"{total} pictures",
        figures=rows or empty,
        pager=" · ".join([*links, f"page {page} of {last}"]) if last > 1 else "",
        gallery=' · <a href="/gallery">Uploads</a>' if settings.uploads else "",
        left_out=_left_out(left_out),
    )


def _left_out(files: list[LeftOut]) -> str:
    if not files:
        return ""
    count = "1 file is" if len(files) == 1 else f"{len(files)} files are"
    lines = "".join(f"<li><b>{escape(one_line(file.name))}</b>: {escape(file.reason)}</li>" for file in files)
    return f"<details><summary>{count} not given out</summary><ul>{lines}</ul></details>"


def _figure(picture: Picture, why_not: str, width: int, height: int) -> str:
    url = escape(picture_url(picture))
    name = escape(one_line(picture.name))
    head = f'<b>{name}</b><br>{size_text(picture.size)} · <a href="{url}">original</a>'
    if why_not:
        return f'<figure><span class="broken">{escape(why_not)}</span><figcaption>{head}</figcaption></figure>\n'
    save = escape(one_line(picture.path.stem)) + ".bmp"
    return (
        f'<figure><a href="{url}?size={width}x{height}">'
        f'<img src="{url}?size={width}x{height}&amp;quality={PREVIEW_QUALITY}" width="{width}" height="{height}"'
        f' loading="lazy" alt="{name}"></a><figcaption>{head} · '
        f'<a href="{url}?size={width}x{height}&amp;fit=fill">filled</a> · '
        f'<a href="{url}?size={width}x{height}&amp;format=bmp" download="{save}">BMP</a>'
        "</figcaption></figure>\n"
    )


def size_text(count: int) -> str:
    """Bytes for people: 812 B, 31 kB, 4.2 MB (powers of 1000, as file managers count), never broken at the space."""
    if count < 1000:
        return f"{count}\xa0B"
    if count < 1_000_000:
        return f"{count / 1000:.0f}\xa0kB"
    return f"{count / 1_000_000:.1f}\xa0MB"


def gallery(
    cards: list[dict[str, object]],
    total: int,
    page: int,
    last: int,
    secret: str,
    boards: list[str],
    allow_delete: bool,
    deleted: list[Stored],
) -> str:
    """The gallery page; `cards` come from `maixpix.companion.gallery.card`, `boards` can be asked for a picture."""
    gone = "".join(f"<li>{escape(stored.name)}, {size_text(stored.size)}</li>" for stored in deleted)
    links = [
        f'<a href="/gallery?page={number}">{text}</a>'
        for number, text in ((page - 1, "newer"), (page + 1, "older"))
        if 1 <= number <= last
    ]
    return template("gallery.html").substitute(
        total=total,
        secret=escape(secret),
        deletes="yes" if allow_delete else "no",
        boards="".join(_board(name, secret) for name in boards),
        live="yes" if page == 1 else "no",
        figures="".join(_card(card, secret if allow_delete else "") for card in cards),
        pager=" · ".join([*links, f"page {page} of {last}"]) if last > 1 else "",
        deleted=f"<details><summary>Deleted lately</summary><ul>{gone}</ul></details>" if gone else "",
    )


def login(where: str, complaint: str) -> str:
    """The login page; it leads to `where` afterwards."""
    return template("login.html").substitute(next=escape(where), complaint=escape(complaint))


def _board(name: str, secret: str) -> str:
    return (
        f'<form method="post" action="/gallery/snap" data-board="{escape(name)}">'
        f'<input type="hidden" name="secret" value="{escape(secret)}">'
        f'<input type="hidden" name="board" value="{escape(name)}">'
        f"<button>Take a picture: {escape(name)}</button></form>\n"
    )


def _card(card: dict[str, object], secret: str) -> str:
    url = escape(str(card["url"]))
    name, board, when = (escape(str(card[key])) for key in ("name", "board", "when"))
    delete = (
        f'<form method="post" action="/gallery/delete"><input type="hidden" name="secret" value="{escape(secret)}">'
        f'<input type="hidden" name="file" value="{escape(str(card["file"]))}">'
        '<button class="delete">Delete</button></form>'
        if secret
        else ""
    )
    look = (
        f'<a href="{url}"><img src="{url}?size=320x240" width="320" height="240" loading="lazy" alt="{name}"></a>'
        if card["picture"]
        else f'<a href="{url}" class="file">{escape(str(card["kind"]))}</a>'
    )
    return (
        f'<figure data-file="{escape(str(card["file"]))}">{look}'
        f"<figcaption><b>{name}</b><br>{board or escape(str(card['from']))} · "
        f'<time datetime="{when}">{when[:19].replace("T", " ")}</time> · {escape(str(card["sizeText"]))}'
        f'<p class="note">{escape(str(card["note"]))}</p>'
        f'<div class="actions"><a href="{url}?download=1" download>Download</a>{delete}</div></figcaption></figure>\n'
    )


def boards(rows: list[list[str]], columns: list[str]) -> str:
    """The page of boards: `rows` have name, address, age and clock in front of the `columns`."""
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("board", "address", "heard", "clock", *columns))
    lines = "".join("<tr>" + "".join(f"<td>{escape(one_line(text))}</td>" for text in row) + "</tr>\n" for row in rows)
    table = f"<table><tr>{heads}</tr>\n{lines}</table>\n" if rows else '<p class="empty">No board has told yet.</p>\n'
    return template("boards.html").substitute(table=table)
