"""Which slices are unwell, and which of these not only because of what they stand on. Pure."""

from __future__ import annotations

from llm_layer.diagnosis.seen import Seen


def is_short(seen: Seen, name: str) -> bool:
    """Fewer instances serve than are wanted, or none although somebody cannot do without it."""
    rows = seen.versions(name)
    if any(row.serving < row.wanted for row in rows):
        return True
    needed = any(name in seen.stands_on(each, at_all_costs=True) for each in seen.candidates())
    return needed and not any(row.serving for row in rows)


def is_unwell(seen: Seen, name: str) -> bool:
    figures = seen.figures.get(name)
    return (figures is not None and figures.unwell) or is_short(seen, name)


def unwell_slices(seen: Seen) -> list[str]:
    return [each for each in seen.candidates() if is_unwell(seen, each)]


def sources_of_trouble(seen: Seen) -> list[str]:
    """Unwell slices behind which nothing else is unwell: slowness and errors travel towards the caller. One that has
    failed instances of its own is a source whatever stands behind it."""
    unwell = unwell_slices(seen)
    return [
        each
        for each in unwell
        if _fails_itself(seen, each) or not any(behind in unwell for behind in seen.behind(each))
    ]


def _fails_itself(seen: Seen, name: str) -> bool:
    return any(row.failed for row in seen.versions(name))
