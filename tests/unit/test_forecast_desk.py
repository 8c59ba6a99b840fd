"""Any node tells the leader's forecasts; where it cannot ask, it says why and does not pass its own off as them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent_api.assemble.forecast_desk import ForecastDesk
from controllers.scaling.queries import ForecastRequest
from runtime.invocation.connection import Connection
from runtime.invocation.errors import NotStarted
from runtime.invocation.incoming import Handlers
from runtime.invocation.listener import connect_unix, serve_unix
from runtime.names import NodeId
from tests.unit.test_forecast_rows import AT, Said

pytestmark = pytest.mark.anyio

ALL = ForecastRequest()


async def refused(node: NodeId) -> Connection:
    raise NotStarted(f"{node} does not answer")


def desk(node: str, leader: str, *, connect: object = refused) -> ForecastDesk:
    return ForecastDesk(
        node=NodeId(node),
        leader=lambda: leader,
        connect=connect,  # type: ignore[arg-type]  # as the test has it
        scaling=SimpleNamespace(standings=lambda: {"tea": AT}),  # type: ignore[arg-type]  # all that is asked of it
        forecasts=Said(),
    )


@asynccontextmanager
async def beside(leading: ForecastDesk, tmp_path: Path) -> AsyncIterator[ForecastDesk]:
    """A node that takes n1 for the leader, and reaches `leading` as n1."""
    handlers = Handlers()
    leading.offer(handlers)
    listener = await serve_unix(tmp_path / "n1", handlers)
    connection = await connect_unix(tmp_path / "n1", Handlers())

    async def connect(node: NodeId) -> Connection:
        assert node == "n1"
        return connection

    yield desk("n2", "n1", connect=connect)
    await connection.close()
    await listener.close()


async def test_a_node_that_does_not_lead_tells_what_the_leader_says(tmp_path: Path) -> None:
    leading = desk("n1", "n1")
    async with beside(leading, tmp_path) as other:
        found = await other.page(ALL)
        assert found == await leading.page(ALL)
        assert [(row.slice, row.now.rate, len(row.ahead)) for row in found.items] == [("tea", 2.5, 2)]
        assert (found.leader, found.trouble) == ("n1", "")
        assert (await other.page(ForecastRequest(slice="milk"))).items == ()


async def test_a_leader_that_leads_no_more_says_so_and_asks_nobody(tmp_path: Path) -> None:
    async with beside(desk("n1", "n2"), tmp_path) as other:
        found = await other.page(ALL)
    assert (found.items, found.leader, found.trouble) == ((), "n2", "n1 leads no more; ask again in a moment")


async def test_a_leader_that_does_not_answer_is_named() -> None:
    found = await desk("n2", "n1").page(ALL)
    assert (found.items, found.leader) == ((), "n1")
    assert found.trouble == "n1, which forecasts, did not answer: n1 does not answer"


async def test_while_nobody_leads_there_is_no_forecast() -> None:
    found = await desk("n2", "").page(ALL)
    assert (found.items, found.leader) == ((), "")
    assert "no node leads" in found.trouble
