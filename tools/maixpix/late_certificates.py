"""Certificates of the system, read when the first TLS connection needs them instead of whenever somebody might.

aiohttp makes two TLS contexts while it is imported, and OpenSSL 3 takes 0.03 to 0.07 s to read the certificates of a
Debian into each (November 2026, Python 3.11): a third of what `maixpix get` takes to start, for nothing where no
address is https.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_READING = ("load_default_certs", "set_default_verify_paths")


@contextmanager
def late_certificates() -> Iterator[None]:
    """TLS contexts that are made within trust what they always would, but look for it late."""
    own = {name: vars(ssl.SSLContext).get(name) for name in _READING}
    for name in _READING:
        setattr(ssl.SSLContext, name, _deferred(name))
    try:
        yield
    finally:
        for name, method in own.items():
            if method is None:  # it is of the class below
                delattr(ssl.SSLContext, name)
            else:
                setattr(ssl.SSLContext, name, method)


class _LateContext(ssl.SSLContext):
    """Still has to read its certificates; `how` is with which methods and arguments."""

    how: list[tuple[str, tuple[Any, ...]]]

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        self._read()
        return super().wrap_bio(*arguments, **options)

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        self._read()
        return super().wrap_socket(*arguments, **options)

    def cert_store_stats(self) -> dict[str, int]:
        self._read()
        return super().cert_store_stats()

    def get_ca_certs(self, *arguments: Any) -> Any:
        self._read()
        return super().get_ca_certs(*arguments)

    def _read(self) -> None:
        how, self.how = self.how, []
        for name, arguments in how:
            getattr(self, name)(*arguments)


def _deferred(name: str) -> Callable[..., None]:
    def later(context: ssl.SSLContext, *arguments: Any) -> None:
        if not isinstance(context, _LateContext):
            context.__class__ = _LateContext
            context.how = []
        context.how.append((name, arguments))

    return later
