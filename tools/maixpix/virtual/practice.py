"""What a program on a virtual board finds when nobody has prepared anything: a card with `pix`, settings, a companion.

The companion runs in a process of its own, which also takes the card away again: the process of the board may be
fenced in by then (`virtualboard.fence`), and no other thread may run in it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from maixpix import output
from maixpix.errors import UserError
from maixpix.paths import board_files

WIFI = ("home", "correct horse")
PICTURE = "chelsea.jpg"


@contextlib.contextmanager
def practice(uploads: Path | None) -> Iterator[tuple[Path, str]]:
    """(card, address of the companion as the board knows it) while the context lasts; `uploads` receives pictures."""
    process = subprocess.Popen(
        [sys.executable, "-m", "maixpix.virtual.practice", *([str(uploads)] if uploads is not None else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise UserError("the companion did not start", "see above, or name a card of your own with --card")
        found = json.loads(line)
        yield Path(found["card"]), found["server"]
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def main(arguments: list[str]) -> None:
    """The companion's process: tells the card and the address in a line of JSON, and stays until stdin ends."""
    from maixpix.companion import ServeSettings, running
    from maixpix.demo.files import fill_card

    uploads = Path(arguments[0]) if arguments else None
    pictures = board_files() / "assets" / "pictures"
    with tempfile.TemporaryDirectory(prefix="maixpix-card-") as folder:
        card = Path(folder)
        fill_card(card)
        with running(ServeSettings(pictures, port=0, names=("pc",), uploads=uploads)) as server:
            address = f"http://pc:{server.port}"
            settings = {"wifi": [list(WIFI)], "server": address, "picture": PICTURE, "upload": address}
            (card / "pix.json").write_text(json.dumps(settings), "utf-8")
            output.out(json.dumps({"card": str(card), "server": address}))
            sys.stdin.read()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        output.err(error.told)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
