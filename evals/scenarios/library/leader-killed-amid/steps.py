"""The card is confirmed at whoever leads then."""

from __future__ import annotations

from evals.scenarios.playing import Playing
from evals.scenarios.sights import Applied

SEEN_S = 30.0  # a node's own copy of the audit may be late


async def judge(playing: Playing) -> str:
    stage = playing.stage
    newest = await stage.sights.newest()
    await stage.do("kill node {leader}")
    await stage.forge.until_leader(other_than=stage.names["leader"])
    refused = await playing.confirm(playing.told[-1].cards[0])
    if refused:
        return f"the change was refused: {refused}"

    async def made() -> list[Applied]:
        return [each for each in await stage.sights.applied_since(newest) if each.operation == "slice.scale"]

    async def seen() -> bool:
        return bool(await made()) and await stage.sights.wanted("mailer") == 3

    await stage.forge.until("the change is in the audit", seen, timeout_s=SEEN_S)
    times = len(await made())
    return "" if times == 1 else f"it was made {times} times"
