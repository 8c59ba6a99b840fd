"""How long it takes until every client of the events has heard of a change."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import anyio

from evals.bench.api_load import Asked, Crowd, Loop
from runtime.telemetry.histogram import Histogram

HEARD_S: Final = 10.0


async def fan_out(
    address: str, headers: Sequence[tuple[str, str]], change: Asked, clients: int, events: int
) -> dict[str, float]:
    """Milliseconds from the answer to a change until a client, and the last of all, had its event."""
    crowd, changes = Crowd(address, headers), Loop(address, change)
    each, last = Histogram(), Histogram()
    await changes.once()  # from here on every one changes something
    async with anyio.create_task_group() as tasks:
        await crowd.enter(clients, tasks)
        for _ in range(events):
            crowd.again()
            await changes.once()
            began = time.perf_counter()
            with anyio.fail_after(HEARD_S):
                await crowd.everybody.wait()
            for came in crowd.came_s:
                each.record(int(max(0.0, came - began) * 1e6))
            last.record(int(max(0.0, max(crowd.came_s) - began) * 1e6))
        crowd.leave()
    changes.close()
    return {
        "fanout_clients": clients,
        "fanout_ms_p50": round(each.percentile(0.5) / 1e3, 2),
        "fanout_ms_p99": round(each.percentile(0.99) / 1e3, 2),
        "fanout_last_ms_p50": round(last.percentile(0.5) / 1e3, 2),
    }
