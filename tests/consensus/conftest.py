"""One etcd and one group of stores for all tests that leave them as they were."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.consensus.etcd_server import etcd_server
from tests.consensus.store_group import StoreGroup, standing


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def one_loop(anyio_backend: str) -> None:
    """All tests that use it run on one event loop, as a process does. gRPC has one queue for all loops: what a closed
    loop still waits for would be handed out on the next test's loop, and fail there."""


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Each test has a prefix of its own there."""
    with etcd_server(tmp_path_factory.mktemp("etcd")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreGroup]:
    with standing(tmp_path_factory.mktemp("three")) as group:
        yield group


@pytest.fixture
async def group(three: StoreGroup) -> AsyncIterator[StoreGroup]:
    """A test that kills members or changes who is one starts its own."""
    yield three
    for process in three.processes.values():
        process.send_signal(signal.SIGCONT)
    await three.hang_up()
