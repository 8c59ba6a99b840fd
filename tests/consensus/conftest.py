"""One etcd for all tests that only use it; each has a prefix of its own there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.consensus.etcd_server import etcd_server


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with etcd_server(tmp_path_factory.mktemp("etcd")) as endpoint:
        yield endpoint
