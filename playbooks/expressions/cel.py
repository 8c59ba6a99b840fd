"""CEL, as Google's own library evaluates it: checked before it runs, with a bound on how much it may iterate.

The library is imported with the first expression: a process that evaluates none does not have it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from playbooks.errors import ExpressionFailed, ExpressionInvalid
from runtime.operations.plan import Json

if TYPE_CHECKING:
    from cel_expr_python.cel import Env, Expression, Type

COMPILED_MAX: Final = 256  # expressions that are kept compiled, about 4 KiB each
Scope = Literal["state", "alert", "event"]
"""What an expression can see: the state of a run, the alert that starts one, the event that does."""

_MAPS: Final[dict[Scope, tuple[str, ...]]] = {
    "state": ("cluster", "config", "params", "steps", "metrics"),
    "alert": ("alert", "labels", "annotations"),
    "event": ("event",),
}
_LISTS: Final[dict[Scope, tuple[str, ...]]] = {
    "state": ("nodes", "slices", "instances", "alerts", "backups"),
    "alert": (),
    "event": (),
}
_CODE: Final = re.compile(r"^(?:[A-Z_]+: )+|\s*\[[A-Z_]+\]$")


def names_in(scope: Scope) -> tuple[str, ...]:
    return (*_MAPS[scope], *_LISTS[scope])


def check(text: str, scope: Scope = "state", *, condition: bool = True) -> None:
    """condition: it must be able to say yes or no. Raises ExpressionInvalid."""
    found = _compiled(text, scope)
    kind = found.return_type().name()
    if condition and kind not in ("BOOL", "DYN"):
        raise ExpressionInvalid(f"gives {kind.lower()}, where yes or no is asked for")


def evaluate(text: str, variables: Mapping[str, Json], scope: Scope = "state") -> Json:
    """Its value as JSON says it. Raises ExpressionInvalid, ExpressionFailed."""
    expression = _compiled(text, scope)
    try:
        value = expression.eval(data=dict(variables))
    except RuntimeError as error:  # the library's word for a spent budget, and for every other one
        raise ExpressionFailed(f"{_words(str(error))}, in {text!r}") from error
    if value.type().name() == "ERROR":
        raise ExpressionFailed(f"{_words(str(value.value()))}, in {text!r}")
    return _json(value.plain_value())


def holds(text: str, variables: Mapping[str, Json], scope: Scope = "state") -> bool:
    """Raises ExpressionInvalid, ExpressionFailed; the latter also for what is neither true nor false."""
    value = evaluate(text, variables, scope)
    if not isinstance(value, bool):
        raise ExpressionFailed(f"it gave {value!r}, neither true nor false, in {text!r}")
    return value


@lru_cache(COMPILED_MAX)
def _compiled(text: str, scope: Scope) -> Expression:
    try:
        return _environment(scope).compile(text)
    except RuntimeError as error:
        raise ExpressionInvalid(_words(str(error))) from error


@lru_cache
def _environment(scope: Scope) -> Env:
    from cel_expr_python import cel

    table = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    variables: dict[str, Type] = dict.fromkeys(_MAPS[scope], table)
    variables |= dict.fromkeys(_LISTS[scope], cel.Type.List(table))
    return cel.NewEnv(variables=variables)


def _words(text: str) -> str:
    """The first sentence of what the library says, without its codes and its drawing."""
    line = text.partition("\n")[0]
    line = re.sub(r"ERROR: <input>:(-?\d+):(-?\d+): ", r"", line)
    line = line.replace(" (in container '')", "")
    return _CODE.sub("", line).strip()


def _json(value: object) -> Json:
    """Times and bytes as text: a record of it must be readable."""
    if isinstance(value, dict):
        return {str(name): _json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
