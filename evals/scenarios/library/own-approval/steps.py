"""The operator votes for what the operator has proposed."""

from __future__ import annotations

from evals.scenarios.playing import Playing


async def judge(playing: Playing) -> str:
    stage, operator = playing.stage, playing.stage.people.operator
    proposed = await operator.confirm(playing.told[-1].cards[0], propose=True)
    if not proposed.proposal:
        return f"it became no proposal: {proposed.refused or 'it was made at once'}"
    refused = await operator.approve(proposed.proposal)
    wanted = await stage.sights.wanted("mailer")
    return "" if refused and wanted == 2 else f"the vote {'was refused' if refused else 'counted'}, {wanted} are wanted"
