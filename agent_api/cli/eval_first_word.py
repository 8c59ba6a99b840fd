"""`aether eval first-word`: how long after a provider's first token the first verified word is shown, over HTTP.

The provider is a policy of ours that writes at a steady pace, behind the makers' real clients, in a Forge of one node.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

import msgspec

from agent_api.cli.eval_voices import forget_keys
from agent_api.cli.progress import StatusLine
from agent_api.cli.table import show_json, show_rows
from agent_api.client.client import Client

if TYPE_CHECKING:
    from evals.forge.forge import Forge
    from evals.scenarios.voices import Voice

SAID: Final = "what would you tell somebody who has just come in?"
BOUND_MS: Final = 300.0
WARM: Final = 2  # turns that are not counted: the process, the maker's client and the graphs are loaded by them


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """One turn, in milliseconds after the provider's first token. `whole`: when all of it was verified and told."""

    first_word_ms: float
    whole_ms: float


def run_first_word(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 within the bound at the 95th percentile, 1 otherwise. Raises RuntimeFault."""
    import anyio

    with StatusLine(shown=True) as line:

        async def measured() -> dict[str, list[Timed]]:
            return {
                voice.name: await _measured(voice, arguments.turns, line) for voice in _voices(arguments.pace_ms / 1e3)
            }

        found = anyio.run(measured, backend_options={"use_uvloop": True})
    rows = [_row(name, each) for name, each in found.items()]
    within = all(cast(float, each["first_word_p95_ms"]) <= BOUND_MS for each in rows)
    if arguments.json:
        show_json({"bound_ms": BOUND_MS, "pace_ms": arguments.pace_ms, "within": within, "providers": rows})
    else:
        show_rows(rows)
    return 0 if within else 1


def _voices(pace_s: float) -> list[Voice]:
    from evals.fake_provider.careful import careful
    from evals.scenarios.voices import faked

    forget_keys()
    return [msgspec.structs.replace(each, pace_s=pace_s) for each in faked(careful)]


async def _measured(voice: Voice, turns: int, line: StatusLine) -> list[Timed]:
    from evals.forge.forge import Forge
    from evals.scenarios.voices import speaking

    line.say(f"{voice.name}: beginning a cluster")
    async with Forge(nodes=1, progress=line.say) as forge, speaking(forge, voice) as fake:
        assert fake is not None
        found = []
        for number in range(WARM + turns):
            line.say(f"{voice.name}: turn {number + 1} of {WARM + turns}")
            timed = await _turn(forge, fake.began_s)
            found += [timed] if number >= WARM else []
        return found


async def _turn(forge: Forge, began_s: Sequence[float]) -> Timed:
    """The stream that began last before the first word is that of the answer: others may come before and after it."""
    import anyio.to_thread

    from runtime.errors import RuntimeFault

    node = forge.nodes[forge.names[0]]

    def said() -> tuple[float, float]:
        first = whole = 0.0
        for _ in range(20):  # until the process that answers is there
            try:
                with Client(node.addresses.api, key=forge.admin_key()) as client:
                    for each in client.say(SAID):
                        kind = cast(dict[str, object], each.data)["type"]
                        first = first or (time.monotonic() if kind == "written" else 0.0)
                        whole = whole or (time.monotonic() if kind == "text" else 0.0)
                return first, whole
            except RuntimeFault as fault:
                if not fault.retryable:
                    raise
        raise AssertionError("nobody answers")

    first, whole = await anyio.to_thread.run_sync(said)
    assert first, "no word was told before the whole answer"
    began = max(each for each in began_s if each <= first)
    return Timed(first_word_ms=(first - began) * 1e3, whole_ms=(whole - began) * 1e3)


def _row(name: str, turns: Sequence[Timed]) -> dict[str, object]:
    first = sorted(each.first_word_ms for each in turns)
    return {
        "provider": name,
        "turns": len(turns),
        "first_word_p50_ms": round(statistics.median(first), 1),
        "first_word_p95_ms": round(first[min(len(first) - 1, int(len(first) * 0.95))], 1),
        "whole_p50_ms": round(statistics.median(each.whole_ms for each in turns), 1),
    }
