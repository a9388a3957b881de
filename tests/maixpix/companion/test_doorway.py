"""How connections come in: fair between addresses, those who have left dropped, and who makes room for whom."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import sys

import pytest

from maixpix.companion.crowd import Crowd
from maixpix.companion.doorway import Doorway
from rig.patience import patient


class Greeter(asyncio.Protocol):
    """Notes who comes in, and answers."""

    came: list[str] = []  # noqa: RUF012  each test makes its own class

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.came.append(transport.get_extra_info("peername")[0])
        transport.write(b"hello")


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    sock.listen(1024)
    return sock


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127/8 and tells who has left")
def test_one_address_does_not_wait_behind_another():
    greeter = type("Mine", (Greeter,), {"came": []})
    sock = listening()
    where = sock.getsockname()
    crowd = [socket.create_connection(where, 10, ("127.0.0.2", 0)) for _ in range(200)]
    late = socket.create_connection(where, 10, ("127.0.0.3", 0))

    async def work() -> None:
        doorway = Doorway(sock, greeter)
        await doorway.open()
        assert await asyncio.wait_for(asyncio.to_thread(late.recv, 5), patient(20)) == b"hello"
        while len(greeter.came) < 201:
            await asyncio.sleep(0.01)
        doorway.close()

    try:
        asyncio.run(work())
    finally:
        for peer in (*crowd, late):
            peer.close()
    # Taken off the system's queue 128 at a time; it came 201st and is let in before most of the others.
    assert greeter.came.index("127.0.0.3") < 150


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has left")
def test_those_who_have_left_get_no_transport():
    greeter = type("Mine", (Greeter,), {"came": []})
    sock = listening()
    for _ in range(100):
        with socket.create_connection(sock.getsockname(), 10, ("127.0.0.2", 0)) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
    stays = socket.create_connection(sock.getsockname(), 10)

    async def work() -> int:
        doorway = Doorway(sock, greeter)
        await doorway.open()
        assert await asyncio.wait_for(asyncio.to_thread(stays.recv, 5), patient(20)) == b"hello"
        doorway.close()
        return doorway.dropped

    with stays:
        assert asyncio.run(work()) == 100
    assert greeter.came == ["127.0.0.1"]


@dataclasses.dataclass
class Somebody:
    """A connection as the crowd sees it."""

    address: str
    heard: float
    spare: bool = True

    def can_be_spared(self) -> bool:
        return self.spare


def test_whoever_holds_most_gives_up_its_quietest():
    crowd: Crowd[Somebody] = Crowd(4, 3)
    many = [Somebody("many", heard) for heard in (3.0, 1.0, 2.0)]
    few = Somebody("few", 0.0)
    for one in (*many, few):
        assert crowd.admit(one) == (True, None)
    assert crowd.admit(Somebody("new", 9.0)) == (True, many[1])
    assert len(crowd) == 4
    crowd.leave(many[1])
    assert len(crowd) == 4
    many[2].spare = many[0].spare = False
    # Nothing of theirs can be spared: the next one has to.
    assert crowd.admit(Somebody("new", 9.0)) == (True, few)


def test_one_address_has_its_share_and_nobody_is_ended_in_the_middle():
    crowd: Crowd[Somebody] = Crowd(10, 2)
    busy, quiet = Somebody("a", 1.0, spare=False), Somebody("a", 2.0)
    assert crowd.admit(busy) == (True, None)
    assert crowd.admit(quiet) == (True, None)
    assert crowd.admit(Somebody("a", 3.0, spare=False)) == (True, quiet)
    assert crowd.admit(Somebody("a", 4.0)) == (False, None)
    assert crowd.admit(Somebody("b", 4.0)) == (True, None)
    assert len(crowd) == 3
