"""Addresses among the board's settings: completed as people mean them, and checked by the board's own code.

The board has no IDNA: a host name beyond ASCII is written in its ASCII form (punycode) here. All else is judged by
firmware/pix/url.py, and what it refuses is told with the right form beside it.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import idna

from maixpix.board import device_code
from maixpix.errors import UserError
from virtualboard.models import MODELS

NAMES = ("server", "picture", "upload", "command")
"""The settings that are, or may be, addresses."""

EXAMPLE = "http://192.168.1.10:8000"
_HOST = re.compile(r"(?:^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?)(?P<host>[^/?#:@\[\]]+)")
_LISTENER = re.compile(r"^(?P<host>[^/?#:@\[\]]+):\d*$")
_HALF_A_SCHEME = re.compile(r"^(?i:https?|tcp)(?::/?|/{1,2})(?!/)")
_FILES = "/files/"


def complete(name: str, value: str) -> str:
    """The setting `name` as the board wants it: without blanks around it, its host name in ASCII.

    Raises UserError for a host name that has no such form.
    """
    if name not in NAMES:
        return value
    value = value.strip()
    found = _HOST.match(value) or (_LISTENER.match(value) if name == "upload" else None)
    if found is None or found["host"].isascii():
        return value
    try:
        host = idna.encode(found["host"], uts46=True).decode("ascii")
    except idna.IDNAError:
        raise UserError(f"setting {name}: no host can be called {found['host']}", "check its spelling") from None
    return value[: found.start("host")] + host + value[found.end("host") :]


def check(values: Mapping[str, Any]) -> None:
    """Raise UserError for an address in `values` that the board would refuse, with the right form in the remedy."""
    url = device_code.load("url")
    server = values.get("server") or ""
    if server:
        # The very address that the board would make of it: the picture's name goes behind it.
        wanted = types.SimpleNamespace(server=server, picture="x.jpg", fit="fit", format="jpeg")
        _ask("server", server, lambda: url.picture_url(wanted, types.SimpleNamespace(width=1, height=1)))
    picture = values.get("picture") or ""
    if "://" in picture:
        if picture[:6].lower() == "https:":
            raise _no_tls(values, picture)
        _ask("picture", picture, lambda: url.parse(picture))
    if values.get("command"):
        _ask("command", values["command"], lambda: url.parse(values["command"]))
    if values.get("upload"):
        _check_upload(values, server)


def _check_upload(values: Mapping[str, Any], server: str) -> None:
    url = device_code.load("url")
    text = values["upload"]
    scheme, where = _ask("upload", text, lambda: url.upload_target(text))
    if server:
        home = url.parse(server)
        right = f"http://{home.authority()}{_FILES}"
        if home.same_origin(where) and (scheme != "http" or not where.target.startswith(_FILES)):
            what = "takes no plain TCP" if scheme != "http" else f"takes no uploads at {where.target}"
            raise UserError(f"setting upload: the server of the settings {what}", f"use {right}")
    if scheme == "tcp" and values.get("token"):
        named = f"tcp+name://{where.host}:{where.port}"
        raise UserError("setting upload: tcp:// cannot carry the token", f"use {named}, or the server's {_FILES}")


def _ask(name: str, text: str, question: Any) -> Any:
    """The answer of the board's code to `question` about setting `name`; its refusal as a UserError."""
    try:
        return question()
    except device_code.load("errors").PixError as error:
        if error.code == "https":
            raise UserError(
                f"setting {name}: the board's modem has no usable TLS", f"use http://, for example {EXAMPLE}"
            ) from None
        raise UserError(f"setting {name} is no http:// address: {error.detail}", _remedy(name, text)) from None


def _remedy(name: str, text: str) -> str:
    """How the address `text`, which the board refuses, could be written right."""
    shown = device_code.load("url").public(text)
    if "://" not in text:
        guess = f"http://{_HALF_A_SCHEME.sub('', shown).lstrip('/')}"
        try:
            device_code.load("url").parse(guess)
        except device_code.load("errors").PixError:
            guess = EXAMPLE
        more = " (the companion), or host:port (a plain TCP listener)" if name == "upload" else ""
        return f"write {guess}{more}"
    if "[" in shown:
        return f"use the IPv4 address of that computer, for example {EXAMPLE}"
    ending = _FILES if name == "upload" else ""
    return f"write it as {EXAMPLE}{ending}"


def _no_tls(values: Mapping[str, Any], picture: str) -> UserError:
    """An https picture: the companion can fetch it, by this address."""
    server = (values.get("server") or EXAMPLE).rstrip("/")
    size = MODELS[values["board"]] if values.get("board") in MODELS else MODELS["dock"]
    wanted = quote(device_code.load("url").public(picture), safe="")
    address = f"{server}/fetch?url={wanted}&size={size.panel_width}x{size.panel_height}"
    return UserError(
        "setting picture: the board's modem has no usable TLS for https://",
        f"let the companion fetch it: `maixpix serve --allow-fetch`, --picture '{address}'",
    )
