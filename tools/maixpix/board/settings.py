"""The board's settings file (pix.json) on the host: read, checked, merged, masked.

The board's own table of settings (firmware/pix/config.py, KEYS) is the only one; it is read from there without
running it. Secrets never leave this module except into the file itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from maixpix.board import bundle, device_tables
from maixpix.board.places import Place
from maixpix.errors import UserError

FILE = "pix.json"
MAX_FILE = 4096
"""Bytes the board reads; a larger file is refused there (firmware/pix/config.py)."""

_SSID_BYTES = 32


_LOGIN = re.compile(r"(//)([^/?#\s]*)@")


def keys(root: Path | None = None) -> dict[str, tuple[Any, Any]]:
    """Name -> (default, kind), as the board's KEYS has them."""
    return dict(device_tables.constant("config.py", "KEYS", root))


def board_names() -> list[str]:
    """The boards that the device code knows."""
    return list(keys()["board"][1])


def parse(data: bytes, where: str) -> dict[str, Any]:
    """The settings in `data`. Raises UserError when it is no JSON object; its contents are never quoted."""
    try:
        values = json.loads(data.decode("utf-8"))
    except (ValueError, UnicodeDecodeError):
        raise UserError(f"{where} is no whole JSON", "repair or remove it, then run the command again") from None
    if not isinstance(values, dict):
        raise UserError(f"{where} is no JSON object", "repair or remove it, then run the command again")
    return values


def dump(values: Mapping[str, Any]) -> bytes:
    """The file's bytes: one setting a line, at most 4096 bytes."""
    lines = [f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
    data = ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8")
    if len(data) > MAX_FILE:
        raise UserError(f"the settings take {len(data)} bytes, the board reads {MAX_FILE}", "remove some networks")
    return data


def check(values: Mapping[str, Any], known: Mapping[str, tuple[Any, Any]] | None = None) -> list[str]:
    """Refuse what the board would refuse (UserError names the setting, never its value); returns unknown names."""
    known = keys() if known is None else known
    unknown = []
    for name, value in values.items():
        if name not in known:
            unknown.append(name)
            continue
        wrong = _wrong(known[name][1], value)
        if wrong:
            raise UserError(f"setting {name} {wrong}", "correct it with `maixpix setup`")
    for entry in values.get("wifi", []):
        check_network(entry[0], entry[1])
    if values.get("server"):
        check_server(values["server"])
    return unknown


def check_network(ssid: str, key: str) -> None:
    """Raise UserError for a name or key that Wi-Fi itself cannot have."""
    if not 1 <= len(ssid.encode("utf-8")) <= _SSID_BYTES:
        raise UserError(f"a network's name has 1 to {_SSID_BYTES} bytes", "check the name")
    if key and not 8 <= len(key.encode("utf-8")) <= 64:
        raise UserError(f"the key of {ssid} has not 8 to 63 characters", "check the key")


def check_server(url: str) -> None:
    """Raise UserError unless `url` is an http address the board can use."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UserError("the server is no http:// address", "for example http://192.168.1.10:8000") from None
    if parts.scheme == "https":
        raise UserError("the board's modem has no usable TLS", "use http:// and the address of `maixpix serve`")
    if parts.scheme != "http" or not parts.hostname:
        raise UserError("the server is no http:// address", "for example http://192.168.1.10:8000")


def networks(values: Mapping[str, Any]) -> list[list[str]]:
    """The networks in `values`, [name, key] each. Raises UserError when they are no such list."""
    found = values.get("wifi", [])
    wrong = _wrong("networks", found)
    if wrong:
        raise UserError(f"setting wifi {wrong}", f"correct it in {FILE}, or remove that file")
    return [list(entry) for entry in found]


def forget(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """`values` without the networks `names`. Raises UserError when one of them is not there."""
    if not names:
        return dict(values)
    present = [entry[0] for entry in networks(values)]
    for name in names:
        if name not in present:
            known = ", ".join(present) or "none"
            raise UserError(f"there is no network {name} in the settings", f"networks are: {known}")
    return {**values, "wifi": [entry for entry in networks(values) if entry[0] not in names]}


def merge(old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`old` with `changes`; unknown settings stay. Networks are put first, in order, replacing those of equal name."""
    result = dict(old)
    for name, value in changes.items():
        if name == "wifi":
            named = {entry[0] for entry in value}
            result["wifi"] = [list(entry) for entry in value] + [e for e in networks(old) if e[0] not in named]
        else:
            result[name] = value
    return result


def mask(values: Mapping[str, Any], known: Mapping[str, tuple[Any, Any]] | None = None) -> list[str]:
    """One line a setting, secrets only as "set"; unknown settings by name alone, since they may be secret."""
    known = keys() if known is None else known
    lines = []
    for name in sorted(values):
        value = values[name]
        kind = known.get(name, (None, None))[1]
        wrong = _wrong(kind, value) if kind is not None else None
        if wrong:
            shown = f"({wrong})"
        elif kind == "networks":
            shown = ", ".join(f"{ssid} ({'key set' if key else 'open'})" for ssid, key in value) or "none"
        elif kind == "secret":
            shown = "set" if value else "not set"
        elif kind is None:
            shown = "(unknown to this version, kept)"
        else:
            shown = hide_login(str(value))
        lines.append(f"{name}: {shown}")
    return lines


def hide_login(text: str) -> str:
    """`text` with the user and password of the address in it, if any, as "***"."""
    return _LOGIN.sub(r"\1***@", text)


def login(text: str) -> tuple[str, str | None] | None:
    """(user, password or None) in the address `text`; None where it has neither."""
    found = _LOGIN.search(text)
    if found is None:
        return None
    user, colon, password = found[2].partition(":")
    return user, password if colon else None


def with_password(text: str, password: str) -> str:
    """The address `text`, which has a user, with `password` (as typed) behind it."""
    return _LOGIN.sub(lambda found: f"{found[1]}{found[2]}:{quote(password, safe='')}@", text, count=1)


def read(place: Place) -> dict[str, Any]:
    """The settings on `place`; {} when it has none."""
    data = place.read(FILE)
    return {} if data is None else parse(data, f"{FILE} on {place.name}")


def write(place: Place, values: Mapping[str, Any]) -> None:
    """Check and replace the settings on `place`; the old file stays until the new one is there and whole."""
    check(values)
    data = dump(values)
    if place.read(FILE) == data:
        return
    place.write("pix.new", data)
    if place.read("pix.new") != data:
        place.remove("pix.new")
        raise UserError(f"the settings did not arrive whole on {place.name}", "run the command again")
    place.rename("pix.new", FILE)


def from_text(name: str, text: str, known: Mapping[str, tuple[Any, Any]] | None = None) -> Any:
    """The value of setting `name` given as text on a command line. Raises UserError for an unknown or bad one."""
    known = keys() if known is None else known
    if name not in known:
        raise UserError(f"there is no setting {name}", "settings are: " + ", ".join(sorted(known)))
    kind = known[name][1]
    if kind in ("networks", "secret"):
        raise UserError(f"{name} is secret and not given on a command line", "run `maixpix setup` without it")
    if kind == "text" and (login(text) or ("", None))[1] is not None:
        raise UserError(
            f"a password in setting {name} would be seen by every program", "leave out :PASSWORD, it is asked then"
        )
    if name == "app":
        bundle.check_app(text)
    value: Any = text
    if isinstance(kind, tuple) and kind and isinstance(kind[0], int):
        try:
            value = int(text)
        except ValueError:
            raise UserError(f"setting {name} must be a whole number", "for example 1") from None
    wrong = _wrong(kind, value)
    if wrong:
        raise UserError(f"setting {name} {wrong}", "correct it")
    return value


def _wrong(kind: Any, value: Any) -> str | None:
    """What is wrong with `value`, as the end of a sentence; the same rules as the board's."""
    if kind == "networks":
        good = isinstance(value, list) and all(
            isinstance(entry, list) and len(entry) == 2 and all(isinstance(text, str) for text in entry)
            for entry in value
        )
        return None if good else "must be a list of [name, key] pairs"
    if kind in ("text", "secret"):
        return None if isinstance(value, str) else "must be a text"
    if isinstance(kind[0], int):
        if isinstance(value, bool) or not isinstance(value, int):
            return "must be a whole number"
        return None if kind[0] <= value <= kind[1] else f"must be from {kind[0]} to {kind[1]}"
    return None if value in kind else "must be one of " + ", ".join(kind)
