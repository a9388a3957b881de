# Pictures on their way: a network that is joined when it is needed, and the oldest picture of the outbox to the
# receiver of the setting "upload".

import gc

from micropython import const

from pix.errors import PixError
from pix.online import Online
from pix.upload import Uploader

_RETRIES = const(2)


class Uplink(Online):
    # Parameters as those of pix.online.Online.
    def __init__(self, settings, stage, idle):
        super().__init__(settings, stage, idle)
        self._settings = settings
        self._sender = None
        self._refused = ""  # the last name that the receiver would not take, this time

    def deliver(self, modem, outbox, progress):
        # An action for `attempt`: send the oldest picture of the Outbox. progress(name, done, total) in bytes. Returns
        # (name, pix.upload.Sent), or None when there is none. A refused picture does not block those behind it.
        settings = self._settings
        if self._sender is None:
            name = settings.name or settings.board
            self._sender = Uploader(modem, settings.upload, settings.token, name, retries=_RETRIES)
        names = outbox.oldest(1, self._refused)
        if not names:
            # All that is left was refused once: begin again, after a pause.
            self._refused = ""
            waiting = outbox.waiting()
            if waiting:
                raise PixError("upload-refused", "%d pictures" % waiting)
            return None
        name = names[0]
        try:
            sent = self._sender.send(outbox.path(name), lambda done, total: progress(name, done, total))
        except PixError as error:
            if error.code == "upload-refused":
                self._refused = name
            raise
        outbox.done(name, sent.proven)
        gc.collect()
        return name, sent
