"""What rules are not sure of may be plain to a cheap model: it points at one of their own choices, or at none. Names
and numbers stay those that rules read in the sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from llm_layer.chat.events import Option
from llm_layer.graphs.aside import aside
from llm_layer.graphs.prompts import ROUTE
from llm_layer.graphs.run import Run
from llm_layer.router.routing import CHOICES, Routing
from llm_layer.tools.quoting import quoted

WITHIN_S: Final = 3.0  # the strong model would begin to answer meanwhile


class Pointed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    command: Annotated[int, Meta(ge=0, le=CHOICES, description="Number of the command, 0 for none.")]


async def pointed_at(run: Run, text: str, routing: Routing) -> Routing | None:
    """The routing with the chosen one as what the sentence means. None where the strong model is to be asked."""
    open_to = routing.pointable
    if not open_to:
        return None
    facts: dict[str, object] = {
        "sentence": quoted(text),
        "commands": [_told(number, each) for number, each in enumerate(run.rules.options(open_to), 1)],
    }
    found = await aside(run, ROUTE, facts, Pointed, within_s=WITHIN_S)
    if found is None or not 1 <= found[0].command <= len(open_to):
        return None
    chosen = open_to[found[0].command - 1]
    return replace(routing, kind="card" if chosen.changes else "question", choices=(chosen,), why="", unsaid=())


def _told(number: int, option: Option) -> dict[str, object]:
    return {"number": number, "does": quoted(option.summary), "typed": quoted(option.say), "changes": option.changes}
