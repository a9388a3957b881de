"""Fixtures that the tests of `pix` share."""

import asyncio
import threading

import pytest

from maixpix.board.bundle import build, device_texts, source_root
from rig.device import Device
from rig.fetching import OLD
from rig.modem_bench import Bench
from rig.patience import patient
from rig.portal_place import Place
from rig.servers import Origin, Raw
from virtualboard.engine import EngineOptions


@pytest.fixture
def device(tmp_path):
    """A board without modem, with an empty card."""
    card = tmp_path / "card"
    card.mkdir()
    return Device(card)


@pytest.fixture
def boards():
    """boards(...) -> modem_bench.Bench, closed at the end."""
    made = []

    def make(*args, **kwargs):
        made.append(Bench(*args, **kwargs))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def shown(device):
    """The device with a previous picture on its card."""
    (device.folder / "show.jpg").write_bytes(OLD)
    return device


@pytest.fixture(scope="session")
def pix_modules(tmp_path_factory):
    """The same for modules that touch no file, shared because property tests call them thousands of times."""
    return Device(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    """(card with byte code, the engine's options for it): from source some apps have not the heap that they need."""
    card = tmp_path_factory.mktemp("deployed")
    sources = {}
    texts = device_texts(source_root(), False)
    for name, data in build(mpy=True).files.items():
        (card / name).parent.mkdir(exist_ok=True)
        (card / name).write_bytes(data)
        sources[data] = texts.get(name.replace(".mpy", ".py"))
    return card, EngineOptions(decode_mpy=sources.get)


@pytest.fixture
def place(tmp_path):
    """Boards with a set-up portal, one after another."""
    return Place(tmp_path)


@pytest.fixture
def raw_server():
    """raw_server(answer) -> Raw, closed at the end."""
    servers = []

    def start(answer):
        servers.append(Raw(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def origin():
    """origin(content) -> Origin, closed at the end."""
    servers = []

    def start(content):
        servers.append(Origin(content))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def httpbin_url():
    """A running httpbin, served by werkzeug."""
    from httpbin import app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *args):
            pass

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def file_server(tmp_path):
    """(folder, URL): the folder's files given out by aiohttp, with ETag, Range and If-Range."""
    from aiohttp import web

    folder = tmp_path / "served"
    folder.mkdir()
    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_static("/", folder)
    runner = web.AppRunner(app)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{runner.addresses[0][1]}"
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(patient(10))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
