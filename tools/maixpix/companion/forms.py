"""Forms of our own pages, read within a time: a body that never comes must not hold a handler."""

from __future__ import annotations

import asyncio

from aiohttp import web

from maixpix.companion.problems import Refused


async def read_form(request: web.Request, limit_s: float) -> dict[str, str]:
    """The text fields of a posted form. Raises `Refused` (408) when it is not there within `limit_s`."""
    if request.content_type.startswith("multipart/"):
        # Our pages send none, and its parts may each be packed.
        raise Refused(415, "form", "forms in parts are not taken", "send application/x-www-form-urlencoded")
    try:
        form = await asyncio.wait_for(request.post(), limit_s)
    except (asyncio.TimeoutError, TimeoutError):
        raise Refused(408, "form-slow", "the rest of the form did not come", "send it again") from None
    except (ValueError, LookupError):  # LookupError: of a charset that is none
        raise Refused(400, "form", "the form cannot be read", "reload the page") from None
    return {name: value for name, value in form.items() if isinstance(value, str)}
