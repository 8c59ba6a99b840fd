"""The graphs that a conversation may call as tools: `investigate`, and `remediate` with what that came to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from llm_layer.desk import DeskRefused, Plain
from llm_layer.graphs.conclusion import Conclusion
from llm_layer.graphs.investigate import investigate
from llm_layer.graphs.remediate import remediate
from llm_layer.graphs.run import Run
from llm_layer.tools.quoting import error_of, quoted
from llm_layer.tools.toolbox import OwnTool, Told
from runtime.spelling import near_names

INVESTIGATE: Final = "investigate"
REMEDIATE: Final = "remediate"


def offered(run: Run, question: str) -> tuple[str, str]:
    """Their names, once they are in the toolbox."""
    concluded: dict[str, tuple[str, Conclusion]] = {}

    async def look(arguments: Mapping[str, object]) -> Told:
        name = str(arguments.get("slice", ""))
        if name not in run.slices:
            return _failed(error_of("unknown_name", name[:80], nearest=near_names(name, run.slices, cutoff=0.0)))
        try:
            conclusion, by, _, _ = await investigate(run, name, question)
        except DeskRefused as refused:
            return _failed(error_of(refused.code, str(refused)))
        identity = f"C{len(concluded) + 1}"
        concluded[identity] = (name, conclusion)
        return _told({"conclusion": identity, "by": by, "found": quoted(msgspec.to_builtins(conclusion))}, new=True)

    async def mend(arguments: Mapping[str, object]) -> Told:
        identity = str(arguments.get("conclusion", ""))
        if identity not in concluded:
            return _failed(error_of("unknown_conclusion", identity[:80], nearest=list(concluded)))
        name, conclusion = concluded[identity]
        ended = await remediate(run, conclusion, name, question, run.saver)
        told: Plain = {each: quoted(ended.get(each, "")) for each in ("proposal", "outcome", "why")}
        return _told({**told, "note": "people decide about a proposal; nothing was changed"}, new=True)

    run.toolbox.offer(
        OwnTool(name=INVESTIGATE, summary="Find out why a slice is slow or fails.", schema=_one("slice"), call=look)
    )
    summary = "Propose what mends the fault of a conclusion, for people to decide about."
    run.toolbox.offer(OwnTool(name=REMEDIATE, summary=summary, schema=_one("conclusion"), call=mend))
    return INVESTIGATE, REMEDIATE


def _one(name: str) -> Plain:
    members = {name: {"type": "string"}}
    return {"type": "object", "properties": members, "required": [name], "additionalProperties": False}


def _told(content: Plain, *, new: bool) -> Told:
    return Told(content=msgspec.json.encode(content).decode(), new=new)


def _failed(content: Plain) -> Told:
    return Told(content=msgspec.json.encode(content).decode(), failed=True)
