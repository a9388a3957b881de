"""Open connections by the address that they come from, and which of them makes room for another."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar


class Peer(Protocol):
    """One connection: the address it comes from, and when something last moved on it (any clock that only grows)."""

    address: str
    heard: float

    def can_be_spared(self) -> bool:
        """Whether it may be ended for others."""


AnyPeer = TypeVar("AnyPeer", bound=Peer)


class Crowd(Generic[AnyPeer]):
    """At most `most` peers, at most `most_each` of one address. Whoever holds most gives up its quietest one."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._peers: dict[str, dict[int, AnyPeer]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def admit(self, peer: AnyPeer) -> tuple[bool, AnyPeer | None]:
        """Whether `peer` may stay, and which one has to go for it (it is left out here at once)."""
        own = self._peers.get(peer.address, {})
        spared = None
        if self._count >= self._most:
            groups = sorted(self._peers.values(), key=len, reverse=True)
            spared = next((quiet for quiet in map(_quietest, groups) if quiet is not None), None)
        elif len(own) >= self._most_each:
            spared = _quietest(own)
        if spared is None and (self._count >= self._most or len(own) >= self._most_each):
            return False, None
        if spared is not None:
            self.leave(spared)
        self._peers.setdefault(peer.address, {})[id(peer)] = peer
        self._count += 1
        return True, spared

    def leave(self, peer: AnyPeer) -> None:
        """The connection is gone; a second call does nothing."""
        own = self._peers.get(peer.address, {})
        if own.pop(id(peer), None) is not None:
            self._count -= 1
            if not own:
                del self._peers[peer.address]


def _quietest(peers: dict[int, AnyPeer]) -> AnyPeer | None:
    return min((peer for peer in peers.values() if peer.can_be_spared()), key=lambda peer: peer.heard, default=None)
