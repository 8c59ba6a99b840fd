"""A door to one node or another: what a load balancer is to a browser, and a cable that can be pulled."""

from __future__ import annotations

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskStatus


class Relay:
    """Carries bytes to `target`, the "host:port" that is set when a connection begins."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.address = ""
        self._open: set[anyio.CancelScope] = set()

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.address = f"127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        task_status.started()
        async with listener:
            await listener.serve(self._carry)

    async def cut(self) -> None:
        """Ends every connection that stands."""
        for scope in tuple(self._open):
            scope.cancel()

    async def _carry(self, client: SocketStream) -> None:
        host, _, port = self.target.rpartition(":")
        with anyio.CancelScope() as scope:
            self._open.add(scope)
            try:
                async with client, await anyio.connect_tcp(host, int(port)) as node, anyio.create_task_group() as both:
                    both.start_soon(_pour, client, node, both.cancel_scope)
                    both.start_soon(_pour, node, client, both.cancel_scope)
            except OSError:
                pass  # the node is not there: the browser sees that the connection ends
            finally:
                self._open.discard(scope)


async def _pour(source: SocketStream, sink: SocketStream, end: anyio.CancelScope) -> None:
    try:
        async for chunk in source:
            await sink.send(chunk)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    end.cancel()
