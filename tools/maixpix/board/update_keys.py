"""The secrets by which boards take new software through the air: one for each board, on this machine and on the board.

They lie in one file that only its owner can read, `update-keys.json` in maixpix's folder of the user's settings
(`MAIXPIX_UPDATE_KEYS` names another), by the board's name: {"desk": "<64 hexadecimal digits>"}.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from pathlib import Path

from maixpix.errors import UserError

VARIABLE = "MAIXPIX_UPDATE_KEYS"

_KEY = re.compile(r"[0-9a-f]{64}")


def path() -> Path:
    """The file's place."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME") or (os.environ.get("APPDATA") if os.name == "nt" else None)
    return (Path(base) if base else Path.home() / ".config") / "maixpix" / "update-keys.json"


def keys() -> dict[str, bytes]:
    """Name -> secret of every board. Raises UserError for a file that cannot be read."""
    place = path()
    try:
        found = json.loads(place.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{place} cannot be read ({error})", "repair or remove it, then deploy once more") from None
    if not isinstance(found, dict) or not all(isinstance(key, str) and _KEY.fullmatch(key) for key in found.values()):
        raise UserError(f"{place} is no file of maixpix", "repair or remove it, then deploy once more")
    return {name: bytes.fromhex(key) for name, key in found.items()}


def make(name: str) -> str:
    """The secret of the board `name` as hexadecimal digits, made now if it has none. Raises UserError."""
    known = keys()
    if name not in known:
        known[name] = secrets.token_bytes(32)
        _write({each: key.hex() for each, key in known.items()})
    return known[name].hex()


def follow(name: str, key: str) -> str:
    """Let the board that has the secret `key` be known as `name`, too; a warning when it cannot be, else "".

    The old name stays: the board goes by it until it has its new settings. Raises UserError.
    """
    known = keys()
    remedy = f"its updates need another secret: maixpix deploy --update (board {name})"
    if name in known:
        return "" if known[name].hex() == key else f"another board has the name {name}; {remedy}"
    if key not in [each.hex() for each in known.values()]:
        return f"the board's secret was not made on this machine; where it was, {remedy}"
    known[name] = bytes.fromhex(key)
    _write({each: secret.hex() for each, secret in known.items()})
    return ""


def _write(known: dict[str, str]) -> None:
    place = path()
    new = place.with_name(place.name + ".new")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(known, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        new.replace(place)
    except OSError as error:
        raise UserError(f"{place} cannot be written ({error.strerror})", f"name another one by {VARIABLE}") from None
