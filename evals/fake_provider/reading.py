"""What a policy reads out of a request, whichever API it came by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, cast

import msgspec

from evals.fake_provider.script import Json, Seen

_EVIDENCE: Final = re.compile(r'"evidence":"(E\d+)"')
_CARD: Final = re.compile(r'"card":"([0-9a-f]+)"')
_CONCLUSION: Final = re.compile(r'"conclusion":"(C\d+)"')
_RESULT: Final = re.compile(rb'"type":"(?:tool_result|function_call_output)"|"role":"tool"')


def facts(seen: Seen) -> Json:
    """The object that a step of a graph was given; empty where words were said."""
    for line in seen.said.splitlines():
        try:
            return msgspec.json.decode(line, type=Json)
        except msgspec.MsgspecError:
            continue
    return {}


def plain(value: object) -> object:
    """Without the quotation of texts: what a reader takes them for."""
    if isinstance(value, dict):
        return (
            plain(value["quoted"]) if set(value) == {"quoted"} else {name: plain(each) for name, each in value.items()}
        )
    return [plain(each) for each in value] if isinstance(value, list) else value


def texts(value: object) -> Iterator[str]:
    """Every quoted text in it."""
    if isinstance(value, dict):
        if set(value) == {"quoted"}:
            yield str(value["quoted"])
        else:
            for each in value.values():
                yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


def results(seen: Seen) -> list[Json]:
    found = []
    for each in seen.results:
        try:
            found.append(msgspec.json.decode(each.content, type=Json))
        except msgspec.MsgspecError:
            continue
    return found


def looked(seen: Seen) -> int:
    """How many results the whole conversation has by now."""
    return len(_RESULT.findall(msgspec.json.encode(seen.body)))


def evidence(seen: Seen) -> list[str]:
    return list(dict.fromkeys(_EVIDENCE.findall(seen.last)))


def cards(seen: Seen) -> list[str]:
    return _CARD.findall(seen.last)


def conclusion(seen: Seen) -> str:
    found = _CONCLUSION.search(seen.last)
    return found[1] if found else ""


def names(seen: Seen, kind: str) -> list[str]:
    """Of slices or nodes, as the schemas of the tools allow them."""
    for schema in _schemas(seen):
        member = cast(Json, schema.get("properties", {})).get(kind)
        if isinstance(member, dict) and member.get("enum"):
            return [str(each) for each in cast(list[object], member["enum"]) if each]
    return []


def allowed(seen: Seen, member: str) -> list[str]:
    """What a member of the answer may be."""
    for node in _nodes(seen.body):
        properties = node.get("properties")
        found = properties.get(member) if isinstance(properties, dict) else None
        if isinstance(found, dict) and found.get("enum"):
            return [str(each) for each in cast(list[object], found["enum"])]
    return []


def _schemas(seen: Seen) -> Iterator[Json]:
    for tool in cast(list[Json], seen.body.get("tools", [])):
        function = cast(Json, tool.get("function", tool))
        yield cast(Json, function.get("input_schema") or function.get("parameters") or {})


def _nodes(value: object) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _nodes(each)
    elif isinstance(value, list):
        for each in value:
            yield from _nodes(each)


def every_result(seen: Seen) -> list[Json]:
    """Of the whole conversation, the oldest first."""
    found = []
    for node in _nodes({name: seen.body.get(name) for name in ("messages", "input")}):
        if node.get("type") in ("tool_result", "function_call_output") or node.get("role") == "tool":
            try:
                found.append(msgspec.json.decode(str(node.get("content", node.get("output"))), type=Json))
            except msgspec.MsgspecError:
                continue
    return found
