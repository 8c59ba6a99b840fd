"""It is killed once it has answered, and asked again at once."""

from __future__ import annotations

import signal

from evals.forge.processes import send
from evals.scenarios.playing import Playing


async def judge(playing: Playing) -> str:
    stage = playing.stage
    found = await stage.forge.processes(await stage.forge.until_leader(), "reasoner")
    send([each.pid for each in found], signal.SIGKILL)
    told = await playing.say("why does basket fail?")
    return "" if told.roots == {"slice:ledger"} else f"it named {sorted(told.roots)} then"
