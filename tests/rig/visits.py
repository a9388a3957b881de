"""Guests of a board's pages, one after the other, in virtual time: what they ask may follow from what they heard."""

import base64
import io
import re

from PIL import Image

from rig.web_bench import PORT, Client, multipart, post
from virtualboard.clock import MS

KEY = "t0ken word"
LOGIN = "Authorization: Basic " + base64.b64encode(f"me:{KEY}".encode()).decode()


class Guest(Client):
    """A browser that tells `done` when its link is closed."""

    def __init__(self, request, done):
        super().__init__(request)
        self._done = done

    def finished(self):
        super().finished()
        self._done(self)


class Visit:
    """What one guest after the other has heard: `ask(heard)` yields requests, or numbers for pauses in ms."""

    def __init__(self, ask):
        self.heard = []
        self._ask = ask(self.heard)
        self._network = None

    def watch(self, board, engine):
        """For rig.app_board.run: the first guest comes as soon as the board listens."""
        self._network = board.network
        board.network.listen_on = None
        board.network.on_listen = lambda port, there: board.clock.after(0, self._next)

    def _next(self, guest=None):
        if guest is not None:
            self.heard.append(guest)
        step = next(self._ask, None)
        if isinstance(step, int):
            self._network.clock.after(step * MS, self._next)
        elif step is not None:
            assert self._network.call(PORT, Guest(step, self._next))


def token(guest):
    return re.search(rb'name="csrf" value="(\w+)"', guest.body).group(1).decode()


def press(guest, button):
    """The request of the page's button."""
    return post("/do", f"csrf={token(guest)}&do={button}".encode(), LOGIN)


def picture(colour):
    out = io.BytesIO()
    Image.new("RGB", (320, 240), colour).save(out, "JPEG")
    return out.getvalue()


def upload(guest, name, data):
    """The request of the page's form for a picture."""
    body, kind = multipart(("csrf", token(guest)), ("photo", name, data))
    return post("/upload", body, LOGIN, kind=kind)
