"""The fault is put on a node that has an instance of the ledger."""

from __future__ import annotations

from evals.scenarios.playing import Playing


async def prepare(playing: Playing) -> None:
    stage = playing.stage
    nodes = sorted({row.node for row in await stage.forge.api.instances() if row.slice == "ledger"})
    stage.names["host"] = nodes[-1]
    await stage.do("dial ledger@{host} work_ms=600")
    await stage.until("slice ledger p95_ms above 400")
