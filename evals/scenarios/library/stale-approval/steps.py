"""The card is proposed, not made, so that others decide it."""

from __future__ import annotations

from evals.scenarios.playing import Playing


async def judge(playing: Playing) -> str:
    stage, people = playing.stage, playing.stage.people
    proposed = await people.operator.confirm(playing.told[-1].cards[0], propose=True)
    if not proposed.proposal:
        return f"it became no proposal: {proposed.refused or 'it was made at once'}"
    await stage.do('change PUT /v1/slices/mailer/scale {"instances": 4}')
    for voter in people.approvers:
        await voter.approve(proposed.proposal)
    state = await stage.sights.state_of(proposed.proposal)
    wanted = await stage.sights.wanted("mailer")
    return "" if state == "stale" and wanted == 4 else f"the proposal is {state}, {wanted} instances are wanted"
