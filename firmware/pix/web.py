# A web service of the board's own, behind the module's server (AT+CIPSERVER): routes, handlers, a little at a time.
#
#     app = Web()
#
#     @app.get("/")
#     def index(request):
#         return "<h1>Hello</h1>"
#
#     app.start(modem)
#     while True:
#         app.poll()          # beside other work: up to 20 ms of it
#     app.serve()             # or: nothing else
#
# One request a link, which is closed after the answer. A handler returns what pix.webres takes, and raises WebError for
# another status. What else it raises is logged and answered with 500 (503 when memory is short): the service goes on.
#
# Longer than 350 lines: who is served in a slice depends on all that the service knows of its clients and the module.

import gc

import uos
import utime
from micropython import const

from pix.atport import after, left
from pix.errors import PixError
from pix.files import card_answers
from pix.webconn import Conn
from pix.webgate import Gate
from pix.webreq import WebError

_SLICE_MS = const(20)
_CLIENTS = const(4)  # of five links, so that one stays for what the board itself fetches
_SEGMENT = const(1460)
_COMMAND_MS = const(3)  # what a CIPSENDBUF takes besides its payload at least
_SLOW_COMMAND_MS = const(5)  # and where the module has something else to say
_LONG_MS = const(11)  # no handler begins, and no link is closed, with less than that left of a slice
_LISTEN_AGAIN_MS = const(5000)
_ABSENT_MS = const(300)
_REPAIR_MS = const(2000)
_LONGEST_REPAIR_MS = const(60000)
_EPISODE_MS = const(2000)
_QUIET = const(512)  # bytes: with more in the ring, commands wait, for what comes before their answers must be kept
_AUDIT_MS = const(10000)  # how often the module is asked which links are open


class Web:
    # `port` of the service; `key`, `csrf` and `any_host` as pix.webgate.Gate has them; `log` has error(exception), such
    # as pix.log.Log; `clock()` tells the seconds since 1970 (UTC), 0 while unknown.
    def __init__(self, port=80, key="", csrf=False, any_host=False, log=None, clock=None):
        self.port = port
        self.gate = Gate(key, csrf, any_host)
        self.clock = clock
        self.modem = None
        self.clients = _CLIENTS
        self.local = ""  # URL with the board's name
        self.served = 0  # requests that were answered
        self.failures = 0  # of handlers
        self.view = memoryview(bytearray(_SEGMENT))  # what is being read or sent, of whichever link
        self._log = log
        self._name = ""
        self._routes = []
        self._pages = {}  # status -> handler of errors
        self._conns = []
        self._turn = 0
        self._noted = "", 0  # the last PixError's code, and when
        self._doubted = False  # something went wrong that a lost card explains
        self._generation = -1
        self._again_at = 0
        self._pause_ms = _REPAIR_MS
        self._polled_at = utime.ticks_ms()
        self._damages = 0
        self._audit_at = 0

    # -- routes -------------------------------------------------------------------------------------------

    def route(self, pattern, methods=("GET",), **options):
        # A decorator: the function answers requests for `pattern`, a path in which <name> stands for one part,
        # <int:name> for a number and, at its end, <path:name> for everything; a request has them in `params`, and the
        # function gets them as arguments. Options: save(request, field, filename, kind) gives the pix.webform.Saved for
        # a file of a form; stream=True calls the function before the body is read, which request.stream then gives;
        # most=N takes other bodies of up to N bytes (8192).
        def note(function):
            self._routes.append((methods, pattern.split("/"), function, options))
            return function

        return note

    def get(self, pattern, **options):
        # `route` for GET, which HEAD shares.
        return self.route(pattern, ("GET",), **options)

    def post(self, pattern, **options):
        # `route` for POST.
        return self.route(pattern, ("POST",), **options)

    def errorhandler(self, status):
        # A decorator: the function makes the answer for an error of that status, from (request, WebError).
        def note(function):
            self._pages[status] = function
            return function

        return note

    def find(self, request):
        # (function, options) for `request`, whose `params` are set. Raises WebError 404 or 405.
        parts = request.path.split("/")
        allowed = []
        for methods, pattern, function, options in self._routes:
            params = _match(pattern, parts)
            if params is None:
                continue
            if request.method in methods or (request.method == "HEAD" and "GET" in methods):
                request.params = params
                return function, options
            allowed += [method for method in methods if method not in allowed]
        if allowed:
            if "GET" in allowed:
                allowed.append("HEAD")
            raise WebError(405, "That cannot be done here.", (("Allow", ", ".join(allowed)),))
        raise WebError(404, "There is nothing at this address.")

    def page_of(self, error):
        # The function that makes the answer for the WebError, None where there is none.
        return self._pages.get(error.code)

    # -- running ------------------------------------------------------------------------------------------

    def start(self, modem, name=""):
        # Serve through `modem`, a pix.espat.Modem, and return the URL. `name` is told to the network as <name>.local,
        # where the module can do that; `local` has that URL then. Raises PixError.
        self.modem = modem
        modem.make_room = self._make_room
        self._name = "".join([c for c in name.lower() if "a" <= c <= "z" or "0" <= c <= "9" or c == "-"])[:32]
        self._listen()
        return self._url(modem.address)

    def _url(self, host):
        return "http://%s/" % host if self.port == 80 else "http://%s:%d/" % (host, self.port)

    def stop(self):
        # Close the service and every link of it.
        for conn in list(self._conns):
            self._over(conn)
        modem = self.modem
        self.modem = None
        if modem is not None:
            modem.make_room = None
            if not modem.lost and modem.generation == self._generation:
                modem.unlisten()

    @property
    def busy(self):
        # How many links are open.
        return len(self._conns)

    def poll(self, slice_ms=_SLICE_MS):
        # Do what can be done within `slice_ms` and return; at once when there is nothing. A handler takes as long as it
        # takes. Trouble with the modem is left to whoever uses it next; see `repair`. Never raises PixError.
        modem = self.modem
        if modem is None:
            return
        end = after(slice_ms)
        self._put_off()
        try:
            if modem.lost or modem.generation != self._generation:
                self._come_back()
                return
            self._slice(modem, end)
        except PixError as error:
            # The modem itself: its links have been told, and drop out one by one.
            self.note(error)
        except MemoryError as error:
            gc.collect()
            self.note(error)

    def serve(self, until=None):
        # Nothing but serving, until the function `until` says true. Repairs a lost network by itself.
        # Raises PixError "no-card", see `look_at_card`.
        while until is None or not until():
            modem = self.modem
            if modem is None:
                return
            if modem.lost:
                self.repair()
            self.poll(100)
            self.look_at_card()
            if not self._conns:
                modem.poll()  # waits for a character timeout

    def repair(self):
        # Bring a lost network or module back, if it is time to try; may take half a minute. For apps that have no other
        # use of the modem.
        modem = self.modem
        if not modem.lost or modem.repair is None or left(self._again_at) > 0:
            return
        try:
            modem.repair()
            self._pause_ms = _REPAIR_MS
            self._listen()
        except PixError as error:
            self.note(error)
            self._again_at = after(self._pause_ms)
            self._pause_ms = min(2 * self._pause_ms, _LONGEST_REPAIR_MS)

    def look_at_card(self):
        # Raises PixError "no-card" when something went wrong since the last call and the card is gone: without it the
        # pages would answer 500 for ever, the card back in its slot or not (pix.start mounts it anew).
        if self._doubted:
            self._doubted = False
            if "sd" in uos.listdir("/") and not card_answers():
                raise PixError("no-card")

    def note(self, error):
        # Log an exception. What breaks several links at once is told once.
        now = utime.ticks_ms()
        code = getattr(error, "code", "")
        # What is no PixError may be a module that went with its card.
        self._doubted = self._doubted or code in ("", "no-card", "card-error")
        again = code and code == self._noted[0] and utime.ticks_diff(now, self._noted[1]) < _EPISODE_MS
        self._noted = code, now
        if again:
            return
        if self._log is not None:
            self._log.error(error)
        else:
            print("web", error)

    def _listen(self):
        modem = self.modem
        for conn in list(self._conns):
            self._over(conn)
        self._again_at = after(_LISTEN_AGAIN_MS)
        modem.listen(self.port, self._accept, self.clients)
        told = self._name and modem.announce(self._name, self.port)
        self.local = self._url(self._name + ".local") if told else ""
        self._generation = modem.generation
        self._damages = modem.damages
        self._audit_at = after(_AUDIT_MS)

    def _audit(self, modem):
        # A CONNECT or CLOSED may have been lost: have the module tell its links, close those that nobody owns, and give
        # up those that are not there.
        self._damages = modem.damages
        self._audit_at = after(_AUDIT_MS)
        there = modem.open_links()
        for conn in list(self._conns):
            if not conn.among(there):
                self._over(conn)
        for number in there:
            if modem.links[number] is None:
                modem.stale[number] = True
        modem.close_stale()

    def _come_back(self):
        # After a restart of the module nobody listens.
        for conn in list(self._conns):
            self._over(conn)
        modem = self.modem
        while modem.uart.any():
            modem.poll()
        if not modem.lost and modem.generation != self._generation and left(self._again_at) <= 0:
            self._listen()

    def _put_off(self):
        # While a handler or the app itself took long, nobody could be served: clients are not charged with that.
        absent = -left(self._polled_at)
        self._polled_at = utime.ticks_ms()
        if absent > _ABSENT_MS:
            for conn in self._conns:
                conn.put_off(absent)

    def _accept(self, link):
        # A client has come. This is called while something else goes on: the link is only noted.
        self._conns.append(Conn(self, link))

    def _slice(self, modem, end):
        uart = modem.uart
        send_ms = self._piece_ms(modem, _SEGMENT)
        room_ms = left(end)
        piece = _SEGMENT
        if send_ms > room_ms:
            # At a low rate a segment takes longer than a slice.
            piece = max(64, (room_ms - _COMMAND_MS) * modem.baud // 10000)
            send_ms = room_ms
        fresh = True  # whatever comes first in a slice has time
        if (modem.damages != self._damages or left(self._audit_at) <= 0) and self._quiet(uart):
            self._audit(modem)
            fresh = False
        if modem.tok.partial() and not uart.any():
            modem.poll()  # the rest of an item that never comes is given up in there
        worked = True
        sent = False
        while worked and left(end) > 0:
            worked = False
            conns = self._conns
            for i in range(len(conns)):
                if not conns:
                    break
                turn = (self._turn + i) % len(conns)
                conn = conns[turn]
                quiet = self._quiet(uart)
                # A segment goes out if it will be out in time, and so with the rest: what has no time left is the first
                # of the next slice.
                room_ms = left(end)
                long = fresh or room_ms >= _LONG_MS
                most = room = 0
                if quiet:
                    most = piece
                    room = piece if fresh else (room_ms - _SLOW_COMMAND_MS) * modem.baud // 10000
                did = conn.step(quiet and long, most, room)
                sent = sent or conn.sent
                worked = worked or did
                if conn.waits or (conn.over and quiet and not long):
                    self._turn = turn
                    return
                fresh = fresh and not did
                if conn.over and quiet:
                    self._over(conn)
                    fresh = False
                if left(end) <= 0:
                    return
            self._turn += 1
            if sent and left(end) < send_ms:
                return  # what confirms the segment is read with the command for the next one
            # One item at a time: what comes with it goes to its link at once and need not be kept.
            if uart.any():
                worked = True
                if not self._awaited(modem):
                    modem.poll()
                    fresh = False

    def _quiet(self, uart):
        # True when there is room for all that may come while the module is given a command.
        if uart.any() >= _QUIET:
            return False
        for conn in self._conns:
            if conn.behind:
                return False
        return True

    def _awaited(self, modem):
        # True when the payload that is under way will be taken by the client whose it is.
        if modem.tok.remaining:
            for conn in self._conns:
                if conn.reads(modem.source):
                    return True
        return False

    def _piece_ms(self, modem, size):
        return size * 10000 // modem.baud + _COMMAND_MS

    def _over(self, conn):
        if conn in self._conns:
            self._conns.remove(conn)
        conn.end()

    def _make_room(self):
        # The board needs a link for itself: the client that has waited for the longest goes.
        idle = None
        for conn in self._conns:
            if idle is None or utime.ticks_diff(conn.moved_at, idle.moved_at) < 0:
                idle = conn
        if idle is not None:
            self._over(idle)


def _match(pattern, parts):
    # The parameters of the path `parts` for the pattern's, None when it is another path.
    params = {}
    for i in range(len(pattern)):
        want = pattern[i]
        if want[:6] == "<path:":
            params[want[6:-1]] = "/".join(parts[i:])
            return params
        if i >= len(parts):
            return None
        part = parts[i]
        if want[:1] != "<":
            if part != want:
                return None
        elif want[:5] == "<int:":
            if not part or part.strip("0123456789") or len(part) > 10:
                return None
            params[want[5:-1]] = int(part)
        elif not part:
            return None
        else:
            params[want[1:-1]] = part
    return params if len(pattern) == len(parts) else None
