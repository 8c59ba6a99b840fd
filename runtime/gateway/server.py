"""The HTTP listener: uvicorn's server with our connections, bound by us so that a taken port says so plainly."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Final, cast

from runtime.errors import RuntimeFault
from runtime.gateway.asgi import AsgiApp
from runtime.gateway.connection import HttpConnection
from runtime.gateway.front import Front
from runtime.gateway.lean_uvicorn import Config, Server
from runtime.gateway.tasks import Tasks

BACKLOG: Final = 1_024  # connections the kernel holds while the loop is busy: about a second at 1,000 a second
CHECK_S: Final = 1.0
LAME_DUCK_S: Final = 2.0  # how long a leaving gateway waits for a last request on a kept connection


class AddressTaken(RuntimeFault):
    """The gateway's address cannot be bound. Another program, or another node, has it."""

    code = "address_taken"
    remedy = "stop the program that listens there, or give this node another port in node.json"

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {reason}")
        self.host, self.port = host, port


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet. Raises AddressTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise AddressTaken(host, port, errno.errorcode.get(error.errno or 0, "") + f" {error.strerror}") from error
    listener.setblocking(False)
    return listener


class _Server(Server):
    """uvicorn's server without what the embedding process does itself: signals, ticks and the drain."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.began = asyncio.Event()
        self.ending = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.began.set()

    async def main_loop(self) -> None:
        await self.ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Only the listeners are left: connections were drained or aborted before."""
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()


class HttpServer:
    """Serves a Front on one socket until it is drained or stopped."""

    def __init__(self, front: Front, listener: socket.socket) -> None:
        config = Config(
            AsgiApp(front),
            http=HttpConnection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            loop="none",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
        )
        self._front = front
        self._config = config
        self._server = _Server(config)
        self._listener = listener
        self._address = cast("tuple[str, int]", listener.getsockname()[:2])
        self._serving: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        return self._address

    @property
    def connections(self) -> set[HttpConnection]:
        return cast("set[HttpConnection]", self._server.server_state.connections)

    async def start(self, tasks: Tasks) -> None:
        """Returns once it takes connections."""
        self._serving = tasks.start(self._server.serve([self._listener]), "http server")
        await self._server.began.wait()
        tasks.every(CHECK_S, self.check)

    async def close(self) -> None:
        """Ends all connections, whatever is in progress on them, and the server."""
        for connection in tuple(self.connections):
            connection.abort()
        self._server.ending.set()
        if self._serving is not None:
            await self._serving
        else:
            self._listener.close()

    def check(self) -> None:
        """What needs doing about each second."""
        self._front.tick()
        now_s = asyncio.get_running_loop().time()
        for connection in tuple(self.connections):
            connection.check(now_s)

    async def drain(self, limit_s: float) -> bool:
        """Takes no new connections and ends the open ones. True if all ended within the limit.

        Connections end with their next reply, which says so. Only those on which nothing comes for a while are
        closed from this side: a request that is on its way just then would be lost.
        """
        self._front.draining = True
        if self._serving is None:
            return True
        waiting = self._accept_waiting()
        for server in self._server.servers:
            server.close()
        for accepted in waiting:
            await asyncio.get_running_loop().connect_accepted_socket(self._connection, accepted)
        if await self._emptied(min(limit_s, LAME_DUCK_S)):
            return True
        for connection in tuple(self.connections):
            connection.shutdown()
        return await self._emptied(limit_s - LAME_DUCK_S)

    def _accept_waiting(self) -> list[socket.socket]:
        """Takes over connections that the kernel has accepted but the loop has not: closing would reset them."""
        waiting: list[socket.socket] = []
        while len(waiting) < BACKLOG:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return waiting
            accepted.setblocking(False)
            waiting.append(accepted)
        return waiting

    def _connection(self) -> HttpConnection:
        return HttpConnection(self._config, self._server.server_state, {})

    async def _emptied(self, limit_s: float) -> bool:
        if not self.connections:
            return True
        self._front.emptied.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._front.emptied.wait(), max(limit_s, 0.0))
        return not self.connections
