"""Text that somebody may have written is told to a model as quoted data: never as words among words."""

from __future__ import annotations

import re
from typing import Final

from llm_layer.desk import Plain

_PLAIN: Final = re.compile(r"[\w.:/@+%#=*-]{0,120}", re.ASCII)
"""Ids, versions, paths, times, units: what holds no blank is taken for a name, also words that hyphens join."""
_ROUTE: Final = re.compile(r"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /[\w./~{}-]{0,200}", re.ASCII)
"""As a slice's methods have them: one blank, and words that hyphens join, as names may."""
PACKAGE: Final = "package"  # where a playbook comes from that nobody uploaded
EXTERNAL: Final = "external"  # where an alert comes from that another system sent, with whatever stood in it
OWN: Final = frozenset(
    {"summary", "sentences", "rule", "because", "path", "approvers", "description", "why_not", "unit"}
)
"""Members whose text the cluster itself puts together. It is quoted like all, and taints nothing."""


def quoted(value: object) -> object:
    """Of plain data, each text with a blank as `{"quoted": text}`."""
    if isinstance(value, str):
        return value if _is_plain(value) else {"quoted": value}
    if isinstance(value, dict):
        return {_key(str(name)): quoted(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [quoted(each) for each in value]
    return value


def _is_plain(text: str) -> bool:
    return bool(_PLAIN.fullmatch(text) or _ROUTE.fullmatch(text))


def _key(name: str) -> str:
    """Names of labels may be anybody's too: what is no plain name is told as far as it is."""
    return name if _PLAIN.fullmatch(name) else re.sub(r"[^\w.:/@-]+", "_", name, flags=re.ASCII)[:120]


def has_foreign_text(value: object, member: str = "") -> bool:
    """Whether there is text that somebody outside may have written, to mislead who reads it. Of a playbook that was
    uploaded the summary is, and of an alert that another system sent; of what came with the package nothing is."""
    if isinstance(value, str):
        return member not in OWN and not _is_plain(value)
    if isinstance(value, dict):
        if "playbook" in value and "origin" in value:
            return bool(value["origin"] != PACKAGE)
        if value.get("origin") == EXTERNAL:
            return True
        return any(not _PLAIN.fullmatch(str(name)) or has_foreign_text(each, str(name)) for name, each in value.items())
    if isinstance(value, list | tuple):
        return any(has_foreign_text(each, member) for each in value)
    return False


def error_of(code: str, detail: str, **members: object) -> Plain:
    """As a model is told that a call was not answered."""
    return {"error": {"code": code, "detail": {"quoted": detail}, **members}}
