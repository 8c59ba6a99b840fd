"""An answer as a model must give it: claims with their evidence, and what to show beside them."""

from __future__ import annotations

from typing import Annotated, Final, cast

import msgspec
from msgspec import Meta

from llm_layer.desk import Plain

BLOCKS_MAX: Final = 12  # more than a screen is not read
TEXT_CHARS_MAX: Final = 1_200

_Id = Annotated[str, Meta(max_length=40)]


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A few sentences that stand on the same evidence."""

    evidence: Annotated[tuple[_Id, ...], Meta(max_length=8, description="Ids of the tool results it stands on.")]
    text: Annotated[
        str, Meta(min_length=1, max_length=TEXT_CHARS_MAX, description="Names of slices and nodes in `backticks`.")
    ]


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`plots` and `cards` are ids that tools gave."""

    claims: Annotated[tuple[Claim, ...], Meta(min_length=1, max_length=BLOCKS_MAX)]
    plots: Annotated[tuple[_Id, ...], Meta(max_length=4, description="Ids of plots to show.")]
    cards: Annotated[tuple[_Id, ...], Meta(max_length=4, description="Ids of changes that are proposed.")]


def schema_for(kind: type[msgspec.Struct]) -> Plain:
    """As providers take it: whole, with every member required and no others. Bounds are checked here, not there."""
    (schema,), parts = msgspec.json.schema_components((kind,), ref_template="{name}")
    return cast(Plain, _strict(schema, parts))


_KEPT: Final = frozenset({"type", "properties", "items", "enum", "description", "anyOf", "const"})


def _strict(node: object, parts: object) -> object:
    if isinstance(node, list):
        return [_strict(each, parts) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _strict(cast(dict[str, object], parts)[str(node["$ref"])], parts)
    kept = {name: _strict(each, parts) for name, each in node.items() if name in _KEPT}
    if "properties" in kept:
        members = {name: _strict(each, parts) for name, each in cast(Plain, node["properties"]).items()}
        kept |= {"properties": members, "required": list(members), "additionalProperties": False}
    return kept
