"""The shared token of uploads: one comparison for every door."""

from __future__ import annotations

import hmac

from maixpix.companion.problems import Refused


def is_token(expected: str | None, given: str) -> bool:
    """Whether `given` opens the door; compared in constant time. Without an expected token everybody may enter."""
    return expected is None or hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def is_bearer(expected: str | None, authorization: str) -> bool:
    """Whether the `Authorization` header shows the token."""
    scheme, _, given = authorization.partition(" ")
    return is_token(expected, given.strip() if scheme.lower() == "bearer" else "")


def check_bearer(token: str | None, authorization: str) -> None:
    """Raise `Refused` (401) unless the `Authorization` header shows the token."""
    if not is_bearer(token, authorization):
        raise Refused(
            401, "token", "the upload token is missing or wrong", "send it as Authorization: Bearer",
            {"WWW-Authenticate": 'Bearer realm="maixpix"'},
        )  # fmt: skip
