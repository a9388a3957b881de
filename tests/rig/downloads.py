"""Options of the command line as the library takes them, for tests that run both ways."""

from __future__ import annotations

from maixpix.download import Options


def options_of(words: tuple[str, ...]) -> Options:
    """The `Options` that the words of a command line mean."""
    found: dict[str, object] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        match name:
            case "--parts" | "--retries":
                found[name.removeprefix("--")] = int(value)
            case "--idle":
                found["idle_s"] = float(value.removesuffix("s"))
            case "--sha256":
                found["sha256"] = value
    return Options(**found)
