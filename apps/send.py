# send: send files of the card to the receiver of the setting "upload".
#
# The setting "send" names files, folders or patterns ("DCIM/*.jpg photo.jpg logs"), separated by spaces and below /sd
# unless they begin with "/"; within each, the oldest files go first (pix.pick). A file that has arrived is noted beside
# it and not sent again until it changes; pictures of the outbox leave it.

from pix import wifi
from pix.errors import PixError
from pix.files import OUTBOX
from pix.log import Log
from pix.outbox import Outbox
from pix.pick import paths
from pix.start import once
from pix.tell import Tell, begin
from pix.upload import Uploader


def send_all(settings, screen, modem):
    # Returns how many files could not be sent. Raises PixError when it makes no sense to go on.
    sender = Uploader(modem, settings.upload, settings.token, settings.name or settings.board)
    outbox = Outbox(reserve_kb=settings.reserve_kb)
    log = Log()
    failed = 0
    for path in paths(settings.send):
        screen.stage(path)
        try:
            sent = sender.send(path, screen.progress)
        except PixError as error:
            # A file that is refused is no reason to keep the others.
            if error.code not in ("upload-refused", "card-error"):
                raise
            error = error.about(path)
            print("error", error.line)
            log.error(error)
            failed += 1
            continue
        rate = sent.bytes * 1000 // max(1, sent.elapsed_ms)
        how = "had been sent" if not sent.attempts else "safe" if sent.proven else "sent"
        print("%s %s %d bytes, %d bytes/s" % (how, path, sent.bytes, rate))
        if path[: len(OUTBOX) + 1] == OUTBOX + "/":
            outbox.done(path[len(OUTBOX) + 1 :], sent.proven)
    return failed


def main():
    settings, screen = begin()
    if not settings.upload:
        raise PixError("settings", "upload is not set")
    failed = send_all(settings, screen, wifi.bring_up(settings, Tell(None).stage))
    screen.stage("all sent" if not failed else "%d not sent" % failed)
    print("done, %d not sent" % failed)
    return 1 if failed else 0


if __name__ == "__main__":
    once(main)
