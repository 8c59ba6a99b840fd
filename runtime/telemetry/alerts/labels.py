"""Labels: what an alert is known by, and the matchers that silences and routes are made of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final, NamedTuple

import msgspec

from runtime.errors import RuntimeFault

MATCHER_CHARS_MAX: Final = 300
_MATCHER: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
_PLAIN: Final = re.compile(r"[\w\s|.:/*+?()@$^\-]*")
_NESTED: Final = re.compile(r"[*+?]\)*[*+]|\)[*+]")
REPETITIONS_MAX: Final = 2  # of a pattern, as in .*pay.*: quadratic at most, over labels of some hundred characters


class MatcherInvalid(RuntimeFault):
    """A text that is no matcher."""

    code = "matcher_invalid"
    remedy = 'Write NAME=VALUE, NAME!=VALUE, NAME=~PATTERN or NAME!~PATTERN, as in severity=critical or slice=~"pay.*".'


class Matcher(NamedTuple):
    """`pattern` is matched as a whole; None compares with `value`."""

    name: str
    value: str
    negated: bool
    pattern: re.Pattern[str] | None

    def fits(self, labels: Mapping[str, str]) -> bool:
        """A label that is not there is empty, as with Alertmanager."""
        seen = labels.get(self.name, "")
        same = seen == self.value if self.pattern is None else self.pattern.fullmatch(seen) is not None
        return same is not self.negated


@cache
def matcher_of(text: str) -> Matcher:
    """Raises MatcherInvalid. Patterns that could take for ever are refused: the leader runs them over every alert."""
    found = _MATCHER.fullmatch(text[: MATCHER_CHARS_MAX + 1])
    if found is None or len(text) > MATCHER_CHARS_MAX:
        raise MatcherInvalid(f"{text[:60]!r} is no matcher")
    name, sign, value = found.groups()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if not sign.endswith("~"):
        return Matcher(name, value, sign == "!=", None)
    repeats = value.count("*") + value.count("+")
    if repeats > REPETITIONS_MAX or _PLAIN.fullmatch(value) is None or _NESTED.search(value):
        raise MatcherInvalid(f"the pattern {value[:60]!r} is more than matchers take")
    try:
        return Matcher(name, value, sign == "!~", re.compile(value))
    except re.error as error:
        raise MatcherInvalid(f"{value[:60]!r} is no pattern: {error}") from error


def fits(matchers: Iterable[str], labels: Mapping[str, str]) -> bool:
    """All of them do. One that cannot be read, of a newer version, fits nothing."""
    try:
        return all(matcher_of(each).fits(labels) for each in matchers)
    except MatcherInvalid:
        return False


def fingerprint_of(labels: Mapping[str, str], *scope: str) -> str:
    """16 hex digits that stay the same for the same labels. scope: what else tells apart, such as a sender's group."""
    text = msgspec.json.encode((dict(labels), scope), order="sorted")
    return hashlib.sha256(text).hexdigest()[:16]


def group_key_of(route: str, labels: Mapping[str, str]) -> str:
    """As Alertmanager writes them: `{}/route:{alertname="NodeUnresponsive"}`."""
    told = ", ".join(f"{name}={msgspec.json.encode(value).decode()}" for name, value in sorted(labels.items()))
    return f"{{}}{f'/{route}' if route else ''}:{{{told}}}"
