"""A campaign that cannot fail shows nothing: each thing that a replacement must leave is missed where it lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evals.replacing.report import EFFECTS, Replaced, Replacements

WELL = Replaced(
    killed_at="forget",
    killed="n2",
    state="succeeded",
    voters_before=("n1", "n2", "n3", "n4"),
    voters_after=("auto-1", "n1", "n2", "n3"),
    applied=dict.fromkeys(EFFECTS, 1),
    approved=3,
    gone=True,
    serving=True,
    ended=True,
)


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        (WELL, ""),
        (replace(WELL, state="needs_human"), "the run is needs_human"),
        (replace(WELL, voters_after=("n1", "n2", "n3")), "3 vote, not 4"),
        (replace(WELL, gone=False), "the node's vote or record stayed"),
        (replace(WELL, serving=False), "not all slices serve"),
        (replace(WELL, ended=False), "the alert lasts"),
        (replace(WELL, approved=0), "nobody was asked"),
        (replace(WELL, killed=""), "the leader was to be killed, and was not"),
        (replace(WELL, applied={**WELL.applied, "node.forget": 2}), "node.forget took effect 2 times"),
        (replace(WELL, applied={**WELL.applied, "node.provision": 0}), "node.provision took effect 0 times"),
    ],
)
def test_what_a_replacement_must_leave_behind_is_missed(told: Replaced, fault: str) -> None:
    assert "; ".join(told.faults) == fault
    assert Replacements(rounds=[WELL, told]).passed is not bool(fault)


def test_nothing_is_shown_by_no_rounds() -> None:
    assert not Replacements().passed
