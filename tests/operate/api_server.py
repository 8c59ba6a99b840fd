"""The whole API on a store in memory, served over a real socket by a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import anyio
import uvicorn

from agent_api.control_api.front import BoundedProtocol
from runtime.state import keys
from runtime.state.values import StoreMembers
from tests.unit.api_parts import ApiOnHand, api_on_hand

MEMBERS: Final = StoreMembers(voters=("n1", "n2", "n3"), addresses=dict.fromkeys(("n1", "n2", "n3"), "h:1"))


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Served:
    """`address` is host:port. `keys` are secrets by principal."""

    def __init__(self) -> None:
        self.address = ""
        self.keys: dict[str, str] = {}
        self.api: ApiOnHand | None = None
        self.ready = threading.Event()
        self.server: _Server | None = None

    async def run(self) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
            self.address = f"127.0.0.1:{listener.getsockname()[1]}"
            async with api_on_hand(requests_per_s_max=100_000) as api:
                self.api, self.keys = api, api.secrets
                await api.hand.put(keys.STORE_MEMBERS, MEMBERS)  # which the leader of a cluster writes down
                config = uvicorn.Config(
                    api.api.app, http=BoundedProtocol, lifespan="off", ws="none", log_config=None, access_log=False
                )
                self.server = _Server(config)
                self.ready.set()
                await self.server.serve([listener])


@contextmanager
def served() -> Iterator[Served]:
    found = Served()
    thread = threading.Thread(target=lambda: anyio.run(found.run), daemon=True)
    thread.start()
    assert found.ready.wait(10)
    yield found
    assert found.server is not None
    found.server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()
