"""Parts that a snapshot keeps: each says itself which of its attributes make it behave as it does now."""

from __future__ import annotations


class Kept:
    """A part of the board with `state` and `restore`. Subclasses name the attributes that count in `KEPT`."""

    KEPT: tuple[str, ...] = ()

    def state(self) -> dict[str, object]:
        """Plain data (numbers, texts, bytes, and lists, tuples and dicts of them) for `restore`; no copy."""
        return {name: getattr(self, name) for name in self.KEPT}

    def restore(self, state: dict[str, object]) -> None:
        """Make the part what it was. Raises ValueError, with nothing changed, for another kind of part's state."""
        if set(state) != set(self.KEPT):
            raise ValueError(f"{type(self).__name__} keeps {', '.join(self.KEPT)}, not {', '.join(state)}")
        put_back(self, state)


def put_back(part: object, state: dict[str, object]) -> None:
    """Set attributes of `part` by name; lists and dicts are filled again in place, as others may hold on to them."""
    for name, value in state.items():
        current = getattr(part, name)
        if isinstance(current, dict):
            current.clear()
            current.update(value)  # type: ignore[call-overload]
        elif isinstance(current, list):
            current[:] = value  # type: ignore[call-overload]
        else:
            setattr(part, name, value)
