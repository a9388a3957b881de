# The short way to the network: a module that runs since the power came and is back in its network by itself is used as
# it is, once it has proven sound; whatever is wrong with it, the reset comes next (pix.station).

from micropython import const

from pix import baud
from pix.atport import BASE_BAUD, after, left
from pix.errors import PixError

_RETURN_MS = const(4000)  # how long it may take to its remembered network from the first look on
_LOOK_MS = const(50)
_STORED = b'+CWJAP_DEF:"'


def resume(station):
    # Take over the module of the pix.station.Station without a reset: True when it answers and can be set up like a
    # fresh one.
    modem = station.modem
    modem.resetting = True
    modem.numbered = modem.ready = False
    modem.open(BASE_BAUD)
    modem.tok.strict = False
    try:
        if not (baud.answers(modem, BASE_BAUD) or baud.answers(modem, station.baud)):
            return False
        modem.forget_links()
        station.set_up(True)
        if station.baud != modem.baud and baud.change(modem, station.baud, station.firmware):
            return False
        station.number_links()
    except PixError:
        return False
    finally:
        modem.resetting = False
    return True


def returned(station):
    # Wait until a module that was taken over is back in a network of the settings by itself, if it remembers one. True
    # with an address there. Raises PixError.
    modem = station.modem
    known = []
    if not station.resumed or not modem.ask("+CWJAP_DEF?", on_line=known.append):
        return False
    if not [True for line in known if line[:12] == _STORED]:
        return False
    station.tell("wifi", "waiting for the remembered network")
    end = after(_RETURN_MS)
    while left(end) > 0:
        lines = []
        modem.ask("+CWJAP?", on_line=lines.append)
        for name, _ in station.networks:
            mine = b'+CWJAP:"' + name + b'","'
            if [True for line in lines if line[: len(mine)] == mine] and station.has_address():
                station.tell("wifi", "%s, address %s" % (name.decode(), modem.address))
                station.led.light(True)
                return True
        modem.pause(_LOOK_MS)
    return False
