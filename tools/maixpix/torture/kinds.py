"""What is tortured, and a scenario of it from a seed: settings, servers, guests, lies, faults and power cuts by lot."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from maixpix.torture import plans
from maixpix.torture.scenario import (
    AIR,
    AIR_LIES,
    FILES,
    GUEST_LIES,
    HOST,
    KEY,
    PAGE_LIES,
    PHONE_LIES,
    RAW,
    SINK_LIES,
    SSID,
    TOKEN,
    UPDATE_KEY,
    WEB_KEY,
    Cycle,
    Lie,
    Scenario,
)


@dataclass(frozen=True)
class Kind:
    """What is particular to an app: its settings and server by lot, what its servers and guests may do wrong, how far
    its bytes go on the way out, the longest recovery in seconds of the board's time, the app that the board `runs`,
    where that has another name, whether it `restarts` the board by itself, and whether it comes by the serial cable."""

    draw: Callable[[random.Random], dict[str, Any]]
    lies: tuple[str, ...]
    out_bytes: int
    recovers_s: int
    runs: str = ""
    restarts: bool = False
    cable: bool = False


def _fetches(rng: random.Random) -> dict[str, Any]:
    """Settings and server of an app that fetches pictures."""
    server = {
        "validator": rng.choice(["etag", "etag", "etag", "date", "weak", "none"]),
        "ranges": rng.random() < 0.85,
        "framing": rng.choice(["length", "length", "length", "chunked", "close"]),
        "digest": rng.random() < 0.6,
    }
    settings = {"picture": f"http://{HOST}/a.jpg", "body_kb": 400, "body_s": 60}
    if rng.random() < 0.2:
        settings["picture"] = f"http://reader:{TOKEN}@{HOST}/a.jpg"
    return {"settings": settings, "server": server, "pictures": rng.sample(range(8), rng.randrange(2, 5))}


def _frame(rng: random.Random) -> dict[str, Any]:
    drawn = _fetches(rng)
    drawn["settings"]["interval_s"] = rng.choice([1, 2, 5])
    return drawn


def _get(rng: random.Random) -> dict[str, Any]:
    drawn = _fetches(rng)
    drawn["settings"]["get"] = drawn["settings"].pop("picture") + " /sd/got/got.jpg"
    return drawn


def _uploads(rng: random.Random) -> dict[str, Any]:
    """Settings and server of an app that sends files."""
    door = rng.choices(["http", "tcp+name", "tcp"], [65, 18, 17])[0]
    where = f"http://{HOST}:{FILES}/files/" if door == "http" else f"{door}://{HOST}:{RAW}"
    settings = {"upload": where, "token": "" if door == "tcp" else TOKEN}
    return {"settings": settings, "server": {"digest": rng.random() < 0.8}}


def _snap(rng: random.Random) -> dict[str, Any]:
    drawn = _uploads(rng)
    drawn["settings"] |= {
        "snaps": rng.randrange(1, 4),
        "snap_s": 1,
        "burst": rng.randrange(1, 3),
        "colour": rng.choice(["on", "off"]),
        "quality": rng.randrange(20, 90),
        "frame": rng.choice(["QQVGA", "QQVGA", "QVGA"]),
        "reserve_kb": 64,
    }
    return drawn | {"planted": rng.randrange(3)}


def _send(rng: random.Random) -> dict[str, Any]:
    drawn = _uploads(rng)
    drawn["settings"]["send"] = "DCIM/*.jpg"
    return drawn | {"planted": rng.randrange(1, 4)}


def _update(rng: random.Random) -> dict[str, Any]:
    """A frame that takes new software; `planted` versions before the one that runs lie in its other folder."""
    drawn = _frame(rng)
    drawn["server"]["digest"] = True
    drawn["settings"]["interval_s"] = rng.choice([5, 15])  # it is asked for once a minute: what else happens is waiting
    drawn["settings"] |= {
        "server": f"http://{HOST}:{AIR}",
        "name": "shelf",
        "update_key": UPDATE_KEY,
        "update_s": 60,
    }
    return drawn | {"planted": rng.choice([0, 1, 1, 1])}


def _web(rng: random.Random) -> dict[str, Any]:
    drawn = _fetches(rng)
    settings = {"name": "desk", "frame": "QQVGA", "quality": rng.randrange(30, 80), "body_kb": 400, "body_s": 60}
    settings["web_key"] = rng.choice(["", WEB_KEY, "me:" + WEB_KEY])
    return drawn | {"settings": settings, "planted": rng.randrange(3)}


def _portal(rng: random.Random) -> dict[str, Any]:
    """A frame that knows no network that is there."""
    drawn = _frame(rng)
    drawn["settings"] |= {"wifi": rng.choice([[], [["gone", "12345678"]]]), "portal_s": rng.choice([60, 300])}
    return drawn


def _deploy(rng: random.Random) -> dict[str, Any]:
    """A board whose app looks for a picture that nobody has named, at a PC; `planted` as for an update."""
    server = {"older_loader": rng.random() < 0.5}
    return {"planted": rng.choice([0, 1, 1]), "pictures": rng.sample(range(8), 2), "server": server}


def _fill(rng: random.Random) -> dict[str, Any]:
    return {"pictures": rng.sample(range(8), rng.randrange(1, 4))}


KINDS = {
    "show": Kind(_fetches, PAGE_LIES, 2_000, 180),
    "frame": Kind(_frame, PAGE_LIES, 8_000, 180),
    "get": Kind(_get, tuple(lie for lie in PAGE_LIES if lie not in ("noise", "torn")), 2_000, 180),
    "snap": Kind(_snap, SINK_LIES, 60_000, 400),
    "send": Kind(_send, SINK_LIES, 60_000, 300),
    "update": Kind(_update, AIR_LIES * 3 + PAGE_LIES, 20_000, 900, runs="frame", restarts=True),
    "web": Kind(_web, GUEST_LIES * 2 + PAGE_LIES, 60_000, 180, runs="panel"),
    "deploy": Kind(_deploy, (), 30_000, 300, runs="show", cable=True),
    "fill": Kind(_fill, (), 60_000, 300, runs="show", cable=True),
    "portal": Kind(_portal, PHONE_LIES * 3 + PAGE_LIES, 20_000, 300, runs="frame", restarts=True),
}
"""The apps that are tortured (get takes whatever a server calls a file). Another one takes a line here, one in
`laws.KEEPS`, and its end in `goals.GOALS`."""


def draw(seed: int, app: str = "") -> Scenario:
    """The scenario of `seed`, of `app` when that is given."""
    rng = random.Random(f"torture {seed}")
    name = rng.choice(list(KINDS))
    kind = KINDS[app or name]
    made = Scenario(app or name, seed, rng.choice(["1.1", "1.1", "1.6", "1.7.4", "1.7.4"]), **kind.draw(rng))
    baud = rng.choice([115200, 1_000_000, 1_000_000])
    made.settings = {"app": kind.runs or made.app, "wifi": [[SSID, KEY]], "baud": baud, **made.settings}
    made.quiet_ms = rng.randrange(6_000, 30_000)
    changes = _changes(rng, made)
    count = rng.choices([1, 2, 3, 4], [45, 30, 15, 10])[0]
    made.cycles = []
    for number in range(count):
        last = number == count - 1
        entries = [
            plans.fault(rng, changes, kind.out_bytes, last, plans.CABLE if kind.cable else plans.MODEM)
            for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 4, 6]))
        ]
        entries = plans.one_flip(entries)
        if last and (kind.restarts or kind.cable):
            entries = plans.that_spare_the_start(entries)
        if rng.random() < 0.15:
            plans.at_once(entries)
        count_of_lies = rng.randrange(4) if kind.lies else 0
        lies = [Lie(rng.randrange(6), rng.choice(kind.lies), round(rng.random(), 2)) for _ in range(count_of_lies)]
        end_ms = None if last else rng.randrange(700, 25_000)
        made.cycles.append(Cycle(entries, [lie for lie in lies if _can_be_seen(lie, made)], end_ms))
    made.check()
    return made


def _changes(rng: random.Random, scenario: Scenario) -> dict[str, tuple[str, ...]]:
    """What may happen to bytes on each lane. Without a digest of the server's nothing tells of a changed bit, nor of a
    lost byte and a doubled one together; then only one of the latter happens. A form of a guest has no digest."""
    every = plans.EVERY_CHANGE
    proven = scenario.server.get("digest", True) and scenario.app != "web"
    into = every if proven else (rng.choice(every[:2]),)
    return {"to_chip": into, "to_modem": every, "console_rx": every, "console_tx": every}


def _can_be_seen(lie: Lie, scenario: Scenario) -> bool:
    """Whether a client can find `lie` out: a second answer behind a body that only the end of the link ends is part of
    it, and a receiver that tells no digest may have anything."""
    if lie.do == "twice":
        return scenario.server.get("framing") != "close"
    if lie.do == "wrong-digest" and scenario.settings.get("upload", "").startswith("http://"):
        return bool(scenario.server.get("digest"))
    return True
