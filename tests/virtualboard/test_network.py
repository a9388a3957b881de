"""The network alone: names, permission, connections, acknowledgements, and who waits for whom."""

import socket
import threading
import time

import pytest

from rig.patience import patient
from virtualboard.clock import MS, SECOND, Clock
from virtualboard.network import MSS, QUIET_NS, SEGMENT_GAP_NS, WINDOW, Network, Script


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def network(clock):
    made = Network(clock, {"Pictures.Test": "10.0.0.1"})
    yield made
    made.close()
    assert made.open_links == 0
    assert not clock.held


class Client:
    """Records everything that a peer tells the module."""

    def __init__(self, network, peer):
        self.clock = network.clock
        self.peer = peer
        self.log = []
        self.data = bytearray()
        self.acked = 0
        peer.on_connect = lambda ok: self.log.append((self.clock.now, "connect", ok))
        peer.on_data = self._data
        peer.on_close = lambda reset: self.log.append((self.clock.now, "close", reset))
        peer.on_acked = self._acked

    def _data(self, data):
        self.data += data
        self.log.append((self.clock.now, "data", len(data)))

    def _acked(self, count):
        self.acked += count
        self.log.append((self.clock.now, "acked", count))

    def kinds(self):
        return [(kind, value) for _, kind, value in self.log]


def resolve(network, name):
    answers = []
    start = network.clock.now
    network.resolve(name, lambda address: answers.append((address, network.clock.now - start)))
    network.clock.run_until(lambda: bool(answers), start + 60 * SECOND)
    return answers[0]


def test_names(network):
    assert resolve(network, "10.1.2.3") == ("10.1.2.3", 0)
    assert resolve(network, "pictures.test") == ("10.0.0.1", network.rtt_ns)
    assert resolve(network, "LOCALHOST") == ("127.0.0.1", network.rtt_ns)
    assert resolve(network, "nowhere.test") == (None, 12 * SECOND)


def test_a_map_to_something_that_is_no_address_is_refused(clock):
    with pytest.raises(ValueError, match="'pictures'"):
        Network(clock, {"x": "pictures"})


def test_system_resolver_is_asked_only_when_opened(clock):
    network = Network(clock, dns=True)
    answer, _ = resolve(network, "no such name at all")
    assert answer is None
    network.close()


def test_only_allowed_addresses_reach_the_machine(clock):
    assert Network(clock).allows("127.5.5.5")
    assert not Network(clock).allows("192.168.1.1")
    assert Network(clock, allow=["192.168.0.0/16"]).allows("192.168.1.1")


def test_forbidden_address_is_an_unanswered_syn(network, clock):
    client = Client(network, network.connect("192.168.1.1", 80, timeout_ns=3 * SECOND))
    clock.advance(10 * SECOND)
    assert client.log == [(3 * SECOND, "connect", False)]


def test_refused_port_of_this_machine(network, clock):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        client = Client(network, network.connect("127.0.0.1", nobody.getsockname()[1]))
        clock.advance(100 * MS)
    assert client.log == [(network.rtt_ns, "connect", False)]


def test_segments_window_and_end(network, clock):
    class Talker(Script):
        def connected(self):
            self.send(b"x" * 5000)
            self.finish()

    network.attach("10.0.0.1", 80, Talker)
    client = Client(network, network.connect("10.0.0.1", 80))
    clock.advance(SECOND)
    assert client.kinds() == [("connect", True), ("data", MSS), ("data", MSS)]
    assert client.log[2][0] - client.log[1][0] == SEGMENT_GAP_NS
    client.peer.grant(700)  # less than a quarter of the window is not announced
    clock.advance(SECOND)
    assert len(client.log) == 3
    client.peer.grant(MSS - 700)
    start = clock.now
    clock.advance(SECOND)
    assert client.log[3] == (start + network.rtt_ns, "data", MSS)
    client.peer.grant(MSS)
    clock.advance(SECOND)
    assert client.kinds()[4:] == [("data", 5000 - 3 * MSS), ("close", False)]
    assert client.data == b"x" * 5000


def test_a_small_window_is_not_filled_with_a_part_of_what_is_left(network, clock):
    class Talker(Script):
        def connected(self):
            self.send(b"x" * (WINDOW + 1500))

    network.attach("10.0.0.1", 80, Talker)
    client = Client(network, network.connect("10.0.0.1", 80))
    clock.advance(SECOND)
    client.peer.grant(1000)
    clock.advance(SECOND)
    assert len(client.data) == WINDOW
    client.peer.grant(1000)
    clock.advance(SECOND)
    assert client.kinds()[3:] == [("data", MSS), ("data", 40)]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        # A short write goes at once and is acknowledged at once.
        ([100], [(4, 100)]),
        # A full segment with a tail behind it: the tail waits for the delayed acknowledgement.
        ([2048], [(44, 1460), (48, 588)]),
        # Two full segments: the second is acknowledged with the first, no delay.
        ([2920], [(4, 2920)]),
        # A write behind one that is in flight waits for its acknowledgement (Nagle).
        ([100, 100, 100], [(4, 100), (8, 200)]),
    ],
)
def test_nagle_and_delayed_acknowledgements(network, clock, sizes, expected):
    class Listener(Script):
        heard = b""

        def received(self, data):
            Listener.heard += data

    network.attach("10.0.0.1", 80, Listener)
    client = Client(network, network.connect("10.0.0.1", 80))
    clock.advance(SECOND)
    start = clock.now
    for size in sizes:
        client.peer.send(b"x" * size)
    clock.advance(SECOND)
    assert [((now - start) // MS, count) for now, kind, count in client.log if kind == "acked"] == expected
    assert client.peer.unacked == 0 and len(Listener.heard) == sum(sizes)


def test_answer_acknowledges_what_it_answers(network, clock):
    class Answerer(Script):
        def received(self, data):
            self.send(b"yes")

    network.attach("10.0.0.1", 80, Answerer)
    client = Client(network, network.connect("10.0.0.1", 80))
    clock.advance(SECOND)
    client.peer.send(b"question")
    clock.advance(SECOND)
    assert client.kinds() == [("connect", True), ("acked", 8), ("data", 3)]


def test_reset_by_the_peer(network, clock):
    class Rude(Script):
        def received(self, data):
            self.send(b"bye")
            self.reset()

    network.attach("10.0.0.1", 80, Rude)
    client = Client(network, network.connect("10.0.0.1", 80))
    clock.advance(SECOND)
    client.peer.send(b"x")
    clock.advance(SECOND)
    assert client.kinds()[-2:] == [("data", 3), ("close", True)]
    assert network.open_links == 0


def test_close_still_delivers_what_was_accepted(network, clock):
    heard = bytearray()

    class Listener(Script):
        over = False

        def received(self, data):
            heard.extend(data)

        def finished(self):
            Listener.over = True

    network.attach("10.0.0.1", 80, Listener)
    client = Client(network, network.connect("10.0.0.1", 80))
    clock.advance(SECOND)
    client.peer.send(b"x" * 2900)
    client.peer.close()
    assert not Listener.over
    clock.advance(SECOND)
    assert len(heard) == 2900 and Listener.over and network.open_links == 0
    assert client.kinds() == [("connect", True)]  # nothing is reported after close


def serve(action):
    """A real server on a thread; `action(client)` handles its one client."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run():
        client, _ = listener.accept()
        client.settimeout(patient(20))
        with client:
            action(client)
        listener.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return listener.getsockname()[1], thread


def test_a_real_peer_that_thinks_holds_virtual_time(network, clock):
    clock.grace_ns = 20 * MS

    def slow(client):
        client.recv(10)
        time.sleep(0.2)
        client.sendall(b"done")

    port, thread = serve(slow)
    client = Client(network, network.connect("127.0.0.1", port))
    clock.advance(10 * MS)
    client.peer.send(b"ask")
    begun = time.monotonic()
    clock.run_until(lambda: bool(client.data), clock.now + 60 * SECOND)
    assert client.data == b"done"
    assert clock.now / SECOND <= time.monotonic() - begun + 0.1  # virtual time did not run ahead
    thread.join(patient(10))


def test_a_quick_real_peer_answers_at_the_same_virtual_time_in_every_run():
    def run():
        clock = Clock(grace_ns=10 * SECOND)
        network = Network(clock)

        def quick(client):
            client.recv(10)
            client.sendall(b"head" + b"x" * 700 + b"y" * 3000)  # at once: a busy machine may stop it between two calls

        port, thread = serve(quick)
        client = Client(network, network.connect("127.0.0.1", port))
        clock.advance(10 * MS)
        client.peer.send(b"ask")
        record = client.peer.on_data

        def take(data):
            record(data)
            client.peer.grant(len(data))

        client.peer.on_data = take
        clock.run_until(lambda: client.log[-1][1] == "close", clock.now + SECOND)
        thread.join(patient(10))
        network.close()
        return client.log

    first = run()
    assert first == run()
    assert [value for _, kind, value in first if kind == "data"] == [MSS, MSS, 3704 - WINDOW]


def test_a_busy_board_does_not_wait_for_a_silent_peer(network, clock):
    """While the lines are busy an upload costs no real time, whatever the peer does not say."""
    heard = []

    def silent(client):
        while piece := client.recv(65536):
            heard.append(len(piece))

    port, thread = serve(silent)
    client = Client(network, network.connect("127.0.0.1", port))
    clock.advance(10 * MS)
    network.quiet.line_quiet = lambda: False
    client.peer.send(b"x")  # the first words are a question: one grace
    clock.advance(60 * MS)
    client.peer.send(b"x")
    clock.advance(60 * MS)
    waited = clock.waited_ns
    for _ in range(200):
        client.peer.send(b"x" * 1000)
        clock.advance(3 * QUIET_NS)
    assert not clock.held and clock.waited_ns == waited
    assert client.acked == 200_002
    client.peer.close()
    thread.join(patient(10))
    assert sum(heard) == 200_002


def test_an_idle_link_waits_and_traffic_elsewhere_sets_it_free(network, clock):
    port, thread = serve(lambda client: client.recv(10))
    idle = Client(network, network.connect("127.0.0.1", port))
    clock.run_until(lambda: clock.held and bool(idle.log), SECOND)
    clock.advance(30 * MS)
    assert clock.held
    network.quiet.line_quiet = lambda: False
    network.attach("10.0.0.1", 80, Script)
    other = Client(network, network.connect("10.0.0.1", 80))
    clock.advance(10 * MS)
    other.peer.send(b"traffic")
    clock.advance(10 * MS)
    assert not clock.held
    network.quiet.line_quiet = lambda: True
    clock.advance(2 * QUIET_NS)
    assert clock.held
    idle.peer.close()
    thread.join(patient(10))


def test_real_reset_after_data_gives_the_data_first(network, clock):
    def rude(client):
        client.recv(10)
        client.sendall(b"partial")
        time.sleep(0.05)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    port, thread = serve(rude)
    client = Client(network, network.connect("127.0.0.1", port))
    clock.advance(10 * MS)
    client.peer.send(b"ask")
    clock.run_until(lambda: client.log[-1][1] == "close", clock.now + 10 * SECOND)
    assert client.data == b"partial" and client.kinds()[-1] == ("close", True)
    thread.join(patient(10))


def test_forbidden_and_refused_datagrams_are_just_lost(network, clock):
    network.quiet.line_quiet = lambda: False
    far = network.datagrams("192.168.7.7", 9)
    assert far.send(b"lost")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    near = network.datagrams("127.0.0.1", port)
    assert near.send(b"lost")
    clock.grace_ns = 0
    clock.advance(50 * MS)
    assert near.send(b"again")
    far.close()
    near.close()


def test_a_local_port_that_another_association_has_is_an_error(network):
    network.datagrams("127.0.0.1", 9, 5353)
    with pytest.raises(OSError):
        network.datagrams("127.0.0.1", 9, 5353)


def test_a_local_port_that_is_taken_on_this_machine_does_not_keep_the_module_from_it(network):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        heard = []
        association = network.datagrams("0.0.0.0", 0, number)
        association.on_data = lambda data, ip, port: heard.append(data)
        assert network.deliver(number, b"who?", "192.168.4.2", 4000) and heard == [b"who?"]


def test_an_answer_is_awaited_at_once_even_while_the_lines_are_busy(network, clock):
    def thinking(client):
        client.recv(10)
        time.sleep(0.03)
        client.sendall(b"answer")

    network.quiet.line_quiet = lambda: False
    clock.grace_ns = 10 * SECOND
    port, thread = serve(thinking)
    client = Client(network, network.connect("127.0.0.1", port))
    clock.advance(10 * MS)
    asked = clock.now
    client.peer.send(b"ask")
    clock.run_until(lambda: bool(client.data), asked + SECOND)
    assert (asked + network.rtt_ns, "data", 6) in client.log
    thread.join(patient(10))


def test_a_datagram_s_answer_is_awaited_too(network, clock):
    clock.grace_ns = 10 * SECOND
    network.quiet.line_quiet = lambda: False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        there.settimeout(patient(10))

        def answer():
            data, address = there.recvfrom(100)
            time.sleep(0.03)
            there.sendto(data.upper(), address)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        association = network.datagrams(*there.getsockname())
        log = []
        association.on_data = lambda data, ip, port: log.append((clock.now, data, ip))
        clock.advance(10 * MS)
        asked = clock.now
        association.send(b"ask")
        clock.run_until(lambda: bool(log), asked + SECOND)
        assert log == [(asked + network.rtt_ns, b"ASK", "127.0.0.1")]
        association.close()
        thread.join(patient(10))
