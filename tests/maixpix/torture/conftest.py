from __future__ import annotations

import pytest

from rig.garbage import set_aside


@pytest.fixture(autouse=True)
def quick_collections():
    """Runs are played in this process, some hundred collections each."""
    set_aside()
