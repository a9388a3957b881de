"""What differs between versions of the AT firmware, as data: one block a version, the same fields in the same order.

Texts and tables come from the compiled firmware (NONOS SDK 2.0.0, 2.2.1, 3.0.4 `libat.a`) and from recorded sessions,
named by their ids in tests/virtualboard/esp8285/at-sessions.jsonl: AT 1.1 `maix-gmr-1.1`, AT 1.2 `pisquare6-gmr` and
`gl-gmr-autoconn`, AT 1.5 a user's dump of Espressif's 1.5.1 binary, AT 2.1 a user's dump (Bin version 2.0.0).
`maixpix modem-log` replays a log of another module against one of these and shows where they part.
"""

from __future__ import annotations

from dataclasses import dataclass

from virtualboard.clock import MS, SECOND


@dataclass(frozen=True)
class Profile:
    """One version of the AT firmware. Times are virtual nanoseconds."""

    name: str
    version: tuple[int, int, int]
    gmr: tuple[bytes, ...]
    """Lines of AT+GMR; the last one of 1.x has no line end of its own, that of 0.21 and 2.x has."""
    echo_returns: bool
    """Up to 1.3 the line feed is not echoed; instead a CR LF is printed at the end of a line: `AT\\r\\r\\n` (`jj-at`),
    from 1.5 on `AT\\r\\n` (`sntp-lf`)."""
    join_polls: tuple[int, ...]
    """Times after CWJAP at which the module looks whether it has joined; a failure is reported at the last."""
    frame_max: int
    """Longest +IPD of a TCP link: one segment, or (with pulled receive, 1.6 and later) the whole window."""
    passive: bool
    """CIPRECVMODE and friends exist (1.7 and later)."""
    syn_timeout_ns: int
    """How long an unanswered connect takes to fail, give or take `SPREAD`: 3.1 s recorded on 1.7, older ones keep the
    stack's own 6 repetitions."""
    scan_mask: int
    """Which fields CWLAP prints by default."""
    restart_cause: int
    """`rst cause` that the ROM tells after AT+RST: 2 recorded up to 1.3 (`bbs1821-rst`, `ch-rst`), 1 on 1.7; nobody
    recorded 1.5 and 1.6."""
    auto_disconnects: bool = False
    """An automatic join begins with WIFI DISCONNECT (`gl-gmr-autoconn`, `bbs1821-rst`)."""
    time_end: bytes = b""
    """Behind the text of CIPSNTPTIME: some builds print ctime's own line feed (`sntp-lf`), 1.7 does not
    (`wea8-sntp`)."""
    tells_stations: bool = True
    """+STA_CONNECTED, +DIST_STA_IP and +STA_DISCONNECTED are printed: in the binaries from 1.6.0 (SDK 2.2.0) on."""
    lease_prints: int = 1
    """How often +DIST_STA_IP is printed for one station: twice on 1.7.4 (`sta-174`)."""
    rtos: bool = False
    """ESP-AT 2.x: another program with other words (ERROR for FAIL, prompt `>`, quoted addresses, no _CUR and _DEF but
    of UART), for doors to refuse; its finer differences are not played."""
    missing: frozenset[bytes] = frozenset()
    """Commands that this version lacks though neighbours have them."""


READY_NS = (240 * MS, 300 * MS)
"""From a reset to `ready`: 0.26 s in two records (`ch-rst` and another), with a spread of ours."""

SPREAD = 0.03
"""Relative spread of times that depend on the radio or on other machines; a guess, the records give one value each."""


def _polls(first_s: float, every_s: float, count: int) -> tuple[int, ...]:
    return tuple(round((first_s + every_s * i) * SECOND) for i in range(count))


_ALL = (
    Profile(
        name="1.1",
        version=(1, 1, 0),
        gmr=(
            b"AT version:1.1.0.0(May 11 2016 18:09:56)",
            b"SDK version:1.5.4(baaeaebb)",
            b"compile time:May 20 2016 15:06:44",
        ),
        echo_returns=True,
        join_polls=_polls(3, 2, 7),
        frame_max=1460,
        passive=False,
        syn_timeout_ns=7 * SECOND,
        scan_mask=0x7F,
        restart_cause=2,
        auto_disconnects=True,
        tells_stations=False,
    ),
    Profile(
        name="1.2",
        version=(1, 2, 0),
        gmr=(
            b"AT version:1.2.0.0(Jul  1 2016 20:04:45)",
            b"SDK version:1.5.4.1(39cb9a32)",
            b"Ai-Thinker Technology Co. Ltd.",
            b"Dec  2 2016 14:21:16",
        ),
        echo_returns=True,
        join_polls=_polls(3, 2, 7),
        frame_max=1460,
        passive=False,
        syn_timeout_ns=7 * SECOND,
        scan_mask=0x7F,
        restart_cause=2,
        auto_disconnects=True,
        tells_stations=False,
    ),
    Profile(
        name="1.3",
        version=(1, 3, 0),
        gmr=(
            b"AT version:1.3.0.0(Jul 14 2016 18:54:01)",
            b"SDK version:2.0.0(5a875ba)",
            b"compile time:Jul 18 2016 14:13:12",
        ),
        echo_returns=True,
        join_polls=_polls(3, 2, 7),
        frame_max=1460,
        passive=False,
        syn_timeout_ns=7 * SECOND,
        scan_mask=0x7F,
        restart_cause=2,
        tells_stations=False,
    ),
    Profile(
        name="1.5",
        version=(1, 5, 0),
        gmr=(
            b"AT version:1.5.0.0(Oct 24 2017 12:03:18)",
            b"SDK version:2.1.0(ace2d95)",
            b"compile time:Oct 24 2017 15:48:02",
            b"Bin version(Wroom 02):1.5.1",
        ),
        echo_returns=False,
        join_polls=_polls(3, 2, 7),
        frame_max=1460,
        passive=False,
        syn_timeout_ns=7 * SECOND,
        scan_mask=0x7F,
        restart_cause=2,
        time_end=b"\n",
        tells_stations=False,
    ),
    Profile(
        name="1.6",
        version=(1, 6, 2),
        gmr=(
            b"AT version:1.6.2.0(Apr 13 2018 11:10:59)",
            b"SDK version:2.2.1(6ab97e9)",
            b"compile time:Jun  7 2018 19:34:26",
            b"Bin version(Wroom 02):1.6.2",
        ),
        echo_returns=False,
        join_polls=_polls(3, 2, 7),
        frame_max=2920,
        passive=False,
        syn_timeout_ns=7 * SECOND,
        scan_mask=0x7FF,
        restart_cause=1,
    ),
    Profile(
        name="1.7.4",
        version=(1, 7, 4),
        gmr=(
            b"AT version:1.7.4.0(May 11 2020 19:13:04)",
            b"SDK version:3.0.4(9532ceb)",
            b"compile time:May 27 2020 10:12:17",
            b"Bin version(Wroom 02):1.7.4",
        ),
        echo_returns=False,
        join_polls=_polls(1, 1, 14),
        frame_max=2920,
        passive=True,
        syn_timeout_ns=3100 * MS,
        scan_mask=0x7FF,
        restart_cause=1,
        lease_prints=2,
        missing=frozenset((b"+SYSMSG",)),  # which became SYSMSG_CUR and SYSMSG_DEF (NONOS SDK 2.2.1 and 3.0 libat.a)
    ),
    Profile(
        name="2.1",
        version=(2, 1, 0),
        gmr=(
            b"AT version:2.1.0.0-dev(d25f6d2 - Oct 15 2019 12:03:04)",
            b"SDK version:v3.2-192-g81655f39",
            b"compile time(525fbfe):Oct 17 2019 05:39:13",
            b"Bin version:2.0.0(WROOM-02)\r\n",
        ),
        echo_returns=False,
        join_polls=_polls(0.1, 0.1, 150),
        frame_max=2920,
        passive=True,
        syn_timeout_ns=3100 * MS,
        scan_mask=0x7FF,
        restart_cause=1,
        rtos=True,
        missing=frozenset((b"+CIPSENDBUF", b"+CIPCLOSEMODE", b"+CWJAPTO")),
    ),
)

PROFILES: dict[str, Profile] = {profile.name: profile for profile in _ALL}
"""Every known profile by name."""


def profile_named(name: str) -> Profile:
    """The profile called `name`. ValueError, listing the known ones, when there is none."""
    try:
        return PROFILES[name]
    except KeyError:
        known = ", ".join(PROFILES)
        raise ValueError(f"no AT firmware profile {name!r}; known profiles: {known}") from None
