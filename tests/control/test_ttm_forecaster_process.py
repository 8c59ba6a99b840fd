"""The forecaster as a process: a job in, an answer out, and whatever ends it is told in words."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import pytest

from agent_api.assemble.forecasting import forecast_in_process
from controllers.ttm.errors import ForecasterFailed
from controllers.ttm.forecast_job import ForecastJob, ModelBytes, packed
from controllers.ttm.load_forecast import load_forecast
from controllers.ttm.schema import ALIGNED, HISTORY
from evals.forge.waiting import came_true

pytestmark = pytest.mark.anyio

MINUTE = 28_000_000
JOB = ForecastJob(
    minute=MINUTE, slices=("orders",), loads=packed([[600.0] * HISTORY, [600.0] * ALIGNED, [600.0] * ALIGNED])
)


def python(script: str) -> tuple[str, ...]:
    return (sys.executable, "-c", script)


async def test_a_job_has_its_forecast_from_the_shipped_model() -> None:
    answer = await forecast_in_process(JOB)
    assert answer.trouble is None
    assert load_forecast("orders", answer.quantiles["orders"]).at(1, 0.5) == pytest.approx(600, rel=0.1)
    assert set(answer.factors) == {"orders"}
    assert answer.state


async def test_a_model_that_cannot_be_read_is_an_answer() -> None:
    answer = await forecast_in_process(ForecastJob(minute=MINUTE, slices=(), loads=(), now=ModelBytes(file=b"none")))
    assert answer.trouble is not None
    assert answer.trouble.code == "ttm_model_unreadable"


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (python("import os; os.kill(os.getpid(), 9)"), "status -9"),
        (python("raise ImportError('no module named onnxruntime')"), "no module named onnxruntime"),
        (python("print('no answer')"), "gave nothing"),
        (("/nowhere/python",), "cannot be started"),
    ],
)
async def test_what_ends_without_an_answer_says_why(argv: tuple[str, ...], why: str) -> None:
    with pytest.raises(ForecasterFailed, match=why):
        await forecast_in_process(JOB, argv)


async def test_who_waits_no_more_leaves_no_process_behind(tmp_path: Path) -> None:
    written = tmp_path / "pid"
    script = f"import os, pathlib, time; pathlib.Path({str(written)!r}).write_text(str(os.getpid())); time.sleep(600)"

    async def begun() -> bool:
        return written.exists() and bool(written.read_text())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(forecast_in_process, JOB, python(script))
        await came_true(begun, timeout_s=20.0, look_s=0.01)
        tasks.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(int(written.read_text()), 0)
