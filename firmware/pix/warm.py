# The short way to the network: a module that runs since the power came and is back in its network by itself is used as
# it is, once it has proven sound; whatever is wrong with it, the reset comes next (pix.station).

from micropython import const

from pix import baud
from pix.atport import BASE_BAUD, after, left
from pix.errors import PixError

_RETURN_MS = const(4000)  # how long it may take to its remembered network from the first look on
_REJOIN_MS = const(20000)  # the same from its reset on, with a router that takes its time
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
    name, there = _back(station, [name for name, _ in station.networks], _RETURN_MS)
    if there:
        station.tell("wifi", "%s, address %s" % (name.decode(), modem.address))
        station.led.light(True)
    return there


def rejoin(station, name):
    # Have the module join the network `name` (bytes) that it has stored itself, with the key that WPS gave it. Raises
    # PixError "key-lost" when it has stored none of that name.
    modem = station.modem
    for again in (False, True):
        if again:
            if modem.own:
                break  # the telephones in its own network would be sent away
            # Told to join another network, it never goes back to the stored one by itself; and while it is in another,
            # it tells that one for the stored one.
            station.prepare()
        known = []
        modem.ask("+CWJAP_DEF?", on_line=known.append)
        mine = _STORED + name + b'"'
        if not [True for line in known if line[: len(mine)] == mine]:
            code = "key-lost"
            continue
        associated, there = _back(station, [name], _REJOIN_MS)
        if there:
            return
        if associated:
            code = "no-address"
            break
        code = "join-timeout"
        if name not in station.scan():
            code = "no-network"
            break
    raise PixError(code, name.decode())


def _back(station, names, limit_ms):
    # Wait until the module is in one of the networks by itself, with an address: (that network, True). Else the network
    # that it is in without one, or b"", and False.
    modem = station.modem
    end = after(limit_ms)
    while True:
        lines = []
        modem.ask("+CWJAP?", on_line=lines.append)
        found = b""
        for name in names:
            mine = b'+CWJAP:"' + name + b'","'
            if [True for line in lines if line[: len(mine)] == mine]:
                found = name
                if station.has_address():
                    return name, True
        if left(end) <= 0:
            return found, False
        modem.pause(_LOOK_MS)
