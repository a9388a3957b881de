"""`maixpix get` over https: long bodies past the parser, cuts, and certificates that nobody vouches for."""

import os
import shutil
import ssl
import subprocess
import sys

import pytest

from benchmarks.lies import BIG
from benchmarks.lying_server import LyingServer

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """The path of a certificate for localhost that vouches for itself; the key is beside it."""
    folder = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = "-addext subjectAltName=DNS:localhost -keyout key -out cert"
    subprocess.run(["openssl", *words.split(), *names.split()], cwd=folder, check=True, capture_output=True)
    return folder / "cert"


@pytest.fixture
def server(certificate):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, certificate.with_name("key"))
    cut = {"cut": lambda talk: talk.serve(BIG, cut_at=5_000_000 if talk.number == 1 else None)}
    with LyingServer({"whole": lambda talk: talk.serve(BIG), **cut}, tls) as server:
        yield server


def get(url, folder, *words, **environment):
    command = [sys.executable, "-m", "maixpix", "get", url, "-d", str(folder), *words]
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environment)


@pytest.mark.parametrize("parts", ["1", "2"])
@pytest.mark.parametrize("path", ["whole", "cut"])
def test_a_long_body(server, certificate, tmp_path, path, parts):
    done = get(server.url(path), tmp_path, "--parts", parts, SSL_CERT_FILE=str(certificate))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / path).read_bytes() == BIG
    assert len(server.talks["/" + path]) > (path == "cut" or parts == "2")


def test_a_certificate_that_nobody_vouches_for(server, tmp_path):
    done = get(server.url("whole"), tmp_path)
    assert done.returncode == 1
    assert "the server's certificate is not to be trusted" in done.stderr
    assert not (tmp_path / "whole").exists()
    assert not server.talks
