"""Wi-Fi mode, joining, scanning. Bytes and times: AT 1.7.6 binary (`at_wifiCmd.o`), timers of 1.3, 1.6 and 1.7."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from virtualboard.clock import MS, SECOND
from virtualboard.esp8285.air import AccessPoint
from virtualboard.esp8285.commands_own import PASSWORD_BYTES, SSID_BYTES
from virtualboard.esp8285.parser import Arguments, BadArgument
from virtualboard.esp8285.station import CONNECTING, SCAN_NS
from virtualboard.esp8285.verbs import Verb, since, stores, with_suffixes

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem

LONGEST_JOIN_S = 600

LEAVE_NS = 500 * MS
"""WIFI DISCONNECT comes up to so long behind CWQAP's OK (`ch-cwqap`, a comment in SparkFun's library)."""


def _mode_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    mode = modem.flash.mode if name.endswith(b"_DEF") else modem.settings.mode
    modem.print(b"%s:%d\r\n" % (name, mode))
    modem.ok()


def _mode_test(modem: Modem, name: bytes, _args: Arguments) -> None:
    modem.print(b"%s:(1-3)\r\n" % name)
    modem.ok()


def _mode(modem: Modem, name: bytes, args: Arguments) -> None:
    mode = args.number_in(1, 3)
    args.end()
    if stores(name):
        modem.flash.mode = mode
    if mode == 2:
        modem.station.leave()
    if mode == 1:
        modem.own.turn_out()
    modem.settings.mode = mode
    modem.ok()


def _join(modem: Modem, name: bytes, args: Arguments) -> None:
    ssid = args.string(SSID_BYTES)
    args.comma()
    password = args.string(PASSWORD_BYTES)
    bssid = None
    if args.more():
        if args.at_string:
            bssid = args.string(17).decode("latin-1")
            if args.more():
                args.number_in(0, 1)
                args.end()
        else:
            args.number_in(0, 1)
            args.end()
    if modem.settings.mode == 2:
        raise BadArgument
    if stores(name):
        modem.flash.ssid, modem.flash.password = ssid, password
    polls = modem.profile.join_polls
    if modem.settings.join_timeout_s:
        polls = tuple(second * SECOND for second in range(1, modem.settings.join_timeout_s + 1))
    begun = modem.clock.now
    modem.station.join(ssid, password, bssid)

    def poll(index: int) -> None:
        if modem.station.online:
            modem.ok()
        elif index + 1 < len(polls):
            modem.after(begun + polls[index + 1] - modem.clock.now, lambda: poll(index + 1))
        else:
            modem.print(b"+CWJAP:%d\r\n" % (modem.station.status or CONNECTING))
            modem.failed()
            modem.station.leave_later(modem.spread(0, LEAVE_NS))  # DISCONNECT comes behind FAIL (`se16194-noip`)

    modem.after(polls[0], lambda: poll(0))


def _join_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    if name.endswith(b"_DEF") and modem.flash.ssid and not modem.station.point:
        modem.print(b'%s:"%s"\r\n' % (name, modem.flash.ssid))
        modem.ok()
        return
    point = modem.station.point
    if point is None:
        modem.print(b"No AP\r\n")
    else:
        tail = b",0" if modem.profile.version >= (1, 7, 0) else b""
        tail += b",0,0,0" if modem.profile.rtos else b""  # reconnecting, listening, scan mode (2.1.0: esp-at issue 479)
        fields = name, modem.station.ssid, point.bssid.encode(), point.channel, point.rssi, tail
        modem.print(b'%s:"%s","%s",%d,%d%s\r\n' % fields)
    modem.ok()


def _leave(modem: Modem, _name: bytes, _args: Arguments) -> None:
    modem.ok()
    modem.station.leave_later(modem.spread(0, LEAVE_NS))


def _auto(modem: Modem, _name: bytes, args: Arguments) -> None:
    value = args.number_in(0, 1)
    args.end()
    modem.flash.autoconnect = bool(value)
    modem.ok()


def _auto_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    modem.print(b"%s:%d" % (name, modem.flash.autoconnect))
    modem.ok()


def _join_time(modem: Modem, _name: bytes, args: Arguments) -> None:
    value = args.number_in(1, LONGEST_JOIN_S)
    args.end()
    modem.settings.join_timeout_s = value
    modem.ok()


def _scan_all(modem: Modem, name: bytes, _args: Arguments) -> None:
    _scan(modem, name, lambda point: True)


def _scan_some(modem: Modem, name: bytes, args: Arguments) -> None:
    ssid = args.string(SSID_BYTES)
    bssid = channel = None
    if args.more():
        bssid = args.string(17).decode("latin-1").lower()
        if args.more():
            channel = args.number_in(1, 14)
    _scan(
        modem,
        name,
        lambda point: (
            point.ssid_bytes == ssid and bssid in (None, "", point.bssid) and channel in (None, point.channel)
        ),
    )


def _scan(modem: Modem, name: bytes, wanted: Callable[[AccessPoint], bool]) -> None:
    if modem.settings.mode == 2:
        raise BadArgument

    def done() -> None:
        points = [point for point in modem.air.points if point.audible and wanted(point)]
        if modem.settings.scan_sort:
            points.sort(key=lambda point: -point.rssi)
        for point in points:
            modem.print(b"%s:(%s)\r\n" % (name, _scan_fields(modem.settings.scan_mask, point)))
        modem.ok()

    modem.after(SCAN_NS, done)


def _scan_fields(mask: int, point: AccessPoint) -> bytes:
    cipher = 3 if point.password else 0
    usual = b"-6", b"0", b"%d" % (4 if cipher else 0), b"%d" % (4 if cipher else 0), b"7", b"0"
    fields = (
        b"%d" % point.encryption,
        b'"%s"' % point.ssid_bytes,
        b"%d" % point.rssi,
        b'"%s"' % point.bssid.encode(),
        b"%d" % point.channel,
        *(usual if point.scan_tail is None else point.scan_tail),
    )
    return b",".join(text for bit, text in enumerate(fields) if mask >> bit & 1)


def _scan_options(modem: Modem, _name: bytes, args: Arguments) -> None:
    sort = args.number_in(0, 1)
    args.comma()
    mask = args.number_in(0, 0x7FF)
    args.end()
    modem.settings.scan_sort, modem.settings.scan_mask = bool(sort), mask
    modem.ok()


def _push_button_form(modem: Modem, name: bytes, args: Arguments) -> None:
    on = args.number()
    args.end()
    if modem.settings.mode != 1:
        raise BadArgument(b"opmode mismatch when wps")
    if on > 1:
        raise BadArgument(b"wps command error")
    if on:
        _push_button(modem, name, args)
    else:
        modem.station.stop_button()
        modem.print(b"wps stoped\r\n")
        modem.ok()


def _push_button(modem: Modem, _name: bytes, _args: Arguments) -> None:
    if modem.settings.mode != 1:
        raise BadArgument(b"opmode mismatch when wps")
    modem.station.push_button()
    modem.print(b"wps started\r\n")
    modem.ok()


_JOIN = Verb(query=_join_query, setup=_join)
_MODE = Verb(query=_mode_query, test=_mode_test, setup=_mode)

VERBS: dict[bytes, Verb] = {
    **with_suffixes(b"+CWMODE", _MODE),
    **with_suffixes(b"+CWJAP", _JOIN),
    b"+CWQAP": Verb(execute=_leave),
    b"+CWAUTOCONN": Verb(query=_auto_query, setup=_auto),
    b"+CWJAPTO": since((1, 7, 6), Verb(setup=_join_time)),
    b"+CWLAP": Verb(execute=_scan_all, setup=_scan_some),
    b"+CWLAPOPT": Verb(setup=_scan_options),
    b"+WPS": since((1, 3, 0), Verb(execute=_push_button, setup=_push_button_form)),
}
