"""`maixpix get` as a process: what it prints, what it leaves, what a killed or repeated run does."""

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading

import pytest

from benchmarks.lies import BIG, BIG_B, A, B
from benchmarks.lying_server import LyingServer
from maixpix.download.journal import INTERVAL_BYTES

SLOW = threading.Event()


class Gate:
    """Lets a slow answer send on only when a test says so."""

    def __init__(self):
        self.reached = threading.Event()
        self.open = threading.Event()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def serve():
    servers = []

    def start(**behaviours):
        server = LyingServer(behaviours).__enter__()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.__exit__()


def command(*words):
    return [sys.executable, "-m", "maixpix", "get", *map(str, words)]


def get(*words, **options):
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=100, check=False, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".maixpix-get")


def held(gate, content, **options):
    """Serves two thirds, then waits for the gate."""

    def behave(talk):
        if talk.number > 1:
            return talk.serve(content, **options)
        stop = 2 * len(content) // 3
        talk.head("200 OK", Content_Length=len(content), ETag=options.get("etag", '"v1"'), Accept_Ranges="bytes")
        talk.raw(content[:stop])
        gate.reached.set()
        gate.open.wait(60)
        return talk.raw(content[stop:])

    return behave


def kill_when(process, is_time):
    """Kill -9 as soon as `is_time()`."""
    while not is_time():
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()


def journalled(folder):
    """Bytes that the journal in `folder` calls safe."""
    safe = 0
    for path in folder.glob("*.part.json"):
        for line in path.read_bytes().split(b"\n")[1:]:
            if line.endswith(b"}"):
                safe += sum(stop - start for start, stop, _ in json.loads(line).get("safe", ()))
    return safe


def test_a_killed_run_leaves_no_final_name_and_the_next_goes_on(serve, gate, tmp_path):
    server = serve(big=held(gate, BIG))
    process = subprocess.Popen(command(server.url("big"), "-d", tmp_path, "--parts", "1"))
    kill_when(process, lambda: journalled(tmp_path) >= 2 * len(BIG) // 3 - 1024 * 1024)
    assert names(tmp_path) == ["big.part", "big.part.json"]
    safe = journalled(tmp_path)
    done = get(server.url("big"), "-d", tmp_path, "--parts", "1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["state"] == "resumed"
    assert told["received"] <= len(BIG) - safe + 2048
    assert (tmp_path / "big").read_bytes() == BIG
    assert names(tmp_path) == ["big"]


@pytest.mark.parametrize("parts", [1, 8])
def test_a_killed_run_fetches_at_most_one_interval_again(serve, tmp_path, parts):
    content = random.Random(8).randbytes(24_000_000)

    def behave(talk):
        talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # what the system holds has not been fetched
        talk.serve(content, pause_s=0.0025 * parts)

    server = serve(big=behave)
    words = server.url("big"), "-d", tmp_path, "--parts", parts
    process = subprocess.Popen(command(*words))
    kill_when(process, lambda: server.sent["/big"] >= len(content) // 2)
    sent = server.sent["/big"]
    done = get(*words, "--json")
    assert done.returncode == 0, done.stderr
    assert sent + json.loads(done.stdout)["received"] - len(content) <= INTERVAL_BYTES
    assert (tmp_path / "big").read_bytes() == content


@pytest.mark.parametrize(("etag", "modified"), [('"v2"', None), ('"v1"', None)], ids=["tag changes", "tag lies"])
def test_a_version_that_changes_between_runs_is_fetched_anew(serve, gate, tmp_path, etag, modified):
    first = held(gate, BIG)
    server = serve(big=lambda talk: first(talk) if talk.number == 1 else talk.serve(BIG_B, etag=etag))
    process = subprocess.Popen(command(server.url("big"), "-d", tmp_path, "--parts", "1"))
    kill_when(process, lambda: journalled(tmp_path) >= 1_000_000)
    done = get(server.url("big"), "-d", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "big").read_bytes() == BIG_B


@pytest.mark.parametrize("damage", ["part", "journal", "no journal", "no part"])
def test_what_a_run_left_is_not_believed_when_it_was_damaged(serve, gate, tmp_path, damage):
    server = serve(big=held(gate, BIG))
    process = subprocess.Popen(command(server.url("big"), "-d", tmp_path, "--parts", "1"))
    kill_when(process, lambda: journalled(tmp_path) >= 1_000_000)
    part, journal = tmp_path / "big.part", tmp_path / "big.part.json"
    match damage:
        case "part":
            with part.open("r+b") as file:
                file.seek(500_000)
                file.write(b"x" * 100)
        case "journal":
            with journal.open("r+b") as file:
                file.truncate(journal.stat().st_size - 7)
        case "no journal":
            journal.unlink()
        case "no part":
            part.unlink()
    done = get(server.url("big"), "-d", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "big").read_bytes() == BIG
    assert names(tmp_path) == ["big"]


def test_ctrl_c_keeps_what_is_safe_and_says_how_to_go_on(serve, gate, tmp_path):
    server = serve(big=held(gate, BIG))
    process = subprocess.Popen(
        command(server.url("big"), "-d", tmp_path, "--parts", "1"), stderr=subprocess.PIPE, text=True
    )
    assert gate.reached.wait(60)
    while not journalled(tmp_path):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in said
    assert names(tmp_path) == ["big.part", "big.part.json"]
    assert json.loads(get(server.url("big"), "-d", tmp_path, "--json").stdout)["state"] == "resumed"


def test_a_second_run_transfers_nothing(serve, tmp_path):
    server = serve(a=lambda talk: talk.serve(A))
    assert get(server.url("a"), "-d", tmp_path).returncode == 0
    done = get(server.url("a"), "-d", tmp_path, "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert (told["state"], told["received"]) == ("unchanged", 0)


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
@pytest.mark.parametrize("content", [A, BIG], ids=["little", "big"])
def test_a_second_run_without_strong_validators_compares(serve, tmp_path, etag, content):
    now = {"content": content}
    server = serve(a=lambda talk: talk.serve(now["content"], etag=etag, modified=None))
    assert get(server.url("a"), "-d", tmp_path).returncode == 0
    again = get(server.url("a"), "-d", tmp_path, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["state"] == "unchanged"
    now["content"] = content[:-1] + b"?"
    if etag is None:
        changed = get(server.url("a"), "-d", tmp_path)
        assert changed.returncode == 1
        assert "is there already" in changed.stderr
    assert (tmp_path / "a").read_bytes() == content
    assert names(tmp_path) == ["a"]


def test_a_newer_version_replaces_the_file_only_when_told(serve, tmp_path):
    content = {"now": (A, '"v1"')}
    server = serve(a=lambda talk: talk.serve(content["now"][0], etag=content["now"][1]))
    target = tmp_path / "file"
    assert get(server.url("a"), "-o", target).returncode == 0
    content["now"] = (B, '"v2"')
    done = get(server.url("a"), "-o", target)
    assert done.returncode == 1
    assert "--if-changed" in done.stderr
    assert target.read_bytes() == A
    assert get(server.url("a"), "-o", target, "--if-changed").returncode == 0
    assert target.read_bytes() == B
    assert json.loads(get(server.url("a"), "-o", target, "--if-changed", "--json").stdout)["received"] == 0


def test_a_foreign_file_is_left_alone_unless_told(serve, tmp_path):
    server = serve(a=lambda talk: talk.serve(A))
    target = tmp_path / "a"
    target.write_bytes(b"mine")
    done = get(server.url("a"), "-d", tmp_path)
    assert done.returncode == 1
    assert "is there already" in done.stderr
    assert target.read_bytes() == b"mine"
    assert get(server.url("a"), "-d", tmp_path, "--overwrite").returncode == 0
    assert target.read_bytes() == A


def test_a_file_that_was_changed_here_is_not_called_unchanged(serve, tmp_path):
    server = serve(a=lambda talk: talk.serve(A))
    assert get(server.url("a"), "-d", tmp_path).returncode == 0
    (tmp_path / "a").write_bytes(A[:-1] + b"?")
    assert get(server.url("a"), "-d", tmp_path).returncode == 1
    assert get(server.url("a"), "-d", tmp_path, "--if-changed").returncode == 0
    assert (tmp_path / "a").read_bytes() == A


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename=../../etc/passwd", "passwd"),
        ('attachment; filename="..\\\\..\\\\evil.bin"', "evil.bin"),
        ("attachment; filename*=UTF-8''%e2%82%ac%20rates.txt; filename=plain.txt", "€ rates.txt"),
        ("attachment; filename=two words.txt", "two words.txt"),
        ('attachment; filename="con.txt"', "_con.txt"),
        ("attachment; filename*=UTF-8''a%00b%E2%80%AEgpj.exe", "abgpj.exe"),
        ('attachment; filename=".bashrc"', "bashrc"),
        ('attachment; filename=".."', "download"),
    ],
)
def test_names_from_servers_are_made_safe(serve, tmp_path, disposition, name):
    server = serve(a=lambda talk: talk.serve(A, shown={"Content_Disposition": disposition}))
    folder = tmp_path / "deep" / "er"
    done = get(server.url("a"), "-d", folder)
    assert done.returncode == 0, done.stderr
    assert names(folder) == [name]
    assert names(tmp_path) == ["deep"]


@pytest.mark.parametrize("link", ["final", "part"])
def test_no_link_leads_out_of_the_folder(serve, tmp_path, link):
    server = serve(a=lambda talk: talk.serve(A))
    outside, folder = tmp_path / "outside", tmp_path / "in"
    folder.mkdir()
    outside.write_bytes(b"mine")
    (folder / ("a" if link == "final" else "a.part")).symlink_to(outside)
    done = get(server.url("a"), "-d", folder, "--overwrite")
    assert outside.read_bytes() == b"mine"
    assert done.returncode == (0 if link == "final" else 1)


def test_a_digest_that_is_wrong_leaves_nothing(serve, tmp_path):
    server = serve(a=lambda talk: talk.serve(B))
    done = get(server.url("a"), "-d", tmp_path, "--sha256", hashlib.sha256(A).hexdigest())
    assert done.returncode == 1
    assert "sha-256" in done.stderr
    assert names(tmp_path) == []


def test_a_list_of_digests(serve, tmp_path):
    lines = f"{hashlib.sha256(A).hexdigest()}  a\n{hashlib.sha256(A).hexdigest()} *b\n"
    server = serve(
        a=lambda talk: talk.serve(A), b=lambda talk: talk.serve(B), SHA256SUMS=lambda talk: talk.serve(lines.encode())
    )
    done = get(server.url("a"), server.url("b"), "-d", tmp_path, "--sums", server.url("SHA256SUMS"), "--json")
    told = {line["url"][-1]: line for line in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    assert (told["a"]["proof"], told["b"]["kind"]) == ("sha256", "digest")
    assert names(tmp_path) == ["a"]


def test_a_full_disk_is_a_clean_failure(serve, tmp_path):
    server = serve(a=lambda talk: talk.serve(BIG))
    limits = "import resource, os, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, 1000000))\n"
    script = limits + "os.execv(sys.executable, [sys.executable, '-m', 'maixpix', 'get', *sys.argv[1:]])"
    done = subprocess.run(
        [sys.executable, "-c", script, server.url("a"), "-d", str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert not (tmp_path / "a").exists()


def test_two_runs_at_once_do_not_write_one_file(serve, gate, tmp_path):
    server = serve(big=held(gate, BIG))
    first = subprocess.Popen(command(server.url("big"), "-d", tmp_path, "--parts", "1"))
    assert gate.reached.wait(60)
    while not (tmp_path / "big.part").exists():
        assert first.poll() is None
    second = get(server.url("big"), "-d", tmp_path)
    gate.open.set()
    assert first.wait(60) == 0
    assert second.returncode == 1
    assert "another download" in second.stderr
    assert (tmp_path / "big").read_bytes() == BIG


def test_a_server_cannot_write_to_the_terminal(serve, tmp_path):
    server = serve(a=lambda talk: talk.head("302 Found", Location="x:\x1b]0;gotcha\x07", Content_Length=0))
    done = get(server.url("a"), "-d", tmp_path)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout + done.stderr


def test_secrets_stay_with_the_host_that_they_are_for(serve, tmp_path):
    def behave(talk):
        if talk.headers["host"].startswith("localhost"):
            return talk.serve(A)
        return talk.head("302 Found", Location=f"http://localhost:{talk.port}/a", Content_Length=0)

    server = serve(a=behave)
    done = get(server.url("a"), "-d", tmp_path, "--bearer", "secret", "-H", "X-Mine: yes")
    assert done.returncode == 0, done.stderr
    here, there = server.talks["/a"]
    assert here.headers["authorization"] == "Bearer secret"
    assert "authorization" not in there.headers
    assert there.headers["x-mine"] == "yes"


def test_passwords_come_from_netrc(serve, tmp_path):
    server = serve(a=lambda talk: talk.serve(A))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    done = get(server.url("a"), "-d", tmp_path / "out", env={**os.environ, "NETRC": str(netrc)})
    assert done.returncode == 0, done.stderr
    assert server.talks["/a"][0].headers["authorization"] == "Basic bWU6c2VjcmV0"


@pytest.mark.parametrize(
    "words",
    [("ftp://127.0.0.1/a",), ("http://",), ("file:///etc/passwd",), ("http://127.0.0.1:1/a", "--retries", "0")],
)
def test_addresses_that_lead_nowhere(tmp_path, words):
    done = get(*words, "-d", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("maixpix: ")
    assert len(done.stderr.splitlines()) == 1
    assert names(tmp_path) == []


def test_a_password_in_the_address_is_used_and_not_kept(serve, tmp_path):
    server = serve(a=lambda talk: talk.serve(A))
    done = get(server.url("a").replace("//", "//me:secret@"), "-d", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert server.talks["/a"][0].headers["authorization"] == "Basic bWU6c2VjcmV0"
    assert "secret" not in done.stdout + done.stderr + (tmp_path / ".maixpix-get").read_text()
