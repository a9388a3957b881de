"""AT, ATE, GMR, RST, UART, SLEEP and the like. Bytes: AT 1.7.6 binary (`at_baseCmd.o`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virtualboard.clock import MS
from virtualboard.esp8285.parser import Arguments, BadArgument
from virtualboard.esp8285.uart import real_baud
from virtualboard.esp8285.verbs import Verb, stores, with_suffixes

if TYPE_CHECKING:
    from virtualboard.esp8285.modem import Modem

HIGHEST_BAUD = 5_000_000
ERASE_NS = 250 * MS
"""RESTORE: erasing two flash sectors before OK."""


def _at(modem: Modem, _name: bytes, _args: Arguments) -> None:
    modem.ok()


def _echo(modem: Modem, _name: bytes, args: Arguments) -> None:
    modem.settings.echo = bool(args.number_in(0, 1))
    args.end()
    modem.ok()


def _version(modem: Modem, _name: bytes, _args: Arguments) -> None:
    for line in modem.profile.gmr[:-1]:
        modem.print(line + b"\r\n")
    modem.print(modem.profile.gmr[-1])
    modem.ok()


def _reset(modem: Modem, _name: bytes, _args: Arguments) -> None:
    modem.print(b"\r\nOK\r\n")
    modem.restart_when_drained()


def _restore(modem: Modem, _name: bytes, _args: Arguments) -> None:
    modem.flash = type(modem.flash)()

    def erased() -> None:
        modem.print(b"\r\nOK\r\n")
        modem.restart_when_drained()

    modem.after(ERASE_NS, erased)


def _uart(modem: Modem, name: bytes, args: Arguments) -> None:
    baud = args.number_in(1, HIGHEST_BAUD)
    for low, high in ((5, 8), (1, 3), (0, 2), (0, 3)):
        args.comma()
        value = args.number_in(low, high)
    args.end()
    if value:
        modem.log("flow control was turned on; on Maix boards CTS floats and the module falls silent")
    if stores(name):
        modem.flash.baud = baud
    modem.print(b"\r\nOK\r\n")

    def switch() -> None:
        modem.uart.set_baud(baud)
        modem.log(f"serial line at {modem.uart.baud} baud")
        modem.idle()

    modem.uart.when_drained(switch)


def _uart_query(modem: Modem, name: bytes, _args: Arguments) -> None:
    baud = real_baud(modem.flash.baud) if name.endswith(b"_DEF") else modem.uart.baud
    modem.print(b"+%s:%d,8,1,0,0" % (name[1:], baud))
    modem.ok()


def _sleep(modem: Modem, _name: bytes, args: Arguments) -> None:
    value = args.number_in(0, 2)
    args.end()
    modem.settings.sleep = value
    modem.ok()


def _sleep_query(modem: Modem, _name: bytes, _args: Arguments) -> None:
    modem.print(b"+SLEEP:%d\r\n" % modem.settings.sleep)
    modem.ok()


def _deep_sleep(modem: Modem, _name: bytes, args: Arguments) -> None:
    duration_ms = args.number()
    args.end()
    modem.print(b"\r\nOK\r\n")
    modem.uart.when_drained(lambda: modem.deep_sleep(duration_ms * MS))


def _messages(modem: Modem, name: bytes, args: Arguments) -> None:
    value = args.number_in(0, 3)
    args.end()
    modem.settings.sysmsg = value
    if name.endswith(b"_DEF"):
        modem.flash.sysmsg = value
    modem.ok()


def _store(modem: Modem, _name: bytes, args: Arguments) -> None:
    """2.x: whether commands write to flash; what this part stores is forgotten with it anyway."""
    args.number_in(0, 1)
    args.end()
    modem.ok()


def _free_ram(modem: Modem, _name: bytes, _args: Arguments) -> None:
    modem.print(b"+SYSRAM:%d\r\n" % (modem.free_heap - modem.uart.queued_bytes))
    modem.ok()


def _refuse(_modem: Modem, _name: bytes, _args: Arguments) -> None:
    raise BadArgument


_UART = Verb(query=_uart_query, setup=_uart)
_MESSAGES = Verb(setup=_messages, since=(1, 6, 0))

VERBS: dict[bytes, Verb] = {
    b"": Verb(execute=_at),
    b"E": Verb(setup=_echo, execute=_refuse),
    b"+GMR": Verb(execute=_version),
    b"+RST": Verb(execute=_reset),
    b"+RESTORE": Verb(execute=_restore),
    **with_suffixes(b"+UART", _UART),
    b"+SLEEP": Verb(query=_sleep_query, setup=_sleep),
    b"+GSLP": Verb(setup=_deep_sleep),
    b"+SYSMSG": _MESSAGES,
    b"+SYSMSG_CUR": Verb(setup=_messages, since=(1, 7, 0)),
    b"+SYSMSG_DEF": Verb(setup=_messages, since=(1, 7, 0)),
    b"+SYSSTORE": Verb(setup=_store, since=(2, 0, 0)),
    b"+SYSRAM": Verb(query=_free_ram, since=(1, 4, 0)),
}
