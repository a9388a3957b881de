"""Kinds of option values that several commands share."""

from __future__ import annotations

import re
from typing import Any

import click

from maixpix import texts
from maixpix.errors import UserError


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


class Plan(click.ParamType):
    """A fault plan: JSON text, or the name of a file of it. Its value is the list of entries, checked."""

    name = "PLAN"

    def convert(self, value: str | list[Any], param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        """The plan. Raises UserError for one that cannot be read or that no board can follow."""
        from virtualboard.faults import parse_plan

        if not isinstance(value, str):
            return value
        inline = value.lstrip().startswith(("[", "{"))
        text = value if inline else texts.read(value, "fault plan", "name a file, or write the JSON itself")
        try:
            return parse_plan(text)
        except ValueError as error:
            raise UserError(str(error), "see virtualboard/faults.py for how a plan is written") from None


faults_option = click.option(
    "--faults", type=Plan(), metavar="PLAN", help="Fault plan: a JSON file, or the JSON itself."
)
