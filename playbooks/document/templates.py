"""Parameters in braces and expressions in values: found, and filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from playbooks.document.duration import seconds
from playbooks.document.lines import Path
from runtime.operations.plan import Json

_BRACES: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_STRINGS: Final = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')
_PARAMS: Final = re.compile(r"(?<![\w.])params\.(\w+)")
_STEPS: Final = re.compile(r"(?<![\w.])steps\.(\w+)|(?<![\w.])steps\[\s*(?:\"([^\"]+)\"|'([^']+)')\s*\]")
CEL: Final = "cel"


def placeholders(text: str) -> list[str]:
    return _BRACES.findall(text)


def filled(text: str, params: Mapping[str, Json]) -> Json:
    """The text with its parameters. One that is the whole text keeps its type. Raises KeyError for an unknown one."""
    whole = _BRACES.fullmatch(text)
    if whole is not None:
        return params[whole[1]]
    return _BRACES.sub(lambda found: _as_text(params[found[1]]), text)


def limit_s(text: str, params: Mapping[str, Json]) -> float:
    """A duration, or that of its parameter, in seconds. Raises KeyError for an unknown one."""
    return seconds(str(filled(text, params)))


def rendered(value: Json, params: Mapping[str, Json], evaluate: Callable[[str], Json]) -> Json:
    """A value of `with`, with parameters and expressions filled in, however deep they stand."""
    if isinstance(value, str):
        return filled(value, params)
    if isinstance(value, list):
        return [rendered(each, params, evaluate) for each in value]
    if not isinstance(value, dict):
        return value
    expression = expression_of(value)
    if expression is not None:
        return evaluate(expression)
    return {name: rendered(each, params, evaluate) for name, each in value.items()}


def expression_of(value: Json) -> str | None:
    """Of a table `{ cel = "…" }`."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get(CEL), str):
        return str(value[CEL])
    return None


def leaves(value: Json, path: Path = ()) -> Iterator[tuple[Path, Json]]:
    """Every single value and every expression, with where it stands."""
    if isinstance(value, dict) and expression_of(value) is None:
        for name, each in value.items():
            yield from leaves(each, (*path, name))
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from leaves(each, (*path, place))
    else:
        yield path, value


def params_in(expression: str) -> list[str]:
    return _PARAMS.findall(_STRINGS.sub("''", expression))


def steps_in(expression: str) -> list[str]:
    return [next(filter(None, found)) for found in _STEPS.findall(expression)]


def _as_text(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
