# The module's own network: opened, named after its MAC, closed. AT 1.1 and later.

import machine
import uos
import utime
from micropython import const
from uhashlib import sha256

from pix.atline import number, plain, scanned_name
from pix.errors import PixError

ADDRESS = "4.3.2.1"
# Of the module in it. Some telephones take a private address for no portal at all (Android; WiFiManager issue 841), and
# a home's own network must not have the same one.

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is easily taken for another
_KEY = const(8)
_CHANNEL = const(6)
_WPA2 = const(3)
_SCAN_MS = const(12000)
_MOST = const(4)  # stations
_LISTED = const(20)


def random_key(*more):
    # A key that is easy to type: 39 bits. The chip's generator is not trusted alone: what else differs from board to
    # board and from start to start goes in too, `more` (bytes) included.
    seed = sha256(uos.urandom(32))
    seed.update(b"%d" % utime.ticks_us())
    try:
        seed.update(machine.unique_id())
    except AttributeError:
        seed.update(b"-")  # a build without it
    for part in more:
        seed.update(part)
    return "".join([_LETTERS[b % len(_LETTERS)] for b in seed.digest()[:_KEY]])


def name_of(modem, start):
    # A name that begins with `start` and ends with the last two bytes of the network's MAC. Raises PixError.
    lines = []
    modem.ask("+CIPAPMAC_CUR?", on_line=lines.append)
    for line in lines:
        end = plain(line[-6:-4] + line[-3:-1])
        if end and line[:10] == b"+CIPAPMAC_" and line[-1:] == b'"':
            return start + end
    return start + "%02x%02x" % tuple(uos.urandom(2))


def open_network(modem, name, key, channel=_CHANNEL):
    # Put it on the air beside the station, with a DHCP server, on `channel` where that is allowed everywhere. Nothing
    # of it is kept in the module's flash. Raises PixError "no-modem".
    modem.own = True
    modem.lost = ""
    good = modem.ask("+CWMODE_CUR=3")
    modem.ask('+CIPAP_CUR="%s"' % ADDRESS)
    modem.ask("+CWDHCP_CUR=0,1")
    channel = channel if 1 <= channel <= 11 else _CHANNEL
    if not (good and modem.ask('+CWSAP_CUR="%s","%s",%d,%d,%d,0' % (name, key, channel, _WPA2, _MOST))):
        raise PixError("no-modem", "it opens no network")


def close_network(modem):
    # Take it off the air; the station stays where it is. Raises PixError.
    modem.own = False
    if not modem.lost:
        if not modem.online:
            modem.lost = "wifi-lost"
        modem.ask("+CWMODE_CUR=1")


def scan(modem):
    # The lines (bytes) that tell of the networks in the air, for `scanned`. Raises PixError.
    lines = []
    modem.command("+CWLAP", _SCAN_MS, lines.append)
    return lines


def listed(lines):
    # The networks that such lines tell, (name, locked, dBm, channel), the strongest first, each name once.
    found = {}
    for line in lines:
        network = scanned(line)
        if network is None:
            continue
        try:
            name = network[0].decode()
        except UnicodeError:
            continue  # no browser could send such a name back
        if name not in found or found[name][2] < network[2]:
            found[name] = (name,) + network[1:]
    return sorted(found.values(), key=lambda network: -network[2])[:_LISTED]


def scanned(line):
    # (name, locked, dBm, channel) of the network in a line +CWLAP:(4,"name",-50,"mac",6,...), None when it is none.
    name = scanned_name(line)
    kind = number(line, 8, line.find(b","))
    rest = line[line.rfind(b'",', 0, line.rfind(b',"')) + 2 :].split(b",")
    if not name or kind < 0 or len(rest) < 3 or rest[0][:1] != b"-":
        return None
    loss = number(rest[0], 1, len(rest[0]))
    channel = rest[2].rstrip(b")")
    return None if loss < 0 else (name, kind > 0, -loss, number(channel, 0, len(channel)))
