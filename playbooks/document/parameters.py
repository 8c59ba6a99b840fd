"""Parameters of a run: checked against what the playbook declares, with defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from playbooks.document.duration import is_duration
from playbooks.document.model import Param, ParamType
from playbooks.errors import ParametersInvalid
from runtime.names import is_name
from runtime.operations.plan import Json
from runtime.spelling import nearest

TEXT_CHARS_MAX: Final = 500


def checked(declared: Mapping[str, Param], given: Mapping[str, Json]) -> dict[str, Json]:
    """All parameters with their values. Raises ParametersInvalid, which names the first wrong one."""
    for name in given:
        if name not in declared:
            hint = nearest(name, declared) or f"; it has {', '.join(sorted(declared)) or 'none'}"
            raise ParametersInvalid(f"there is no parameter {name[:80]!r}{hint}")
    found: dict[str, Json] = {}
    for name, param in declared.items():
        if name not in given and param.required:
            raise ParametersInvalid(f"parameter {name} is missing: {param.summary or param.type}")
        value = given.get(name, param.default)
        problem = wrong(param, value) if name in given or value is not None else ""
        if problem:
            raise ParametersInvalid(f"parameter {name}: {problem}")
        found[name] = value if value is not None else _empty(param.type)
    return found


def wrong(param: Param, value: Json) -> str:
    """Why the value cannot be that parameter's; empty if it can."""
    if not _is_of(param.type, value):
        return f"{value!r} is no {param.type}"
    if param.choices and value not in param.choices:
        return f"{value!r} is none of {', '.join(param.choices)}{nearest(str(value), param.choices)}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if param.min is not None and value < param.min:
            return f"{value} is below {param.min:g}"
        if param.max is not None and value > param.max:
            return f"{value} is above {param.max:g}"
    return ""


def _is_of(kind: ParamType, value: Json) -> bool:
    match kind:
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "duration":
            return isinstance(value, str) and is_duration(value)
        case "string":
            return isinstance(value, str) and len(value) <= TEXT_CHARS_MAX
    return isinstance(value, str) and is_name(value)


def _empty(kind: ParamType) -> Json:
    """What an optional parameter without default is, so that expressions always find it."""
    return {"integer": 0, "number": 0.0, "boolean": False, "duration": "0s"}.get(kind, "")


def sample(param: Param) -> Json:
    """A value that would do, to try expressions with."""
    if param.default is not None:
        return param.default
    if param.choices:
        return param.choices[0]
    if param.type in ("integer", "number"):
        least = param.min if param.min is not None else 1
        return int(least) if param.type == "integer" else float(least)
    return {"boolean": True, "duration": "1s", "node": "n1"}.get(param.type, "sample")
