"""Kinds of option values that several commands share."""

from __future__ import annotations

import re

import click


class Size(click.ParamType):
    """WIDTHxHEIGHT in pixels."""

    name = "WxH"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """The size as (width, height); fails with a sentence that says what one looks like."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", value)
        if not match:
            self.fail(f"{value!r} is no size; write for example 320x240", param, ctx)
        return int(match[1]), int(match[2])


SIZE = Size()
