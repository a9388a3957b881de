"""Refusals: every request that cannot be served ends in one line with cause and remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maixpix.text import one_line

if TYPE_CHECKING:
    from aiohttp import web


class Refused(Exception):
    """A request that is answered with an error.

    `status` is the HTTP status, `code` a short machine word, `cause` and `remedy` one sentence each. `is_once` is set
    where the way in which a picture was wanted may be to blame: wanted otherwise, it may come out well.
    """

    def __init__(
        self,
        status: int,
        code: str,
        cause: str,
        remedy: str,
        headers: dict[str, str] | None = None,
        is_once: bool = False,
    ) -> None:
        super().__init__(cause)
        self.status = status
        self.code = code
        self.cause = one_line(cause)
        self.remedy = one_line(remedy)
        self.headers = headers or {}
        self.is_once = is_once

    @property
    def line(self) -> str:
        return f"{self.cause}; {self.remedy}"

    def response(self, request: web.BaseRequest) -> web.Response:
        """The refusal as JSON for programs that ask for it, else as one line of text."""
        from aiohttp import web  # decoders refuse too, and need no HTTP server for it

        headers = {"Cache-Control": "no-store", **self.headers}
        if "application/json" in request.headers.get("Accept", ""):
            body = {"error": self.code, "cause": self.cause, "remedy": self.remedy}
            return web.json_response(body, status=self.status, headers=headers)
        return web.Response(text=self.line + "\n", status=self.status, headers=headers)
