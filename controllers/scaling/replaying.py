"""Recorded decisions, decided again: as they were, and as another policy or other bounds would have. Each stands alone:
what would have followed from another decision was never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from controllers.scaling.config import ScalingConfig
from controllers.scaling.decide import decide
from controllers.scaling.errors import ScalingPolicyInvalid
from controllers.scaling.model import Decision, SliceSeen
from controllers.scaling.records import DecisionRecord
from controllers.scaling.tree import RuleTree
from runtime.operations.plan import Json


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be other than it was recorded. `members` are those of a scaling configuration."""

    members: Mapping[str, Json] = {}
    least: int | None = None
    most: int | None = None
    forecast: bool = True
    """False: as if there had been no forecast."""
    own_rules: bool = True
    """False: as if nobody had written rules beside the tree."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded decision."""

    id: str
    at_unix_ms: int
    slice: str
    current: Annotated[int, Meta(description="Instances that there were, with those on their way.")]
    recorded: Annotated[int, Meta(description="That were decided then.")]
    again: Annotated[int, Meta(description="That its own policy gives with the rules of now.")]
    other: Annotated[int, Meta(description="That the other policy gives.")]
    because: Annotated[tuple[str, ...], Meta(description="Why, for the other policy.")]

    @property
    def is_changed(self) -> bool:
        return self.other != self.again


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    records: int
    reproduced: Annotated[
        int,
        Meta(description="That came out again as they were recorded: not all, where the rules are others than then."),
    ]
    changed: Annotated[int, Meta(description="That would have been others.")]
    more: Annotated[
        int, Meta(description="Instances that the other policy would have wanted on top, where it wanted more.")
    ]
    fewer: int


def replay(records: Sequence[DecisionRecord], tree: RuleTree, variant: Variant) -> list[Replayed]:
    """Raises ScalingPolicyInvalid."""
    return [_replayed(record, tree, variant) for record in records]


def summed(found: Sequence[Replayed]) -> Summary:
    return Summary(
        records=len(found),
        reproduced=sum(each.again == each.recorded for each in found),
        changed=sum(each.is_changed for each in found),
        more=sum(max(0, each.other - each.again) for each in found),
        fewer=sum(max(0, each.again - each.other) for each in found),
    )


def other_config(config: ScalingConfig, members: Mapping[str, Json]) -> ScalingConfig:
    """Raises ScalingPolicyInvalid."""
    try:
        return msgspec.convert({**msgspec.to_builtins(config), **members}, ScalingConfig, strict=False)
    except msgspec.ValidationError as error:
        raise ScalingPolicyInvalid(str(error)) from error


def _replayed(record: DecisionRecord, tree: RuleTree, variant: Variant) -> Replayed:
    config = other_config(record.config, variant.members)
    decided = _decided(record, tree, config, _seen(record.seen, variant))
    return Replayed(
        id=record.id,
        at_unix_ms=record.at_unix_ms,
        slice=record.slice,
        current=record.seen.current,
        recorded=record.decision.wanted,
        again=_decided(record, tree, record.config, record.seen).wanted,
        other=decided.wanted,
        because=tuple(map(str, decided.because)),
    )


def _decided(record: DecisionRecord, tree: RuleTree, config: ScalingConfig, seen: SliceSeen) -> Decision:
    return decide(config, tree, seen, record.around, opinion=record.opinion)


def _seen(seen: SliceSeen, variant: Variant) -> SliceSeen:
    """Where one bound passes the other, that moves along."""
    least = seen.least if variant.least is None else variant.least
    most = seen.most if variant.most is None else variant.most
    if least > most:
        least, most = (most, most) if variant.least is None else (least, least)
    return msgspec.structs.replace(
        seen,
        least=least,
        most=most,
        forecast=seen.forecast if variant.forecast else None,
        own_rules=seen.own_rules if variant.own_rules else None,
    )
