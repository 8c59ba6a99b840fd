"""An expression evaluated, with what it was evaluated on: kept with the step that asked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from playbooks.errors import ExpressionFailed
from playbooks.expressions import cel
from playbooks.expressions.picture import Picture, Variables
from runtime.operations.plan import Json

SEEN_BYTES_MAX: Final = 1024  # of one variable; a longer one is told by its hash: a result has 16 KiB
CEL_KEPT: Final = 200
_WORD: Final = re.compile(r"[A-Za-z_]\w*")


class Evaluated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`seen`: each variable that the expression names, as it was. `error`: why it came to no value."""

    cel: str
    value: Json = None
    revision: int = 0
    measured_unix_ms: int = 0
    window_s: int = 0
    seen: dict[str, Json] = {}
    error: str = ""

    @property
    def holds(self) -> bool:
        return self.value is True


def evaluated(text: str, picture: Picture, more: Mapping[str, Json]) -> Evaluated:
    """Raises ExpressionInvalid alone: what failed on this state is told in `error`."""
    variables = _variables(text, picture, more)
    value, error = None, ""
    try:
        value = cel.evaluate(text, variables)
    except ExpressionFailed as failure:
        error = str(failure)
    uses_metrics = "metrics" in variables
    return Evaluated(
        cel=text,
        value=value,
        revision=picture.revision,
        measured_unix_ms=picture.measured.at_unix_ms if uses_metrics else 0,
        window_s=picture.measured.window_s if uses_metrics else 0,
        seen={name: _short(_named(text, name, each)) for name, each in variables.items()},
        error=error,
    )


def evidence_of(found: Sequence[Evaluated]) -> dict[str, Json]:
    """Of expressions on one picture, as a step's result keeps it: what they saw only once."""
    seen = {name: value for each in found for name, value in each.seen.items()}
    rows: list[Json] = [
        {"cel": each.cel[:CEL_KEPT], "value": each.value, **({"error": each.error[:CEL_KEPT]} if each.error else {})}
        for each in found
    ]
    first = found[0]
    stamped = next((each for each in found if each.window_s), first)
    window: dict[str, Json] = {"at_unix_ms": stamped.measured_unix_ms, "window_s": stamped.window_s}
    return {
        "revision": first.revision,
        "seen": seen,
        "came_to": rows,
        **({"measured": window} if stamped.window_s else {}),
    }


def value_of(text: str, picture: Picture, more: Mapping[str, Json]) -> Json:
    """Raises ExpressionInvalid, ExpressionFailed."""
    return cel.evaluate(text, _variables(text, picture, more))


def _variables(text: str, picture: Picture, more: Mapping[str, Json]) -> Variables:
    """`more` as JSON says it: what an action gave may hold tuples, which CEL does not know."""
    names = set(_WORD.findall(text))
    named = {name: value for name, value in more.items() if name in names}
    return picture.variables(names, msgspec.json.decode(msgspec.json.encode(named)))


def _named(text: str, name: str, value: Json) -> Json:
    """Of a table, the members that the expression names, where it names each that it looks at."""
    used = re.findall(rf"(?<![\w.]){name}\b(?:\.(\w+))?", text)
    if not isinstance(value, dict) or not used or "" in used:
        return value
    return {member: value.get(member) for member in sorted(set(used))}


def _short(value: Json) -> Json:
    raw = msgspec.json.encode(value, order="sorted")
    if len(raw) <= SEEN_BYTES_MAX:
        return value
    size = len(value) if isinstance(value, list | dict) else 1
    return {"members": size, "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
