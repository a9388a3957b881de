"""Names on the card: 8.3, lower case, at most 50 files a folder, and the same ones at every run.

MaixPy looks through a folder entry by entry, and a long name takes several entries, so both cost time at each open.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

MOST_IN_FOLDER = 50
MOST_FOLDERS = 1000


class CardNames:
    """Gives out paths. `known` are those of earlier runs by the key of what lies there: they are kept."""

    def __init__(self, known: Mapping[str, str], keys: Iterable[str]) -> None:
        wanted = set(keys)
        self._known = {key: path for key, path in known.items() if key in wanted}
        self._taken = set(self._known.values())
        self._files = Counter(path.rpartition("/")[0] for path in self._taken)

    def path(self, key: str, folder: str, name: str, suffix: str) -> str:
        """A path in `folder`, or in numbered folders below it when it is full, for something called `name`."""
        known = self._known.get(key, "")
        if known.startswith(folder + "/") and known.endswith(suffix):
            return known
        place = self._place(folder)
        stem = _stem(name)
        for number in range(1, 10 * MOST_IN_FOLDER * MOST_FOLDERS):
            mark = "" if number == 1 else str(number)
            path = f"{place}/{stem[: 8 - len(mark)]}{mark}{suffix}"
            if path not in self._taken:
                self._taken.add(path)
                self._files[place] += 1
                return path
        raise ValueError(f"no name is left for {name}")

    def _place(self, folder: str) -> str:
        if self._files[folder] < MOST_IN_FOLDER:
            return folder
        below = (f"{folder}/{number:03}" for number in range(1, MOST_FOLDERS))
        return next(place for place in below if self._files[place] < MOST_IN_FOLDER)


def _stem(name: str) -> str:
    """Up to eight characters of `name` without its suffix that FAT takes as they are."""
    plain = unicodedata.normalize("NFKD", name.rpartition(".")[0] or name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "_", plain).strip("_")[:8] or "file"
