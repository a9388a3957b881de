"""What the tests of pix.fetch share: a file, and calls that fetch it over sockets of this machine."""

import random

import pytest

from rig.links import Sockets
from rig.servers import field

PICTURE = random.Random(7).randbytes(5 * 4096 + 1234)
OLD = b"the previous picture"


def fetch(device, url, connector=None, **more):
    """Fetch to /sd/show.jpg."""
    connector = connector or Sockets(device)
    return device.load("fetch").fetch(connector, url, "/sd/show.jpg", **more)


def failing(device, url, connector=None, **more):
    """The PixError of a fetch that fails."""
    with pytest.raises(device.PixError) as e:
        fetch(device, url, connector, **more)
    return e.value


def ranges(server):
    """The Range field of every request that the server got."""
    return [field(head, "Range") for head in server.requests]
