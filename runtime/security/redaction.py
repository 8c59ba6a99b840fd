"""Secrets are taken out of texts and plain data before these are told on, kept or given to a model.

What is left says what stood there: `[redacted:kind]`. Names of members stay.
"""

from __future__ import annotations

import re
from typing import Final

DEPTH_MAX: Final = 32  # of an answer; ours have eight at most
_NAMED: Final = r"(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)"
_QUOTE: Final = r"\\{0,3}[\"']"  # as it is, or of JSON that stands inside of a text
_IS: Final = rf"(?:{_QUOTE})?\s{{0,8}}[:=]\s{{0,8}}"
_RANDOM: Final = r"(?=[^\s\"']{0,200}\d)(?=[^\s\"']{0,200}[A-Za-z])[\w.+/=~-]{16,}"
"""Letters and figures without end: names and words of a `*_key` are none."""

KINDS: Final = (  # kind, pattern; the group `keep` stays. Each repetition that another may follow is bounded, or a text
    # of 200 kB that is made for it would take hours.
    ("pem", r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)"),
    ("jwt", r"\beyJ[\w-]{8,2000}+\.[\w-]{8,}\.[\w-]*"),
    ("key", r"\bae_[A-Za-z0-9_-]{16,}"),  # this cluster's own
    ("key", r"\bsk-[A-Za-z0-9_-]{16,}"),
    ("key", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("key", r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,})"),
    ("key", r"\b(?:AIza[\w-]{30,}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,})"),
    ("authorization", r"(?P<keep>\b(?:authorization[\"']?\s*[:=]\s*[\"']?)?(?:bearer|basic)\s+)[\w.+/=~-]{8,}"),
    ("password", r"(?P<keep>\b[a-z][a-z0-9+.-]{0,30}://[^\s:/@]{0,200}:)[^\s@/]{1,500}(?=@)"),
    (
        "authorization",  # of any scheme, or of none
        rf"(?P<keep>\bauthorization{_IS}(?:{_QUOTE})?(?:[a-z-]{{1,30}}\s{{1,4}})?)"
        r"(?=[^\s\"']{0,200}\d)[\w.+/=~:-]{8,}",
    ),
    (
        "secret",  # between quotes it may have blanks
        rf"(?P<keep>{_NAMED}\w{{0,60}}{_IS}(?P<quote>{_QUOTE}))(?!\[redacted:)[^\"'\n\\]{{4,500}}+(?=(?P=quote))",
    ),
    (
        "secret",
        rf"(?P<keep>{_NAMED}\w{{0,60}}{_IS}(?:{_QUOTE})?)(?!\[redacted:)(?:[^\s\"',;&}}\\]|\\(?![\"'])){{4,}}",
    ),
    ("key", rf"(?P<keep>(?<!idempotency)[_-]key{_IS}(?:{_QUOTE})?){_RANDOM}"),
)
_COMPILED: Final = tuple((kind, re.compile(pattern, re.IGNORECASE | re.DOTALL)) for kind, pattern in KINDS)
_MEMBER: Final = re.compile(rf"(?:^|[_-])(?:{_NAMED}|authorization)$", re.IGNORECASE)
_KEY_MEMBER: Final = re.compile(r"(?<!idempotency)[_-]key$", re.IGNORECASE)
_RANDOM_WHOLE: Final = re.compile(_RANDOM)


def redacted(text: str) -> str:
    """Without what looks like a secret."""
    for kind, pattern in _COMPILED:
        text = pattern.sub(lambda found, kind=kind: f"{found.groupdict().get('keep') or ''}[redacted:{kind}]", text)  # type: ignore[misc]
    return text


def redacted_tree(value: object, depth: int = 0) -> object:
    """Of plain data, every text. Members whose name says that they hold a secret are told by kind alone."""
    if depth > DEPTH_MAX:
        return "[too deep]"
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {name: _member(str(name), each, depth) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [redacted_tree(each, depth + 1) for each in value]
    return value


def _member(name: str, value: object, depth: int) -> object:
    if isinstance(value, str) and value and _MEMBER.search(name):
        return "[redacted:secret]"
    if isinstance(value, str) and _KEY_MEMBER.search(name) and _RANDOM_WHOLE.fullmatch(value):
        return "[redacted:key]"
    return redacted_tree(value, depth + 1)
