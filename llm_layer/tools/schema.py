"""A request's JSON Schema as a model is shown it: whole, and with names of what there is now as the only ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec

from llm_layer.desk import Plain
from llm_layer.tools.visible import FILLED_IN, NAMED
from runtime.operations.operation import Request

NAMES_MAX: Final = 150  # of an enum: some 600 tokens; beyond it names are only checked when the tool is called
_DROPPED: Final = frozenset({"title", "pattern"})  # the one says nothing, the other is no regular expression of JSON's


def schema_of(request: type[Request], names: Mapping[str, Sequence[str]]) -> Plain:
    """names: by kind, those that there are."""
    _, parts = msgspec.json.schema_components((request,))
    members = cast(dict[str, Plain], cast(Plain, parts[request.__name__]).get("properties", {}))
    wanted = {name: cast(Plain, _whole(each, parts)) for name, each in members.items() if name not in FILLED_IN}
    required = [each for each in cast(list[str], parts[request.__name__].get("required", [])) if each in wanted]
    shown = {name: _named(name, member, names) for name, member in wanted.items()}
    return {"type": "object", "properties": shown, "required": required, "additionalProperties": False}


def _named(name: str, member: Plain, names: Mapping[str, Sequence[str]]) -> Plain:
    known = names.get(NAMED.get(name, ""), ())
    return {**member, "enum": list(known)} if 0 < len(known) <= NAMES_MAX else member


def _whole(node: object, parts: Mapping[str, object]) -> object:
    """Without references. What the cluster fills in may refer to itself, and is left out before."""
    if isinstance(node, list):
        return [_whole(each, parts) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _whole(parts[str(node["$ref"]).rpartition("/")[2]], parts)
    return {
        name: _whole(each, parts) for name, each in node.items() if name not in _DROPPED or not isinstance(each, str)
    }
