"""The board's settings file (pix.json) on the host: read, checked, merged, masked.

What the board would refuse is found by the board's own code (firmware/pix/config.py and url.py, run here through
`device_code`), so that both always agree. Secrets never leave this module except into the file itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

from maixpix import texts
from maixpix.board import addresses, device_code
from maixpix.board.places import Place
from maixpix.errors import UserError

FILE = "pix.json"
MAX_FILE = 4096
"""Bytes the board reads; a larger file is refused there (firmware/pix/config.py)."""

_LOGIN = re.compile(r"(//)([^/?#\s]*)@")
_HOST_LIKE = re.compile(r"(\d+\.\d+\.\d+\.\d+|www\.[\w.-]+|[\w.-]+:\d+)/|(?i:https?|data|file):(?!//)|[A-Za-z]:\\")
_REPAIR = "repair or remove it, then run the command again"


def keys() -> dict[str, tuple[Any, Any]]:
    """Name -> (default, kind), as the board's KEYS has them."""
    return dict(device_code.load("config").KEYS)


def board_names() -> list[str]:
    """The boards that the device code knows."""
    return list(keys()["board"][1])


def parse(data: bytes, where: str) -> dict[str, Any]:
    """The settings in `data`, in any encoding that a person's editor may have chosen.

    Raises UserError when it is no JSON object; its contents are never quoted.
    """
    values = texts.parse_json(texts.decode(data, where), where, _REPAIR)
    if not isinstance(values, dict):
        raise UserError(f"{where} is no JSON object", _REPAIR)
    return values


def parse_as_board(data: bytes, where: str) -> dict[str, Any]:
    """The settings in `data` as the board itself reads them. Raises UserError where it would refuse them."""
    try:
        return device_code.load("config").parse(data, where)
    except device_code.load("errors").PixError as error:
        cause = error.detail
    parse(data, where)  # where this fails too, it tells more
    raise UserError(f"{cause} as the board reads it", "any `maixpix setup` writes it anew, in UTF-8")


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
    addresses.check(values)
    return unknown


def check_network(ssid: str, key: str) -> None:
    """Raise UserError for a name or key that the board would refuse."""
    fault = device_code.load("config").network_fault(ssid, key)
    if fault:
        raise UserError(fault, "check name and key")


def notes(values: Mapping[str, Any]) -> list[str]:
    """What in `values` the board takes, but is perhaps not meant so."""
    by_modem = device_code.load("config").WPS
    odd = [(name, len(key)) for name, key in networks(values) if 0 < len(key) < 8 and key != by_modem]
    found = [f"the key of {name} has {count} characters: WEP has keys of 5, WPA of 8 to 63" for name, count in odd]
    for name, key in networks(values):
        if not key.isprintable():
            found.append(f"the key of {name} holds a character that cannot be seen")
    picture = values.get("picture", "")
    if isinstance(picture, str) and _HOST_LIKE.match(picture):
        found.append(f"picture {hide_login(picture)} is a name on the server; an address begins with http://")
    return found


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
            words = {"": "open", device_code.load("config").WPS: "key in the modem, by WPS"}
            shown = ", ".join(f"{ssid} ({words.get(key, 'key set')})" for ssid, key in value) or "none"
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
    value: Any = text
    if isinstance(kind, tuple) and kind and isinstance(kind[0], int):
        try:
            value = int(text)
        except ValueError:
            raise UserError(f"setting {name} must be a whole number", "for example 1") from None
    wrong = _wrong(kind, value)
    if wrong:
        raise UserError(f"setting {name} {wrong}", "correct it")
    if isinstance(value, str):
        value = addresses.complete(name, value)
        addresses.check({name: value})
    return value


def _wrong(kind: Any, value: Any) -> str | None:
    """What is wrong with `value`, as the end of a sentence; the board's own rules."""
    return device_code.load("config").wrong(kind, value)
