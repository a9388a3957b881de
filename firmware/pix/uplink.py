# Pictures on their way: the oldest picture of the outbox to the receiver of the setting "upload", over a network that
# is joined when it is needed (pix.tries).

import gc

from micropython import const

from pix import wifi
from pix.errors import PixError
from pix.tries import Tries
from pix.upload import Uploader

_RETRIES = const(2)


class Uplink(Tries):
    # As Tries. Its portal opens by a press of the key only: pictures collect without a network as well.
    longest_ms = 120000
    joining = {"by_itself": False}
    _sender = None
    _refused = ""  # the last name that the receiver would not take, this time

    def set_up(self):
        # Open the portal, because somebody wants it. Raises PixError.
        self._sender = None
        self.want_portal()
        self.attempt(lambda modem: None)

    def look(self):
        # Take in what the modem tells meanwhile; trouble is repaired when it is used the next time.
        if self.modem is not None:
            wifi.watch(self.modem)

    def deliver(self, modem, outbox, progress):
        # An action for `attempt`: send the oldest picture of the Outbox. progress(name, done, total) in bytes. Returns
        # (name, pix.upload.Sent), or None when there is none. A refused picture does not block those behind it.
        settings = self.settings
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
            sent = self._sender.send(
                outbox.path(name), lambda done, total: progress(name, done, total), digest=outbox.digest(name)
            )
        except PixError as error:
            outbox.know(name, "")  # should the card have kept something else, that is what can be delivered
            if error.code != "upload-refused":
                raise
            self._refused = name
            raise error.about(name)
        outbox.done(name, sent.proven)
        gc.collect()
        return name, sent
