"""The fault is put on a node that has an instance of the catalog."""

from __future__ import annotations

from evals.scenarios.playing import Playing


async def prepare(playing: Playing) -> None:
    stage = playing.stage
    nodes = sorted({row.node for row in await stage.forge.api.instances() if row.slice == "catalog"})
    stage.names["host"] = nodes[-1]
    await stage.do("dial catalog@{host} fail=0.7")
    await stage.until("slice catalog errors above 1")
