"""The module as a whole: power, boot, the command receiver, and what all commands share.

States and their answers: AT 1.7.6 binary (`at_port.o`), the same shape as the published AT 0.2x source.

Longer than 350 lines: it is the one object that all command files share, and its methods are what they may call.
"""

from __future__ import annotations

import random
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import asdict

from virtualboard.clock import MS, Action, Alarm, Clock
from virtualboard.esp8285.air import Air
from virtualboard.esp8285.boot import WARM_BAUD, BootText, cause_number, is_cold, variant
from virtualboard.esp8285.commands import run_command
from virtualboard.esp8285.flash import Flash
from virtualboard.esp8285.links import Link, LinkTable
from virtualboard.esp8285.own_network import OwnNetwork
from virtualboard.esp8285.profiles import READY_NS, SPREAD, profile_named
from virtualboard.esp8285.receiver import CommandReceiver
from virtualboard.esp8285.sending import Sender
from virtualboard.esp8285.server import Server
from virtualboard.esp8285.settings import Settings
from virtualboard.esp8285.station import Station
from virtualboard.esp8285.stats import Stats
from virtualboard.esp8285.transparent import Transparent
from virtualboard.esp8285.uart import ModemUart
from virtualboard.network import QUIET_NS, Network
from virtualboard.wire import Lane

ROM_DELAY_NS = 30 * MS
"""From the rising edge of EN to the first byte of the boot ROM's text."""

HEAP_FOR_QUEUE = 20_000
"""Bytes of messages and datagrams that can wait beyond the ring: the free heap of an idle module, about 25 kB, less
the 5120 bytes below which it drops instead (AT 1.7.6 binary)."""


class Modem:
    """An ESP8285 between two lanes of a serial line: `rx` comes from the board, `tx` goes to it.

    `profile` names the AT firmware (see `PROFILES`; ValueError for others). The same `seed` gives the same local ports,
    serial noise, and times where those have a spread. `latency_ns` is what the module needs from the last byte of a
    command to its answer (1 ms unless set; real modules take 0.5 to 3 ms). `boot_baud` is the rate of the boot ROM's
    text after a cold start (power, EN, the reset pin): 74880 with a 26 MHz crystal, 115200 with a 40 MHz one; both are
    reported of Maix boards.
    """

    def __init__(
        self,
        clock: Clock,
        rx: Lane,
        tx: Lane,
        air: Air,
        network: Network,
        profile: str = "1.1",
        seed: int = 0,
    ) -> None:
        self.clock = clock
        self.air = air
        self.network = network
        self.profile = profile_named(profile)
        self.boot_baud = 74880
        self.latency_ns = MS
        self.frame_limit: int | None = None
        """When set, no +IPD of a TCP link is longer than this."""
        self.mac = "5c:cf:7f:9a:7c:21"
        self.ap_mac = "5e:cf:7f:9a:7c:21"
        self.boot_text = BootText()
        self.missing = set(self.profile.missing)
        """Names of commands, with their suffixes, that this build does not have."""
        self.free_heap = 25_000
        """Bytes that SYSRAM tells while nothing waits to be printed."""
        self.next_ports: deque[int] = deque()
        """Local ports of the next links, before random ones."""
        self.flash = Flash()
        self.stats = Stats()
        self.on_command: Callable[[bytes], None] | None = None
        self.on_event: Callable[[str], None] | None = None
        self.random = random.Random(seed)
        self._times = random.Random(f"{seed}/times")
        self.uart = ModemUart(clock, rx, tx, self._batch)
        self.links = LinkTable(self)
        self.uart.on_room = self.links.flush
        network.quiet.line_quiet = self.line_quiet
        network.station_online = lambda: self.station.online
        self.sender = Sender(self)
        self.station = Station(self)
        self.own = OwnNetwork(self)
        self.server = Server(self)
        self.transparent = Transparent(self)
        self.receiver = CommandReceiver(self)
        self._enabled = False
        self._strap = False
        self._running = False
        self._boot_alarms: list[Alarm] = []
        self._pending: list[Alarm] = []
        self._insertions: list[tuple[bytes, bytes]] = []
        self._generation = 0
        self.settings = self._default_settings()

    def _default_settings(self) -> Settings:
        flash = self.flash
        return Settings(
            flash.mode,
            self.profile.scan_mask,
            sysmsg=flash.sysmsg,
            dhcp=flash.dhcp,
            own_network=flash.own_network,
            ap_address=flash.ap_address,
            lease=flash.lease,
            name_servers=flash.name_servers,
            mac=flash.mac or self.mac,
            ap_mac=flash.ap_mac or self.ap_mac,
        )

    def state(self) -> dict[str, object]:
        """What a snapshot keeps of the module: its flash. All else is as after a power cycle."""
        return asdict(self.flash)

    def restore(self, state: dict[str, object]) -> None:
        """Have that flash, from the next boot on. ValueError, with nothing changed, for another kind of state."""
        self.flash = Flash.from_dict(state)
        if not self._running:
            self.settings = self._default_settings()

    # -- power and boot -----------------------------------------------------------------------------------

    def enable(self, level: bool) -> None:
        """Drive the EN pin. Low: off. The rising edge boots."""
        if level == self._enabled:
            return
        self._enabled = level
        if level:
            self._boot("power")
        else:
            self._halt()
            self.log("off")

    def strap(self, level: bool) -> None:
        """Drive the IO0 line (GPIO15 of the module). High at boot: it waits for SDIO and AT never starts."""
        self._strap = level

    def restart(self, cause: str | int = "watchdog") -> None:
        """Reset now, losing everything; `cause` is one of `boot.CAUSES` or a number."""
        if self._enabled:
            self._halt()
            self._boot(cause)

    def brown_out(self) -> None:
        """The supply sagged (as it does at transmit peaks): the module restarts as after power-on."""
        self.restart("power")

    def restart_when_drained(self) -> None:
        """AT+RST: leave the network, let the last words out, then restart."""
        self._forget_pending()
        self.links.say_all_closed()
        self.station.leave()
        self.uart.when_drained(lambda: self.restart("software"))

    def deep_sleep(self, duration_ns: int) -> None:
        """Off until the timer pulls the reset line (if it is wired), or EN is toggled; 0 means for ever."""
        self._halt()
        self.log("deep sleep")
        if duration_ns:
            self._boot_alarms.append(self.clock.after(duration_ns, lambda: self._boot("external")))

    @property
    def running(self) -> bool:
        """True from `ready` until the next reset."""
        return self._running

    @property
    def enabled(self) -> bool:
        """Level of the EN pin."""
        return self._enabled

    def _halt(self) -> None:
        self._running = False
        self._generation += 1
        for alarm in self._boot_alarms:
            alarm.cancel()
        self._boot_alarms.clear()
        self._forget_pending()
        self._insertions.clear()
        self.transparent.reset()
        self.links.reset()
        self.server.stop()
        self.own.reset()
        self.station.reset()
        self.sender.reset()
        self.receiver.reset()
        self.uart.reset()
        self.settings = self._default_settings()

    def _boot(self, cause: str | int) -> None:
        number = cause_number(cause, self.profile.restart_cause)
        baud = self.boot_baud if is_cold(cause) else WARM_BAUD
        self.settings = self._default_settings()
        self.stats.boots += 1
        self.log(f"boot, cause {number}" + (", strapped to wait for a host" if self._strap else ""))
        text = self.boot_text.rom(number, self._strap)
        self._boot_alarms.append(self.clock.after(ROM_DELAY_NS, lambda: self._rom_speaks(text, baud)))
        if not self._strap:
            self._boot_alarms.append(self.clock.after(self.spread(*READY_NS), self._ready))

    def _rom_speaks(self, text: bytes, baud: int) -> None:
        self.uart.set_baud(baud, exact=True)
        self.uart.print(text)

    def _ready(self) -> None:
        if not self.uart.drained:
            self.uart.when_drained(self._ready)
            return
        self._boot_alarms.clear()
        self.uart.discard()
        self.uart.set_baud(self.flash.baud)
        self._running = True
        self.station.fixed = self.flash.fixed
        self.print(self.boot_text.last())
        self.log("ready")
        if self.flash.autoconnect and self.flash.ssid and self.settings.mode != 2:
            self.station.auto_join()
        if self.flash.through is not None:
            self.settings.transparent_mode = True
            self.transparent.enter_stored(*self.flash.through)

    # -- input --------------------------------------------------------------------------------------------

    def _batch(self, data: bytes) -> None:
        if self._running:
            self.receiver.batch(data)

    def line_complete(self, line: bytes) -> None:
        """A command line (after `AT`, without the line feed) came in; it runs after the latency."""
        self.stats.commands += 1
        self.after_latency(lambda: run_command(self, line))

    # -- output -------------------------------------------------------------------------------------------

    def print(self, item: bytes) -> None:
        """Print `item` as one piece."""
        for index, (before, inserted) in enumerate(self._insertions):
            if item == before:
                del self._insertions[index]
                self.uart.print(inserted)
                break
        self.uart.print(item)

    def say_wifi(self, text: bytes) -> None:
        """Print a message about the network, unless transparent mode suppresses it."""
        self.log(text.decode().strip())
        if not self.transparent.active:
            self.print(text)

    def ok(self) -> None:
        """Finish the command with OK."""
        self.print(b"\r\nOK\r\n")
        self.idle()

    def error(self, reason: bytes = b"") -> None:
        """Finish the command with ERROR, behind the reason if there is one."""
        if reason:
            self.print(reason + b"\r\n")
        self.print(b"\r\nERROR\r\n")
        self.idle()

    def failed(self) -> None:
        """Finish CWJAP without success."""
        self.print(b"\r\nERROR\r\n" if self.profile.rtos else b"\r\nFAIL\r\n")
        self.idle()

    def prompt(self, text: bytes, count: int) -> None:
        """Accept a send: OK, then the prompt; `count` bytes of payload follow."""
        self.print(b"\r\nOK\r\n")
        self.print(text)
        self.receiver.expect_payload(count)

    def data_sent(self) -> None:
        """The payload is complete; the module waits for the peer."""
        self.receiver.sending_done()

    def idle(self) -> None:
        """The command is over."""
        self.receiver.idle()

    def after(self, delay_ns: int, action: Action) -> Alarm:
        """Run `action` later unless the module restarts before."""
        self._pending = [alarm for alarm in self._pending if alarm.active]
        alarm = self.clock.after(delay_ns, action)
        self._pending.append(alarm)
        return alarm

    def after_latency(self, action: Action) -> None:
        """Run `action` after the module's processing time."""
        self.after(self.latency_ns, action)

    def spread(self, low_ns: int, high_ns: int) -> int:
        """A time between the two (virtual ns), from the module's seed."""
        return self._times.randint(low_ns, high_ns)

    def about(self, time_ns: int) -> int:
        """`time_ns`, give or take `SPREAD`."""
        return self.spread(round(time_ns * (1 - SPREAD)), round(time_ns * (1 + SPREAD)))

    def _forget_pending(self) -> None:
        for alarm in self._pending:
            alarm.cancel()
        self._pending.clear()

    def unless_restarted(self, action: Callable[[str | None], None]) -> Callable[[str | None], None]:
        """`action`, unless the module restarts before it is called."""
        generation = self._generation

        def guarded(value: str | None) -> None:
            if generation == self._generation:
                action(value)

        return guarded

    def line_quiet(self) -> bool:
        """True when nothing has moved on the serial lines lately and no command is running."""
        return self.receiver.at_rest and self.clock.now - self.uart.active_at >= QUIET_NS

    def heap_allows(self, count: int) -> bool:
        """True while messages that do not fit into the ring may be kept (until free heap is below 5120 bytes)."""
        return self.uart.queued_bytes + count < HEAP_FOR_QUEUE

    def log(self, text: str) -> None:
        """Tell whoever follows the module's life."""
        if self.on_event is not None:
            self.on_event(text)

    # -- the IP layer -------------------------------------------------------------------------------------

    def local_port(self) -> int:
        """A local port for a new link."""
        return self.next_ports.popleft() if self.next_ports else self.random.randrange(4096, 65536)

    def resolve(self, host: bytes, done: Callable[[str | None], None]) -> None:
        """Look a name up; a failure takes up to a twelfth longer than the network's `dns_fail_ns`. Addresses in any
        form of `ipaddr_addr` ("0" is 0.0.0.0) are none, and without a joined network there is nobody to ask."""
        try:
            done(socket.inet_ntoa(socket.inet_aton(host.decode("latin-1"))))
            return
        except (OSError, UnicodeError):
            if not self.station.online:
                self.after(self.network.rtt_ns, lambda: done(None))
                return

        def answered(address: str | None) -> None:
            if address is None:
                self.after(self.spread(0, self.network.dns_fail_ns // 12), lambda: done(None))
            else:
                done(address)

        self.network.resolve(host.decode("latin-1"), self.unless_restarted(answered))

    def say_connected(self, link: Link, failed: bool = False) -> None:
        """CONNECT, or the long form that SYSMSG bit 1 asks for: that one also tells of a failure
        (`nonos184-linkconn`)."""
        if self.settings.sysmsg & 2:
            fields = (
                failed,
                link.number,
                link.kind.encode(),
                link.server,
                link.ip.encode(),
                link.port,
                link.local_port,
            )
            self.print(b'+LINK_CONN:%d,%d,"%s",%d,"%s",%d,%d\r\n' % fields)
        else:
            self.print(b"%sCONNECT\r\n" % self.links.prefix(link.number))

    # -- doors for fault plans ----------------------------------------------------------------------------

    def drop_wifi(self) -> None:
        """Lose the access point until `restore_wifi`."""
        self.station.block(True)
        self.station.lose()

    def restore_wifi(self) -> None:
        """The access point can be found again."""
        self.station.block(False)

    def close_link(self, number: int, reset: bool = False) -> None:
        """Break a link as if its peer had closed or reset it: CLOSED follows what has already come.

        Nothing happens when the link is not open.
        """
        link = self.links[number]
        if link is not None and link.up:
            self.links.break_off(link, reset)

    def stall(self, duration_ns: int) -> None:
        """Answer nothing for a while; beyond 128 bytes input is lost, output waits."""
        self.uart.hold(self.clock.now + duration_ns)

    def busy(self, duration_ns: int) -> None:
        """Answer every command with `busy p...` for a while."""
        self.receiver.busy_until = self.clock.now + duration_ns

    def fail_send(self, empty_line: bool = False) -> None:
        """Let the next CIPSEND end in SEND FAIL, with an empty line in front or (AT 1.7.6 binary) without."""
        self.sender.fail_next, self.sender.empty_line = True, empty_line

    def late_send_ok(self, empty_line: bool = True) -> None:
        """Let the next CIPSEND end in SEND FAIL and, for the same data, SEND OK (`nonos60-fail-then-ok`)."""
        self.sender.late_ok, self.sender.empty_line = True, empty_line

    def vary_boot(self, name: str) -> None:
        """Let the next boots be of that kind (see `boot.VARIANTS`; ValueError for others)."""
        self.boot_text = variant(name)

    def lack(self, command: bytes) -> None:
        """Be a build without that command (such as `b"AT+UART_CUR"`): it answers ERROR from now on."""
        self.missing.add(command.removeprefix(b"AT"))

    def split_echo(self, text: bytes, after: int = 1) -> None:
        """Print `text` inside the echo of what is typed next, behind its first `after` bytes."""
        self.receiver.split = (after, text)

    def inject(self, text: bytes, before: bytes | None = None) -> None:
        """Print `text` unasked: now, or right before the next print that is exactly `before` (such as `b"> "`)."""
        if not self._running:
            return
        if before is None:
            self.uart.print(text)
        else:
            self._insertions.append((before, text))
