"""One board after another at the same place, each with a telephone: what the set-up portal is tried on."""

import json
import shutil
from pathlib import Path

from rig import app_board
from rig.telephone import Telephone
from virtualboard.board import BoardConfig

PIX = Path(__file__).resolve().parents[2] / "firmware" / "pix"

PROGRAM = """
from pix import online
from pix.errors import PixError
from pix.tell import Tell, begin
settings, screen = begin()
try:
    modem = online.bring_up(settings, screen, Tell(None).stage)
    print("joined", modem.address, modem.lost or "sound", modem.own, settings.wifi[0][0])
except PixError as error:
    print("ended", error.code)
"""


class Place:
    """`place(script, settings)` runs a board until `end_s`, with the settings on its card, and gives the Outcome;
    `script(telephone)` is called before. `again`: the same board once more, with the settings on its card and the flash
    of its modem. Afterwards `phone` is the telephone, `settings` what stands on the card."""

    def __init__(self, folder):
        self._folder = folder
        self.phone = None
        self.settings = {}

    def __call__(
        self, script, settings=None, at="1.7.4", end_s=120, program=PROGRAM, answer=None, deployed=None, again=False,
        **config,
    ):  # fmt: skip
        card, flash = self._folder / "card", self._folder / "flash"
        for folder in (card, flash):
            folder.mkdir(exist_ok=True)
        pix, options = (PIX, None) if deployed is None else (deployed[0] / "pix", deployed[1])
        shutil.copytree(pix, card / "pix", dirs_exist_ok=True)
        if not again:
            (card / "pix.json").write_text(json.dumps(settings or {}))
        board = BoardConfig(card=str(card), flash_dir=str(flash), at=at, **config)
        kept = self.phone.board.modem.flash if again else None

        def watch(board, engine):
            if again:
                board.modem.flash = kept
                board.modem.enable(False)
                board.modem.enable(True)
            self.phone = Telephone(board)
            script(self.phone)

        outcome = app_board.run(board, program, answer, end_s * 1000, watch=watch, options=options)
        self.settings = json.loads((card / "pix.json").read_text())
        return outcome
