"""The shared token of uploads: one comparison for every door."""

from __future__ import annotations

import hmac

from maixpix.companion.problems import Refused


def is_token(expected: str | None, given: str) -> bool:
    """Whether `given` opens the door; compared in constant time. Without an expected token everybody may enter."""
    return expected is None or hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def check_bearer(token: str | None, authorization: str) -> None:
    """Raise `Refused` (401) unless the `Authorization` header shows the token."""
    scheme, _, given = authorization.partition(" ")
    if not is_token(token, given.strip() if scheme.lower() == "bearer" else ""):
        raise Refused(
            401, "token", "the upload token is missing or wrong", "send it as Authorization: Bearer",
            {"WWW-Authenticate": 'Bearer realm="maixpix"'},
        )  # fmt: skip
