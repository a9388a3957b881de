"""Certificates that are read late are the same ones."""

import ssl

from maixpix.late_certificates import late_certificates

METHODS = dict(vars(ssl.SSLContext))


def test_nothing_is_read_before_it_is_needed_and_then_all():
    with late_certificates():
        late = ssl.create_default_context()
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        bare.set_default_verify_paths()
    wanted = ssl.create_default_context()
    assert late.how and bare.how
    assert (late.verify_mode, late.check_hostname, late.options) == (
        wanted.verify_mode,
        wanted.check_hostname,
        wanted.options,
    )
    late.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    assert not late.how
    assert late.cert_store_stats() == wanted.cert_store_stats()
    assert late.get_ca_certs() == wanted.get_ca_certs()
    bare.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    assert not bare.how


def test_contexts_made_later_are_as_ever():
    with late_certificates():
        pass
    assert dict(vars(ssl.SSLContext)) == METHODS
    assert type(ssl.create_default_context()) is ssl.SSLContext
