"""The third scaling layer over the reasoner's socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_api.assemble.reasoner import Answering
from agent_api.assemble.reviewing import Opened, ReasonerSeat
from agent_api.control_api.turns import REVIEW, ReasonerAbsent
from controllers.scaling.model import Choice, Opinion
from llm_layer.desk import DeskRefused
from llm_layer.providers.asking import Models
from runtime.invocation.connection import Connection
from runtime.invocation.errors import CallFault
from runtime.invocation.incoming import Handlers
from runtime.invocation.listener import connect_unix, serve_unix
from runtime.sdk.testing import CollectedLog
from tests.unit.scripted_model import Scripted, models_of, says
from tests.unit.test_graph_scale_review import QUESTION
from tests.unit.test_model_keeper import World

pytestmark = pytest.mark.anyio
REPLY = says(choice="forecast", reason="the peak is over", instances=0)


async def unwanted(_handlers: Handlers) -> Connection:
    raise AssertionError("it was started")


def seat(socket: Path, *, configured: bool = False, started: Opened = unwanted) -> ReasonerSeat:
    hand = World()
    return ReasonerSeat(socket, configured=lambda: configured, started=started, budget=hand.keeper, log=CollectedLog())


def reviewing(models: Callable[[Connection], Models]) -> Answering:
    """What answers in the reasoner. A review has no turns, keeps no recording and writes no line."""

    @asynccontextmanager
    async def lent(connection: Connection) -> AsyncIterator[Models]:
        yield models(connection)

    return Answering(turns=None, models=lent, shelf=None, log=None)  # type: ignore[arg-type]


async def considered(tmp_path: Path, models: Models) -> Opinion | None:
    answering = reviewing(lambda _connection: models)
    listener = await serve_unix(tmp_path / "s", Handlers(unary={REVIEW: answering.review}))
    try:
        return await seat(tmp_path / "s").consider(QUESTION)
    finally:
        await listener.close()


async def test_it_is_asked_over_its_socket(tmp_path: Path) -> None:
    found = await considered(tmp_path, models_of(Scripted([REPLY])))
    assert found == Opinion(choice=Choice.FORECAST, reason="the peak is over")


async def test_without_a_model_or_an_answer_it_has_no_opinion(tmp_path: Path) -> None:
    assert await considered(tmp_path, Models(())) is None
    assert await considered(tmp_path, models_of(Scripted([]))) is None


async def test_nothing_is_started_for_it(tmp_path: Path) -> None:
    assert await seat(tmp_path / "none").consider(QUESTION) is None


async def test_it_is_started_where_there_is_a_model_to_ask_and_it_does_not_run_yet(tmp_path: Path) -> None:
    """Otherwise the third layer would have a say only after somebody happened to chat."""
    answering = reviewing(lambda _connection: models_of(Scripted([REPLY])))
    listeners = []

    async def started(handlers: Handlers) -> Connection:
        listeners.append(await serve_unix(tmp_path / "s", Handlers(unary={REVIEW: answering.review})))
        return await connect_unix(tmp_path / "s", handlers)

    found = await seat(tmp_path / "s", configured=True, started=started).consider(QUESTION)
    assert found == Opinion(choice=Choice.FORECAST, reason="the peak is over")
    await listeners[0].close()


async def test_one_that_cannot_be_started_is_a_fault_that_the_loop_takes_for_no_opinion(tmp_path: Path) -> None:
    async def started(_handlers: Handlers) -> Connection:
        raise ReasonerAbsent("it did not come up")

    with pytest.raises(ReasonerAbsent):
        await seat(tmp_path / "none", configured=True, started=started).consider(QUESTION)


async def test_one_that_breaks_off_is_a_fault_that_the_loop_takes_for_no_opinion(tmp_path: Path) -> None:
    def broken(_connection: Any) -> Models:
        raise DeskRefused("no_quorum", "nobody knows")

    answering = reviewing(broken)
    listener = await serve_unix(tmp_path / "s", Handlers(unary={REVIEW: answering.review}))
    with pytest.raises(CallFault):
        await seat(tmp_path / "s").consider(QUESTION)
    await listener.close()
