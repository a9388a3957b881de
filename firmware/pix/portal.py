# Set-up by telephone: the board opens a network of its own, whose key only the panel shows. Every name leads to it
# there, and every probe of a telephone to its page, so that the page opens by itself. What is chosen on it is tried
# while the network stays; the networks of before are kept until the new one works.
#
#     modem = Portal(settings, screen).run()        # None: nobody came, or nobody chose one that works
# Only plain HTTP can be answered; a probe by HTTPS is refused at once, and every system then asks by HTTP.

import gc

from micropython import const

from pix import dns, ownnet, portpage, qrcard, setfile, wifi, wificode
from pix.atport import after, left
from pix.atvers import can
from pix.config import WPS
from pix.errors import PixError
from pix.ownnet import ADDRESS
from pix.station import Station
from pix.udp import Port
from pix.web import Web
from pix.webreq import WebError
from pix.webres import redirect, refresh
from pix.wifilook import Looker

HOME = "http://%s/" % ADDRESS

_ANSWER_MS = const(3000)  # for the page that tells of the attempt to get out before it begins
_CLOSE_MS = const(8000)  # from the page with the address to the end of the network
_UNTOLD_MS = const(60000)  # the same when nobody fetches that page
_LOOK_MS = const(60000)  # between two looks for a known network while nobody is there
_CHECK_MS = const(5000)  # between two looks whether the module is still there
_CODE_MS = const(1000)  # between two looks for a code before the camera
_RESTARTS = const(3)
_PUSH_S = const(150)  # from the push of a router's button to what came of it, our network included


class Portal:
    # `settings` as of pix.config, `screen` a pix.screen.Screen, progress(stage, detail) and idle() as of pix.wifi.
    def __init__(self, settings, screen, progress=None, idle=None):
        self.board = ""  # name of the network
        self.networks = []  # (name, locked, dBm, channel) of those in the air, the strongest first
        self.wps = False  # the module can be given a network by a router's button
        self.server = settings.server
        self.app = settings.app
        self._settings = settings
        self._screen = screen
        self._modem = wifi.modem_of(settings)
        self._modem.repair = wifi.Repair(self._modem, settings, progress, idle)
        self._station = Station(self._modem, settings, progress, idle)
        self._station.retries = 0  # people try again themselves
        self._tell = progress
        self._key = ""
        self._heard = []  # lines of the last scan
        self._looker = Looker()
        self._web = None
        self._names = None
        self._wish = None  # (name, key) to try; ("", WPS) for that of a router's button
        self._chosen = ("", "")  # what was ticked and what was typed last
        self._failure = None
        self._refused = None  # (name, key) of the last code: it is not tried for ever
        self._address = ""  # in the new network
        self._told_at = None  # when the network closes, once that one works

    @property
    def token(self):
        # What the form must bring.
        return self._web.gate.token

    def run(self):
        # Serve until a network works, a known one is back, or nobody has come for "portal_s" seconds. Returns the
        # joined pix.espat.Modem, or None. Raises PixError "no-modem" and "modem-firmware".
        restarts = 0
        while True:
            try:
                self._open()
                modem = self._serve()
                if self._wish is None or self._wish[0]:
                    return modem
                self._close()
                if self._push():
                    return self._modem
            except PixError as error:
                restarts += 1
                again = self._web is not None or self._failure is not None  # it was open
                if not again or restarts > _RESTARTS or error.code not in ("modem-rebooted", "no-modem"):
                    raise
                self._say("portal", error.line)
            finally:
                self._close()

    @property
    def done(self):
        # True when a network was set up.
        return self._address != ""

    # -- the network --------------------------------------------------------------------------------------

    def _open(self):
        station = self._station
        modem = self._modem
        station.prepare()
        self.wps = can(modem.version, "wps")
        self.look()
        if not self._key:  # the same one after a restart of the module
            self._key = ownnet.random_key(*self._heard)
        self.board = ownnet.name_of(modem, "maixpix-")
        # On the channel of the network that will probably be joined: one radio serves both.
        ownnet.open_network(modem, self.board, self._key, *[network[3] for network in self.networks[:1]])
        self._web = Web(csrf=True, any_host=True)
        self._routes(self._web)
        self._web.start(modem)
        self._names = Port(modem, 53)
        self._say("portal", "network %s, page %s" % (self.board, HOME))
        self._show()

    def _close(self):
        try:
            if self._names is not None:
                self._names.close()
            if self._web is not None:
                self._web.stop()
            if self._modem.own:
                ownnet.close_network(self._modem)
        except PixError as error:
            self._say("portal", error.line)
        self._web = self._names = None
        gc.collect()

    def look(self):
        # Look for networks: two seconds in which nobody is answered.
        self._heard = ownnet.scan(self._modem)
        self.networks = ownnet.listed(self._heard)

    # -- the loop -----------------------------------------------------------------------------------------

    def _serve(self):
        modem = self._modem
        web = self._web
        generation = modem.generation
        served = 0
        quiet_at = after(0)
        end = after(1000 * self._settings.portal_s)
        look_at = after(_LOOK_MS)
        check_at = after(_CHECK_MS)
        code_at = after(_CODE_MS)
        while True:
            web.poll(50)
            self._answer_names()
            modem.poll()
            if self._station.idle is not None and not web.busy:
                self._station.idle()
            if modem.generation != generation:
                raise PixError("modem-rebooted")
            if modem.lost:  # given up while guests were served: it may answer again, but nobody listens
                raise PixError(modem.lost)
            if left(check_at) <= 0:
                # At another rate than ours a restarted module is not understood; nobody else here would notice it.
                check_at = after(_CHECK_MS)
                if not modem.ask(""):
                    raise PixError("no-modem", "it does not answer")
            if left(code_at) <= 0 and not web.busy and self._wish is None and not self._address:
                self._look_for_code()
                code_at = after(_CODE_MS)
            if web.served != served:
                served = web.served
                end = after(1000 * self._settings.portal_s)
                look_at = after(_LOOK_MS)
                quiet_at = after(_ANSWER_MS)
            if self._address:
                if self._told_at is not None and left(self._told_at) <= 0:
                    return modem
            elif self._wish is not None and (not web.busy or left(quiet_at) <= 0):
                if not self._wish[0]:
                    return None
                self._try(*self._wish)
                end = after(1000 * self._settings.portal_s)
            elif left(end) <= 0:
                self._say("portal", "nobody came")
                return None
            elif left(look_at) <= 0:
                look_at = after(_LOOK_MS)
                if self._known_is_back():
                    return modem

    def _answer_names(self):
        while True:
            query = self._names.take()
            if query is None:
                return
            answer = dns.answer(query, dns.packed(ADDRESS))
            if answer is not None:
                self._names.send(answer)

    def _look_for_code(self):
        # A network's QR code before the camera is as good as the form.
        network = self._looker.look()
        if network is not None and network[:2] != self._refused:
            self._wish = self._refused = network[:2]

    def _known_is_back(self):
        # True when one of the board's own networks is there again, and joined.
        if not self._settings.wifi:
            return False
        self.look()
        there = [network[0] for network in self.networks]
        for name, key in self._settings.wifi:
            if name in there:
                try:
                    self._attempt(name, key)
                    return True
                except PixError as error:
                    self._say("portal", error.line)
        return False

    def _attempt(self, name, key):
        # Join the network; it becomes the first of the station's when that works. Raises PixError as Station.join does.
        station = self._station
        before = station.networks
        station.networks = [(name.encode(), key.encode())]
        try:
            station.join()
        except PixError:
            station.networks = before
            raise
        station.networks += [pair for pair in before if pair[0] != name.encode()]

    def _push(self):
        # Join the network of the router whose button is pushed, while ours is closed; True when that worked.
        from pix import wps

        self._wish, self._failure = None, wps.FAILED  # unless more is known
        name, failure = wps.push(self._station, self._screen, self._say)
        self._failure = failure or wps.FAILED
        if name:
            self._station.prepare()  # so it joins by itself, as it must at every start from now on
            self._try(name, WPS)
        if self.done:
            wps.hold(self._station)
        return self.done

    def _try(self, name, key):
        self._wish = None
        self._say("portal", "joining %s" % name)
        try:
            self._attempt(name, key)
        except PixError as error:
            if error.code in ("no-modem", "modem-rebooted"):
                raise
            self._failure = (error.title, portpage.reason(error, name))
            self._say("portal", error.line)
            self._show()
            return
        self._address = self._modem.address
        self._told_at = after(_UNTOLD_MS)
        networks = [[name, key]]  # and those of before, but the module stores one key only
        networks += [pair for pair in self._settings.wifi if pair[0] != name and not pair[1] == key == WPS]
        values = {"wifi": networks}
        if self.server != self._settings.server:
            values["server"] = self.server
        if self.app != self._settings.app:
            values["app"] = self.app
        try:
            setfile.change(values)
        except PixError as error:
            self._say("portal", error.line)
        for setting in values:
            setattr(self._settings, setting, values[setting])
        self._say("portal", "%s works, address %s" % (name, self._address))
        self._show()

    # -- the pages ----------------------------------------------------------------------------------------

    def _routes(self, web):
        for probe in portpage.PROBES:
            web.get(probe)(_send_home)
        web.get("/wpad.dat")(_nothing)  # a proxy's settings, which Windows asks every network for
        web.get("/favicon.ico")(_nothing)
        web.get("/")(self._index)
        web.get("/state")(self._state)
        web.post("/join")(self._join)
        web.get("/<path:rest>")(lambda request, rest: redirect(HOME))

    def _index(self, request):
        if request.header("host").split(":")[0] != ADDRESS:
            return redirect(HOME)  # the front page of somebody else, which all probes of some systems are
        if self._address or self._wish is not None:
            return redirect("/state")
        if request.query.get("scan"):
            self.look()
        return portpage.form(self, self._failure, *self._chosen)

    def _state(self, request):
        if self._address:
            self._told_at = after(_CLOSE_MS)
            return portpage.done(self._settings.wifi[0][0], self._address)
        if self._wish is None:
            return redirect("/", 303)
        return self._trying()

    def _join(self, request):
        form = request.form
        other = form.get("other", "").strip()
        chosen = form.get("ssid", "")
        name = other or chosen
        key = form.get("key", "")
        push = self.wps and form.get("wps")
        server = form.get("server", "").strip()
        app = form.get("app", self.app)
        self._chosen = (chosen, other)
        fault = ("" if push else portpage.fault(self, name, key)) or portpage.unfit(self, server, app)
        if fault:
            self._failure = ("Not yet", fault)
            return portpage.form(self, self._failure, chosen, other), 400
        self.server = portpage.whole_server(server)
        self.app = app
        self._failure = None
        self._wish = ("", WPS) if push else (name, key)
        return self._trying()

    def _trying(self):
        name = self._wish[0]
        return refresh("/state", 4 if name else _PUSH_S, portpage.trying(name))

    # -- the panel ----------------------------------------------------------------------------------------

    def _show(self):
        # What to do, for whoever stands before the board; the key is told here and nowhere else.
        screen = self._screen
        if screen is None:
            return
        if self._address:
            page = "http://%s/" % self._address
            qrcard.show(screen, page, ["%s works" % self._settings.wifi[0][0], "address " + self._address])
            return
        lines = ["Wi-Fi " + self.board, "key " + self._key, HOME]
        if self._failure:
            lines.insert(0, self._failure[0])
        qrcard.show(screen, wificode.made(self.board, self._key), lines)

    def _say(self, stage, detail):
        if self._tell is not None:
            self._tell(stage, detail)


def _send_home(request):
    return redirect(HOME)


def _nothing(request):
    raise WebError(404, "There is nothing at this address.")
