"""Training anew on a real node, as `./aether campaign retraining` plays it at length."""

from __future__ import annotations

import pytest

from evals.retraining.report import RetrainingReport
from evals.retraining.run import goes_back, rehearsed

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_drift_trains_a_challenger_that_is_crowned_and_goes_back_when_it_does_worse() -> None:
    """Both leaders that see it see it in their own history, which another node's lead had written."""
    report = RetrainingReport(seed=1)
    async with rehearsed(nodes=1) as forge:
        await goes_back(forge, report)
    assert report.causes == ["error_changed of tea"]
    assert report.losses[0] < 0.995
