"""A plan: the exact effect of an operation on the state as it was read, before anybody decides about it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Final, Literal, Protocol

import msgspec
from msgspec import Meta

from runtime.consensus.store import Compare, Delete, Operation, Put, Revision, unchanged
from runtime.state import keys

FIELDS_SHOWN_MAX: Final = 200  # of a diff, for people; the effect's hash counts all
VALUE_SHOWN_CHARS_MAX: Final = 400

Json = Annotated[object, Meta(extra_json_schema={"description": "Anything that JSON can say."})]
"""msgspec knows no recursive alias; without the schema it would refuse to describe what holds one."""


class Reads(Protocol):
    """The state as a planner reads it."""

    def value(self, key: str) -> bytes | None: ...


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """One key before and after; None is absent."""

    key: str
    before: bytes | None
    after: bytes | None


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    """One member of one key's record. `path` is empty where the whole key comes or goes."""

    key: str
    path: str = ""
    before: Json = None
    after: Json = None


class BlastRadius(msgspec.Struct, frozen=True, kw_only=True):
    """What a change touches if it goes wrong. `capacity_share` is the part, 0 to 1, of the subject's serving instances
    that goes away; `budget_left` how many instances may still go before `min_available` is reached."""

    instances: int = 0
    nodes: tuple[str, ...] = ()
    capacity_share: float = 0.0
    dependants: tuple[str, ...] = ()
    budget_left: int | None = None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """An operation with its request, as data."""

    operation: str
    request: dict[str, Json]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`reads` are the keys it was made from, with the revision at which each last changed (0: absent)."""

    operation: str
    subject: str
    """What it is about, as "slice:orders", "node:n1", "blueprint:shop" or "cluster"."""
    summary: str
    changes: tuple[KeyChange, ...]
    blast: BlastRadius = BlastRadius()
    reads: dict[str, int] = {}
    inverse: Call | None = None
    estimated_ms: int = 0
    direction: Literal["out", "in", "none"] = "none"
    """Of scaling: more or fewer instances. A change and its opposite soon after are flapping."""
    stops: int | None = None
    """Of scaling in: instances that serve now and will not; 0 where only starts are taken back. None: all that go."""
    step_share: float = 0.0
    """Of scaling: how many instances come or go, as a part of those before."""
    within_bounds: bool = True
    """Of scaling: inside what the blueprint allows."""
    agents_may: bool = False
    """An AI agent may make it at once, where nothing raises its class: by itself it changes nothing that runs, and each
    change that it leads to passes the gate as an agent's."""
    result: dict[str, Json] = {}
    """What the operation answers once applied."""

    @property
    def is_noop(self) -> bool:
        return not self.changes

    def compares(self) -> list[Compare]:
        """That everything it was made from still stands."""
        return [unchanged(key, Revision(revision)) for key, revision in sorted(self.reads.items())]

    def writes(self) -> list[Operation]:
        return [
            Delete(key=each.key) if each.after is None else Put(key=each.key, value=each.after) for each in self.changes
        ]


TURN: Final = b""


def turn(key: str, state: Reads) -> KeyChange:
    """What a change of a record of that kind writes beside it: see `keys.TURNS`."""
    return KeyChange(key=key, before=state.value(key), after=TURN)


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why an operation cannot be planned: the members of the error that is raised for it."""

    code: str
    detail: str
    remedy: str = ""
    retryable: bool = False
    where: dict[str, Json] = {}
    """Where in the request it is, such as line and key."""


def diff(plan: Plan) -> tuple[FieldChange, ...]:
    """The plan's changes, member by member of the records they touch, in the order of their keys. Turns say nothing:
    that one is written for the first time is no other effect."""
    found: list[FieldChange] = []
    for change in sorted(plan.changes, key=lambda each: each.key):
        if change.key in keys.TURNS:
            continue
        before, after = _document(change.before), _document(change.after)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _members(change.key, "", before, after)
        elif before != after or (change.before is None) != (change.after is None):
            found.append(FieldChange(key=change.key, before=before, after=after))
    return tuple(found)


def effect_hash(plan: Plan, approvers: str) -> str:
    """What an approval is bound to: operation, diff, inverse and who must approve; never a revision, so that unrelated
    writes do not void it."""
    inverse = (plan.inverse.operation, plan.inverse.request) if plan.inverse is not None else None
    rows = [(each.key, each.path, each.before, each.after) for each in diff(plan)]
    text = msgspec.json.encode((plan.operation, plan.subject, rows, inverse, approvers), order="sorted")
    return hashlib.sha256(text).hexdigest()


def shown(rows: tuple[FieldChange, ...]) -> tuple[FieldChange, ...]:
    """A diff short enough to be kept with a proposal: long values cut, and no more rows than people would read."""
    return tuple(
        FieldChange(key=row.key, path=row.path, before=_cut(row.before), after=_cut(row.after))
        for row in rows[:FIELDS_SHOWN_MAX]
    )


def _document(raw: bytes | None) -> Json:
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return raw.decode("utf-8", "replace")


def _members(key: str, at: str, before: Mapping[str, Json], after: Mapping[str, Json]) -> list[FieldChange]:
    found: list[FieldChange] = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        path = f"{at}.{name}" if at else name
        if isinstance(old, dict) and isinstance(new, dict):
            found += _members(key, path, old, new)
        elif old != new or (name in before) != (name in after):
            found.append(FieldChange(key=key, path=path, before=old, after=new))
    return found


def _cut(value: Json) -> Json:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return value if len(text) <= VALUE_SHOWN_CHARS_MAX else f"{text[:VALUE_SHOWN_CHARS_MAX]}… ({len(text)} characters)"
