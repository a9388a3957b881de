"""What differs between versions of the AT firmware.

Texts and tables come from the compiled firmware (NONOS SDK 2.0.0, 2.2.1, 3.0.4 `libat.a`) and, for AT 1.1, from the
version dump of a Maix board in Sipeed's MaixPy scripts (`demo_espat_ap_test.py`).
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
    """Lines of AT+GMR; the last one has no line end of its own."""
    echo_returns: bool
    """Up to 1.3 the line feed is not echoed; instead a CR LF is printed at the end of a line (`AT\\r\\r\\n`)."""
    join_polls: tuple[int, ...]
    """Times after CWJAP at which the module looks whether it has joined; a failure is reported at the last."""
    frame_max: int
    """Longest +IPD of a TCP link: one segment, or (with pulled receive, 1.6 and later) the whole window."""
    passive: bool
    """CIPRECVMODE and friends exist (1.7 and later)."""
    syn_timeout_ns: int
    """How long an unanswered connect takes to fail."""
    scan_mask: int
    """Which fields CWLAP prints by default."""
    ready_ns: int = 420 * MS
    """From the rising edge of EN to `ready`."""


def _polls(first_s: int, every_s: int, count: int) -> tuple[int, ...]:
    return tuple((first_s + every_s * i) * SECOND for i in range(count))


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
        syn_timeout_ns=4 * SECOND,
        scan_mask=0x7FF,
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
