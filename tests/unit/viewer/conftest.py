from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.support.portal import MemoryPortal
from tests.support.viewer import log_in, viewer_client


@pytest.fixture
def portal() -> Iterator[MemoryPortal]:
    """Nothing has happened yet; a module in which something has brings a portal of its own."""
    made = MemoryPortal()
    yield made
    made.close()


@pytest.fixture
def anna(portal: MemoryPortal) -> TestClient:
    """Anna's browser, logged in."""
    client = viewer_client(portal)
    log_in(client)
    return client


@pytest.fixture
def client(portal: MemoryPortal) -> Iterator[TestClient]:
    """The same, for a module whose portal nobody else closes."""
    made = viewer_client(portal)
    log_in(made)
    yield made
    portal.close()
