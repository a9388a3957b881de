"""The world around a recorded session, read from its bytes: what a profile cannot know and a replay must be told.

A module's address, its build's version text, the network's name, how a join or a connect ended are facts of the place
where the log was written. What the firmware makes of them (which lines, in which order, with which line ends) is the
profile's part, and that is what a replay compares.

Longer than 350 lines: one reader for each kind of fact, and the facts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from virtualboard.esp8285.air import AccessPoint
from virtualboard.esp8285.boot import BootText, Segment
from virtualboard.esp8285.profiles import PROFILES, Profile
from virtualboard.esp8285.records.session import Session

PEER_IP = "192.0.2.80"
"""Where hosts are whose address the log does not tell."""

_NEEDS_NETWORK = re.compile(rb"AT\+(CIPSTART|CIPSEND|CIPCLOSE|CIPDOMAIN|PING|CWQAP|CIPRECVDATA)")
_BOOT = re.compile(rb"\r\n ets [^\r\n]*\r\n")
_LOAD = re.compile(rb"load 0x([0-9a-f]{8}), len (\d+), room (\d+) \r\ntail (\d+)\r\nchksum 0x([0-9a-f]{2})\r\n")
_FOUND = re.compile(rb'\+CWLAP:\((\d),"([^\r\n]*?)",(-?\d+),"([0-9a-f:]{17})",(\d+)((?:,-?\d+)*)\)\r\n')
_JUMP = re.compile(rb"jump to run (user\d @ \w+)\r\n\r\n")
_LAST = re.compile(rb"\r\n(ready|invalid)\r\n")
_CLOCK = re.compile(rb"\+CIPSNTPTIME:\w{3} \w{3} [ \d]\d (\d\d):\d\d:\d\d 1970")


@dataclass
class Scene:
    """What the log tells about its surroundings."""

    echo: bool = False
    joined: bool = False
    """It is in a network when the log begins."""
    stored: bool = False
    """It joins by itself after a boot."""
    ssid: bytes = b"net"
    key: bytes = b""
    join_code: int = 0
    """Of `+CWJAP:n`, when a join fails."""
    associated: bool = False
    """That join got as far as WIFI CONNECTED."""
    bssid: str = "02:00:00:00:00:01"
    channel: int = 6
    rssi: int = -50
    address: tuple[str, str, str] = ("192.0.2.3", "192.0.2.1", "255.255.255.0")
    mac: str = "00:00:00:00:00:02"
    ap_mac: str = "02:00:00:00:00:02"
    ap_address: tuple[str, str, str] | None = None
    own_network: tuple[bytes, bytes, int, int, int, int] | None = None
    mode: int = 1
    hostname: bytes = b""
    baud: int = 115200
    mux: bool = False
    remote: bool = False
    """CIPDINFO was on before."""
    sysmsg: int = 0
    sntp: bytes = b""
    """What CIPSNTPCFG was set to."""
    zone: int = 0
    """Of the time, when CIPSNTPCFG came before the log begins."""
    links: dict[int, tuple[str, int, int, bool]] = field(default_factory=dict)
    """Links that are open when the log begins: address, port, local port (0: any), and whether it is a client's."""
    passive: bool = False
    """CIPRECVMODE=1 came before."""
    silent: set[str] = field(default_factory=set)
    """Addresses that do not answer a ping, though another does."""
    points: list[AccessPoint] = field(default_factory=list)
    """What a scan finds."""
    scan_mask: int = 0
    """Fields of a scan, when not the version's own."""
    ping_ms: int | None = None
    tells_timeout: bool = False
    stations: dict[str, str] = field(default_factory=dict)
    """Of the module's own network: address by MAC."""
    name_servers: tuple[str, ...] = ()
    numbers: dict[str, int] = field(default_factory=dict)
    """What queries told, by the command's name: CWDHCP, CWAUTOCONN, SYSRAM, SLEEP, CIPSTO, CIPSERVERMAXCONN."""
    last_closed: bool = False
    """A link had been closed before (STATUS:4)."""
    missing: set[bytes] = field(default_factory=set)
    """Commands that the build does not have."""
    names: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    """Hosts that refuse a connection; others accept."""
    ports: list[int] = field(default_factory=list)
    boot: BootText = field(default_factory=BootText)
    cause: int | None = None
    """Of the reset with which the log begins, when it begins with one."""
    strapped: bool = False
    notes: list[str] = field(default_factory=list)
    """What the replay takes from the log that a profile might have known: `build`, `noise`."""


def candidates(firmware: str) -> list[Profile]:
    """Profiles that a log of `firmware` may belong to, the likeliest first: the newest that is not newer."""
    versions = re.search(r"(<=|>=)?\s*(\d+)\.(\d+|x)", firmware)
    known = list(PROFILES.values())
    if versions is None:
        return [known[-2], *known[:-2], known[-1]]
    relation, major, minor = versions.groups()
    same = [profile for profile in known if profile.version[0] == max(1, int(major))] or known[-1:]
    if minor == "x":
        return same[::-1]
    top = (int(major), int(minor))
    older = [profile for profile in same if profile.version[:2] <= top][::-1] or same[:1]
    return older if relation == "<=" else older[:1]


def read(session: Session, profile: Profile) -> tuple[Scene, Profile]:
    """The scene of a session, and the profile with the build's own version text."""
    scene = Scene()
    printed = session.printed
    profile = _build(scene, session, profile)
    scene.echo = bool(session.commands) and (
        session.commands[0] + b"\r" in printed
        or any(split_echo(session.commands[0], printed[at.start() :]) for at in re.finditer(rb"AT", printed))
    )
    _scan(scene, printed)
    _addresses(scene, printed)
    _network(scene, session, profile)
    _settings(scene, session)
    _links(scene, session)
    profile = _boot(scene, session, profile)
    moment = _CLOCK.search(printed)
    if moment and not any(command.startswith(b"AT+CIPSNTPCFG") for command in session.commands):
        scene.zone = int(moment[1])
    _pings(scene, session)
    if rate := re.search(rb"\+UART(?:_CUR|_DEF)?:(\d+),", printed):
        scene.baud = int(rate[1])
    return scene, profile


def _pings(scene: Scene, session: Session) -> None:
    asked = [match[1].decode() for match in map(re.compile(rb'AT\+PING="([\d.]+)"').match, session.commands) if match]
    answers = re.findall(rb"(?:^|\n)\+(?:PING:)?(\d+|timeout|TIMEOUT)\r\n", session.printed)
    for address, answer in zip(asked, answers, strict=False):
        if answer.isdigit():
            scene.ping_ms = int(answer)
        else:
            scene.silent.add(address)


def is_address(host: str) -> bool:
    """True for four numbers with dots."""
    return re.fullmatch(r"\d+(\.\d+){3}", host) is not None


def split_echo(command: bytes, rest: bytes) -> tuple[int, bytes] | None:
    """Where a notice stands inside the echo of `command` at the beginning of `rest`: behind how many bytes, and it."""
    for at in range(1, len(command)):
        if not rest.startswith(command[:at]):
            return None
        notice = re.match(rb"(WIFI (?:DISCONNECT|CONNECTED|GOT IP)|[0-4],(?:CONNECT|CLOSED))\r\n", rest[at:])
        if notice and rest[at + notice.end() :].startswith(command[at:]):
            return at, notice[0]
    return None


def _scan(scene: Scene, printed: bytes) -> None:
    for line in _FOUND.finditer(printed):
        tail = tuple(line[6].split(b",")[1:])
        scene.points.append(
            AccessPoint(
                line[2],
                rssi=int(line[3]),
                bssid=line[4].decode(),
                channel=int(line[5]),
                encryption=int(line[1]),
                scan_tail=tail,
            )
        )
        scene.scan_mask = (1 << 5 + len(tail)) - 1


def _build(scene: Scene, session: Session, profile: Profile) -> Profile:
    told = re.search(rb"(AT version:[^\r\n]*\r\n(?:[^\r\n]+\r\n)*?)(?:(\r\n)|OK\r\n)", session.printed)
    if told is None:
        return profile
    first = told[1].removesuffix(b"\r\n").split(b"\r\n")
    ended = told[2] is not None if told[1].startswith(b"AT version:0.") else profile.gmr[-1].endswith(b"\n")
    lines = (*first[:-1], first[-1] + b"\r\n" * ended)
    if lines != profile.gmr:
        scene.notes.append("build")
    return replace(profile, gmr=lines)


def _addresses(scene: Scene, printed: bytes) -> None:
    if mac := re.search(rb'(?:STAMAC,|CIPSTAMAC(?:_CUR|_DEF)?:)"([0-9a-f:]{17})"', printed):
        scene.mac = mac[1].decode()
    if mac := re.search(rb'(?:APMAC,|CIPAPMAC(?:_CUR|_DEF)?:)"([0-9a-f:]{17})"', printed):
        scene.ap_mac = mac[1].decode()
    if triple := _triple(printed, b"CIPAP"):
        scene.ap_address = triple
    if triple := _triple(printed, b"CIPSTA"):
        scene.address = triple
    elif station := re.search(rb'STAIP,"([\d.]+)"', printed):
        scene.address = (station[1].decode(), *scene.address[1:])
    if own := re.search(rb'\+CWSAP(?:_CUR|_DEF)?:"([^\r\n]*)","([^\r\n]*)",(\d+),(\d),(\d),(\d)\r\n', printed):
        channel, encryption, most, hidden = (int(number) for number in own.groups()[2:])
        scene.own_network = own[1], own[2], channel, encryption, most, hidden
    if name := re.search(rb"\+CWHOSTNAME:([^\r\n]+)\r\n", printed):
        scene.hostname = name[1]
    if mode := re.search(rb"\+CWMODE(?:_CUR|_DEF)?:([123])\r\n", printed):
        scene.mode = int(mode[1])
    elif b"+CIFSR:AP" in printed or b"+STA_CONNECTED" in printed or b"+CIPAP" in printed or own:
        scene.mode = 3


def _triple(printed: bytes, name: bytes) -> tuple[str, str, str] | None:
    found = re.search(
        rb'\+%s(?:_CUR|_DEF)?:ip:"([\d.]+)"\r\n\+[^"]*gateway:"([\d.]+)"\r\n\+[^"]*netmask:"([\d.]+)"' % name, printed
    )
    return (found[1].decode(), found[2].decode(), found[3].decode()) if found else None


def _settings(scene: Scene, session: Session) -> None:
    printed = session.printed
    for name, value in re.findall(rb"\+(\w+?)(?:_CUR|_DEF)?:(\d+)\r\n", printed):
        scene.numbers[name.decode()] = int(value)
    scene.name_servers = tuple(ip.decode() for ip in re.findall(rb"\+CIPDNS(?:_CUR|_DEF)?:([\d.]+)\r\n", printed))
    scene.last_closed = b"STATUS:4\r\n" in printed
    for ip, mac in re.findall(rb"(?:^|\n)([\d.]{7,15}),([0-9a-f:]{17})\r\n", printed):
        scene.stations[mac.decode()] = ip.decode()
    own = any(re.match(rb"AT\+(CWLIF|CWSAP(_CUR|_DEF)?=)", command) for command in session.commands)
    if scene.stations or (own and b"ERROR" not in printed):
        scene.mode = 3
    if told := re.search(rb"\+CIPSNTPCFG:(1,[^\r\n]+)\r\n", printed):
        scene.sntp = told[1]
    for command in session.commands:
        name = re.match(rb"AT(\+(?:UART|CIPDOMAIN)\w*)[?=]", command)
        error = re.escape(command) + rb"\r{1,2}\n\r\nERROR\r\n"
        if name and (re.search(error, printed) or (len(session.commands) == 1 and printed == b"\r\nERROR\r\n")):
            scene.missing.add(name[1])
            scene.notes.append(f"without {name[1].decode()}")


def _network(scene: Scene, session: Session, profile: Profile) -> None:
    printed = session.printed
    joins = [command for command in session.commands if re.match(rb"AT\+CWJAP(_CUR|_DEF)?=", command)]
    if joins and (named := re.match(rb'[^"]*"((?:\\.|[^"\\])*)","((?:\\.|[^"\\])*)"', joins[0])):
        scene.ssid, scene.key = (re.sub(rb"\\(.)", rb"\1", part) for part in named.groups())
    if point := re.search(rb'\+CWJAP(?:_CUR|_DEF)?:"([^\r\n]*?)","([0-9a-f:]{17})",(\d+),(-?\d+)', printed):
        scene.ssid, scene.bssid = point[1], point[2].decode()
        scene.channel, scene.rssi = int(point[3]), int(point[4])
        scene.joined = True
    if code := re.search(rb"\+CWJAP(?:_CUR|_DEF)?:(\d)\r\n", printed):
        scene.join_code = int(code[1])
        scene.tells_timeout = b"DHCP TIMEOUT\r\n" in printed
        scene.associated = b"WIFI CONNECTED\r\n" in printed
    elif joins and b"WIFI CONNECTED\r\n" not in printed and b"Will force to restart" in printed:
        scene.join_code = 1  # it had not ended when the module was restarted
    first = re.search(rb"WIFI (DISCONNECT|CONNECTED|GOT IP)\r\n", printed)
    boots = _BOOT.search(printed) or _LAST.search(printed)
    by_itself = first is not None and not joins and b"WIFI CONNECTED\r\n" in printed
    scene.stored = by_itself or bool(boots and printed.rfind(b"WIFI ") > boots.start() and not joins)
    if first is None:
        needs = any(_NEEDS_NETWORK.match(command) for command in session.commands) or re.search(
            rb"\+IPD,|[0-4],CONNECT\r\n|STAIP,|STATUS:[234]|CIPSNTPTIME:(?![^\r\n]* 1970)", printed
        )
        offline = re.search(rb'"0\.0\.0\.0"|no ip\r\n|No AP\r\n', printed)
        scene.joined |= bool(needs) and not offline
    elif first[1] == b"DISCONNECT":
        before = boots is None or first.start() < boots.start() or b"ready" in printed[: first.start()]
        opening = by_itself and profile.auto_disconnects
        scene.joined = before and not opening and (scene.join_code == 0 or not scene.associated)
        if boots is not None and first.start() > boots.start():
            scene.joined = False
    else:
        scene.joined = False


def _links(scene: Scene, session: Session) -> None:
    printed, typed = session.printed, b"\n".join(session.commands)
    numbered = re.search(rb"[0-4],(?:CONNECT|CLOSED)|\+IPD,[0-4],\d", printed)
    numbered = numbered or re.search(rb"AT\+CIP(?:SEND\w*|START)=[0-4],|CIPSERVER=|CIPCLOSE=", typed)
    scene.mux = bool(numbered) and b"AT+CIPMUX=1" not in typed and b"MUX=0\r\n" not in printed
    if re.search(rb"\+IPD,(?:[0-4],)?\d+,\d+\.\d+\.\d+\.\d+,\d+:", printed):
        scene.remote = True
    if b"+LINK_CONN" in printed and b"+SYSMSG" not in typed:
        scene.sysmsg = 2
    opened = set(re.findall(rb"AT\+CIPSTART=([0-4]),", typed)) | set(re.findall(rb"([0-4]),CONNECT\r\n", printed))
    used = set(re.findall(rb"AT\+CIPSEND\w*=([0-4]),", typed)) | set(re.findall(rb"\+IPD,([0-4]),\d", printed))
    used |= set(re.findall(rb"([0-4]),CLOSED\r\n", printed))
    scene.passive = b"+CIPRECVDATA" in printed and b"AT+CIPRECVMODE=1" not in typed
    if b"link is not valid" not in printed and b"UNLINK" not in printed:
        scene.links = {int(number): (PEER_IP, 80, 0, False) for number in used - opened}
    if b"ALREADY CONNECTED" in printed and typed.count(b"AT+CIPSTART") == 1:
        twice = re.search(rb"AT\+CIPSTART=(?:([0-4]),)?", typed)
        scene.links[int(twice[1] or 0) if twice else 0] = PEER_IP, 80, 0, False
    for line in re.finditer(rb'\+CIPSTATUS:(\d),"TCP","([\d.]+)",(\d+),(\d+),([01])\r\n', printed):
        if line[1] in opened:
            scene.ports.append(int(line[4]))
        else:
            scene.links[int(line[1])] = line[2].decode(), int(line[3]), int(line[4]), line[5] == b"1"
    single = re.search(rb"AT\+CIPSEND\w*=\d+$", typed, re.MULTILINE) or re.search(rb"\+IPD,\d+:", printed)
    if single and not numbered and b"AT+CIPSTART" not in typed:
        scene.links = {0: (PEER_IP, 80, 0, False)}
    if remote := re.search(rb"\+IPD,(?:([0-4]),)?\d+,([\d.]+),(\d+):", printed):
        number = int(remote[1] or 0)
        if number in scene.links:
            scene.links[number] = remote[2].decode(), int(remote[3]), *scene.links[number][2:]
    for start in re.finditer(rb'AT\+CIPSTART=(?:[0-4],)?"\w+","([^"]+)",(\d+)', typed):
        host = start[1].decode("latin-1")
        there = re.search(rb'\+LINK_CONN:\d,\d,"\w+",\d,"([\d.]+)",\d+,(\d+)', printed)
        if b"DNS Fail" not in printed and not is_address(host):
            scene.names[host] = there[1].decode() if there else PEER_IP
        if not re.search(rb"(?:^|[\n,])CONNECT\r\n|\+LINK_CONN:0", printed):
            scene.refused.add(scene.names.get(host, host))
        if there:
            scene.ports.append(int(there[2]))
    for asked, answer in re.findall(rb'AT\+CIPDOMAIN="([^"]+)".*?\+CIPDOMAIN:"?([\d.]+)', typed + printed, re.DOTALL):
        scene.names[asked.decode("latin-1")] = answer.decode()


def _boot(scene: Scene, session: Session, profile: Profile) -> Profile:
    printed = session.printed
    head, last = _BOOT.search(printed), _LAST.search(printed)
    if head is None:
        if last is not None:
            noise = _noise(printed[: last.start()])
            scene.boot = replace(scene.boot, instead=noise, word=last[1])
            scene.notes.append("noise" if noise else "left out")
        return profile
    first = re.search(rb"rst cause:(\d), ?boot mode:\((\d),(\d)\)", head[0])
    if first is None:
        return profile
    if not session.commands:
        scene.cause = int(first[1])
    elif session.commands[0] in (b"AT+RST", b"AT+RESTORE") and int(first[1]) != profile.restart_cause:
        profile = replace(profile, restart_cause=int(first[1]))
        scene.notes.append("cause")
    scene.strapped = first[2] == b"7"
    fields: dict[str, object] = {"pins": int(first[3])}
    loads = _LOAD.findall(printed)
    if loads:
        fields["segments"] = tuple(Segment(int(a, 16), int(b), int(c), int(d), int(e, 16)) for a, b, c, d, e in loads)
    for name, pattern in (
        ("checksum", rb"csum 0x([0-9a-f]{2})\r\n"),
        ("loader", rb"2nd boot version : ([^\r\n]+)\r\n"),
        ("speed", rb"SPI Speed      : (\w+)\r\n"),
        ("image", rb"jump to run (user\d @ \w+)\r\n"),
        ("mode", rb"SPI Mode       : (\w+)\r\n"),
        ("flash", rb"Size & Map: ([^\r\n]+)\r\n"),
    ):
        if found := re.search(pattern, printed):
            fields[name] = int(found[1], 16) if name == "checksum" else found[1].decode("latin-1")
    if jump := _JUMP.search(printed):
        tail = printed[jump.end() :]
        end = _LAST.search(tail)
        if end is not None:
            fields["word"] = end[1]
            tail = tail[: end.start()]
        banner = re.search(rb"\r\n[ -~]+\r\n\Z", tail) if end is not None else None
        fields["banner"] = banner[0] if banner else b""
        fields["sdk"] = tail[: banner.start()] if banner else tail
    scene.boot = replace(scene.boot, **fields)  # type: ignore[arg-type]
    return profile


def _noise(text: bytes) -> bytes:
    """What stands behind the last whole line when it is no text: a boot read at another rate, which may hold the bytes
    of line ends by chance."""
    lines = text.split(b"\n")
    first = next((i for i, line in enumerate(lines) if any(not 0x20 <= byte < 0x7F for byte in line.strip())), None)
    return b"\n".join(lines[first:]) if first is not None else b""
