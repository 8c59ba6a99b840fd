"""The API's server in the control process. FastAPI is imported in a thread once control runs: instances come to be
served meanwhile, and do not wait for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from agent_api.control_api.ports import ApiParts
from runtime.cluster.identity import Listen
from runtime.gateway.lean_uvicorn import Config, Server
from runtime.gateway.server import bind

if TYPE_CHECKING:
    from agent_api.control_api.app import ControlApi


async def serve_api(parts: ApiParts, listen: Listen) -> None:
    """Until it is cancelled. Who connects before FastAPI is there waits for it."""
    listener = bind(listen.host, listen.api)
    api, http = await anyio.to_thread.run_sync(lambda: _opened(parts))
    config = Config(
        api.app,
        http=http,
        loop="none",
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        log_level="error",
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _ApiServer(config)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(api.run)
            await server.serve([listener])
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(2.0):
            if server.started:
                await server.shutdown([listener])


def _opened(parts: ApiParts) -> tuple[ControlApi, type]:
    """FastAPI's models of OpenAPI documents would each build a validator on import, which nothing here uses: 0.4 s."""
    import pydantic

    pydantic.BaseModel.model_config = {"defer_build": True}
    from agent_api.control_api.app import ControlApi
    from agent_api.control_api.front import BoundedProtocol

    return ControlApi(parts), BoundedProtocol


class _ApiServer(Server):
    """uvicorn without its own signal handling: the process has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
