"""A second, cheap look at what a model answered. Code has verified that names and numbers stand in the evidence;
whether the claim follows from it is asked here. A doubt is told beside the claim, and never takes its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from llm_layer.chat.events import Checked, Doubted
from llm_layer.claims.answer import BLOCKS_MAX, Claim
from llm_layer.graphs.aside import aside
from llm_layer.graphs.conclusion import GAP_CHARS_MAX
from llm_layer.graphs.prompts import CHECK
from llm_layer.graphs.run import Run
from llm_layer.tools.quoting import quoted

WITHIN_S: Final = 6.0
EVIDENCE_CHARS_MAX: Final = 24_000  # some 8,000 tokens: what a claim of an answer stands on has 1,500 at most
DOUBTED: Final = "whether this holds, as another model finds"

Why = Literal["not_in_evidence", "contradicted", "overstated", "about_something_else"]
SAYS: Final[dict[Why, str]] = {
    "not_in_evidence": "what it cites does not say so",
    "contradicted": "what it cites says otherwise",
    "overstated": "it says more than what it cites",
    "about_something_else": "what it cites is about something else",
}


class Doubt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    claim: Annotated[int, Meta(ge=1, le=BLOCKS_MAX, description="Number of the claim.")]
    why: Why


class Doubts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    doubts: Annotated[tuple[Doubt, ...], Meta(max_length=BLOCKS_MAX)]


async def checked(run: Run, claims: Sequence[Claim], question: str) -> Checked | None:
    """None where nobody looked: no cheap model, none in time, or no claim that stands on anything."""
    numbered = dict(_checkable(run, claims))
    if not numbered:
        return None
    cited = dict.fromkeys(each for claim in numbered.values() for each in claim.evidence)
    facts: dict[str, object] = {
        "question": quoted(question),
        "claims": [{"number": at, "claim": quoted(each.text), "cites": each.evidence} for at, each in numbered.items()],
        "evidence": {each: {"quoted": run.toolbox.noted.shown[each]} for each in cited},
    }
    found = await aside(run, CHECK, facts, Doubts, within_s=WITHIN_S)
    if found is None:
        return None
    said, by = found
    doubts = {each.claim: each.why for each in said.doubts if each.claim in numbered}
    told = [Doubted(claim=numbered[at].text, why=why, says=SAYS[why]) for at, why in sorted(doubts.items())]
    return Checked(by=by, claims=len(numbered), doubts=tuple(told))


def _checkable(run: Run, claims: Sequence[Claim]) -> Iterator[tuple[int, Claim]]:
    """With their numbers, as long as what they cite has room: half of it would be doubted for the other half."""
    known: set[str] = set()
    size = 0
    for number, claim in enumerate(claims, 1):
        more = {each for each in claim.evidence if each in run.toolbox.noted.shown} - known
        size += sum(len(run.toolbox.noted.shown[each]) for each in more)
        if size > EVIDENCE_CHARS_MAX:
            return
        known |= more
        if claim.evidence and known.issuperset(claim.evidence):
            yield number, claim


def gaps_of(found: Checked | None) -> tuple[str, ...]:
    """As an investigation's conclusion tells them."""
    doubts = found.doubts if found is not None else ()
    return tuple(f"{DOUBTED} that {each.says}: {each.claim}"[:GAP_CHARS_MAX] for each in doubts)
