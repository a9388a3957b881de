"""The stage of a replay: a module of the right version in the world that the log tells of, ready for its first byte."""

from __future__ import annotations

import re

from virtualboard.clock import MS, SECOND, Clock
from virtualboard.esp8285.air import AccessPoint, Air
from virtualboard.esp8285.boot import BootText
from virtualboard.esp8285.modem import Modem
from virtualboard.esp8285.profiles import Profile
from virtualboard.esp8285.records import scene as scenes
from virtualboard.esp8285.records.session import Session
from virtualboard.network import Network, Script
from virtualboard.wire import Lane

SERVER_PORT = 80
QUIET_NS = 60 * MS
"""Silence after which the module has said what it had to say for now."""

_ACTOR_PORT = 8000


class Actor(Script):
    """A peer that speaks when the prompt book says so."""


class Stage:
    """One module and its world. `actors` are the peers of its links by their numbers."""

    def __init__(self, session: Session, profile: Profile, seed: int) -> None:
        self._commands = session.commands
        self._busy = b"busy p..." in session.printed
        self.scene, build = scenes.read(session, profile)
        scene = self.scene
        self.clock = Clock()
        self.rx, self.tx = Lane(self.clock, "to_modem"), Lane(self.clock, "to_chip")
        for lane in (self.rx, self.tx):
            lane.tx_baud = lane.rx_baud = scene.baud
        self.network = Network(self.clock, scene.names, allow=(), listen_on=None)
        air = Air(scene.points or [_point(scene)])
        self.modem = Modem(self.clock, self.rx, self.tx, air, self.network, profile.name, seed)
        self.modem.profile = build
        self.actors: dict[int, Actor] = {}

    def close(self) -> None:
        """End it all."""
        self.modem.enable(False)
        self.network.close()

    def set_up(self) -> None:
        """Bring the module to where the log begins: off before a boot, else up and with what was set and open."""
        scene, modem = self.scene, self.modem
        modem.mac, modem.ap_mac = scene.mac, scene.ap_mac
        modem.flash.ap_address = scene.ap_address or modem.flash.ap_address
        modem.flash.mode, modem.flash.baud = scene.mode, scene.baud
        modem.flash.hostname = scene.hostname or modem.flash.hostname
        modem.flash.autoconnect = False
        modem.boot_baud = scene.baud
        modem.strap(scene.strapped)
        if scene.cause is not None:
            modem.boot_text = scene.boot
            return
        modem.boot_text = BootText()
        modem.enable(True)
        self.clock.run_until(lambda: modem.running, self.clock.now + SECOND)
        self.clock.advance(QUIET_NS + SECOND * 10 * 9 // scene.baud)
        modem.settings.mode = scene.mode
        modem.settings.scan_sort = not scene.points
        modem.settings.scan_mask = scene.scan_mask or modem.settings.scan_mask
        modem.own.stations.update(scene.stations)
        modem.settings.name_servers = scene.name_servers or None
        modem.missing |= scene.missing
        modem.settings.dhcp = modem.flash.dhcp = scene.numbers.get("CWDHCP", modem.flash.dhcp)
        modem.free_heap = scene.numbers.get("SYSRAM", modem.free_heap)
        modem.settings.sleep = scene.numbers.get("SLEEP", modem.settings.sleep)
        modem.settings.server_timeout_s = scene.numbers.get("CIPSTO", modem.settings.server_timeout_s)
        modem.settings.server_max = scene.numbers.get("CIPSERVERMAXCONN", modem.settings.server_max)
        if scene.ping_ms is not None:
            self.network.rtt_ns = scene.ping_ms * MS
        if scene.own_network is not None:
            modem.settings.own_network = modem.flash.own_network = scene.own_network
        if not scene.echo:
            self._ask(b"ATE0")
        if scene.joined:
            suffix = b"" if modem.profile.rtos else b"_CUR"
            self._ask(b'AT+CWJAP%s="%s","%s"' % (suffix, _quoted(scene.ssid), _quoted(scene.key)), 20 * SECOND)
        for wanted, line in (
            (scene.mux, b"AT+CIPMUX=1"),
            (scene.remote, b"AT+CIPDINFO=1"),
            (scene.passive, b"AT+CIPRECVMODE=1"),
            (scene.sysmsg, b"AT+SYSMSG_CUR=%d" % scene.sysmsg),
            (scene.zone, b"AT+CIPSNTPCFG=1,%d" % scene.zone),
            (scene.sntp, b"AT+CIPSNTPCFG=" + scene.sntp),
        ):
            if wanted:
                self._ask(line)
        for number in sorted(scene.links):
            self._open(number)
        modem.next_ports.extend(scene.ports)
        modem.boot_text = scene.boot
        modem.links.last_closed = scene.last_closed
        if "CWAUTOCONN" in scene.numbers:
            modem.flash.autoconnect = bool(scene.numbers["CWAUTOCONN"])
        if scene.stored:
            modem.flash.ssid, modem.flash.password, modem.flash.autoconnect = scene.ssid, scene.key, True
        self._serve()

    def _open(self, number: int) -> None:
        actor = self.actors[number] = Actor()
        self.network.attach(scenes.PEER_IP, _ACTOR_PORT + number, lambda: actor)
        prefix = b"%d," % number if self.scene.mux else b""
        self._ask(b'AT+CIPSTART=%s"TCP","%s",%d' % (prefix, scenes.PEER_IP.encode(), _ACTOR_PORT + number))
        link = self.modem.links[number]
        if link is not None:
            link.ip, link.port, local_port, link.server = self.scene.links[number]
            link.local_port = local_port or link.local_port

    def _serve(self) -> None:
        """Hosts that the log's own commands will reach."""
        for command in self._commands:
            asked = re.match(rb'AT\+PING="([\d.]+)"', command)
            if asked and self.scene.ping_ms is not None and asked[1].decode() not in self.scene.silent:
                self.network.attach(asked[1].decode(), SERVER_PORT, None)
            start = re.match(rb'AT\+CIPSTART=(?:([0-4]),)?"\w+","([^"]+)",(\d+)', command)
            if start is None:
                continue
            host = start[2].decode("latin-1")
            ip = self.scene.names.get(host, host)
            if scenes.is_address(ip):
                actor = self.actors[int(start[1] or 0)] = Actor()
                refused = ip in self.scene.refused
                if refused and self._busy:
                    continue  # it took its time to fail: nobody answers there
                self.network.attach(ip, int(start[3]), None if refused else lambda actor=actor: actor)

    def _ask(self, line: bytes, limit_ns: int = SECOND) -> None:
        """Type `line` and throw its answer away."""
        echo = self.modem.settings.echo
        self.rx.write(line + b"\r\n")
        self.clock.advance(20 * MS)
        self.clock.run_until(lambda: self.modem.receiver.at_rest, self.clock.now + limit_ns)
        self.clock.advance(QUIET_NS)
        self.tx.take()
        if echo and line != b"ATE0":
            self.modem.settings.echo = True


def _point(scene: scenes.Scene) -> AccessPoint:
    """The network that the log's join is about, such that it ends as it did there."""
    key = scene.key.decode("utf-8", "surrogateescape")
    return AccessPoint(
        ssid=scene.ssid if scene.join_code != 3 else scene.ssid + b" elsewhere",
        password=key if scene.join_code != 2 else key + "not this",
        rssi=scene.rssi,
        channel=scene.channel,
        bssid=scene.bssid,
        associate_ms=60_000 if scene.join_code == 1 and not scene.associated else 1600,
        dhcp_ok=scene.join_code != 1,
        tells_timeout=scene.tells_timeout,
        refuses=scene.join_code == 4,
        ip=scene.address[0],
        gateway=scene.address[1],
        netmask=scene.address[2],
    )


def _quoted(text: bytes) -> bytes:
    return text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
