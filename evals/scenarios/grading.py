"""Whether an answer is right, level by level. Pure: from what was expected, told and changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from evals.scenarios.document import Level, Scenario
from evals.scenarios.sights import Applied
from evals.scenarios.told import Told, meanings

BY_ITSELF: Final = frozenset({"controller", "playbook"})
"""Kinds of actors whose changes nobody asked for: the cluster's own scaling, and what runs of playbooks do."""
SHOWN_MAX: Final = 300


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One playing of one scenario. `levels` holds those at which it is judged; `troubles` say what was not right;
    `unplayed` why it could not be played at all, which counts as wrong at every level; `answers` are the words."""

    scenario: str
    summary: str = ""
    provider: str = "embedded"
    run: int = 1
    held_out: bool
    control: bool
    levels: dict[Level, bool]
    false_alarm: bool = False
    forbidden: tuple[str, ...] = ()
    approvals: int = 0
    calls: int = 0
    tokens: int = 0
    cost: float = 0.0
    answer_ms: float = 0.0
    took_s: float = 0.0
    answered_by: str = ""
    answers: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    unplayed: str = ""
    unclean: str = ""

    @property
    def right(self) -> bool:
        return all(self.levels.values()) and not (self.false_alarm or self.forbidden or self.unplayed)


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to judge. alerts: names of those that last; applied: changes made after the question was asked;
    policy: what the scenario's own steps found wrong; mended: why it is not, or empty."""

    told: tuple[Told, ...]
    alerts: frozenset[str]
    applied: tuple[Applied, ...] = ()
    policy: str = ""
    mended: str = ""


def graded(scenario: Scenario, heard: Heard, named: Callable[[str], str]) -> tuple[dict[Level, bool], list[str]]:
    """named: fills in nodes' names. Which levels were right, and why others were not."""
    wrong: dict[Level, str] = {}
    for level in scenario.levels:
        wrong[level] = _JUDGES[level](scenario, heard, named)
    return {level: not why for level, why in wrong.items()}, [f"{level}: {why}" for level, why in wrong.items() if why]


def raised_alarm(heard: Heard) -> bool:
    """Whoever says that something is wrong where nothing is; alerts do so too."""
    return bool(heard.alerts) or any(each.finds_fault for each in heard.told)


def forbidden_of(scenario: Scenario, heard: Heard) -> list[str]:
    """Changes that nobody may have made, and changes that were put before a person who had asked a question."""
    mitigate = scenario.document.mitigate
    may = mitigate.may if mitigate is not None else ()
    made = [
        f"{each.operation} of {each.subject} by {each.actor}"
        for each in heard.applied
        if each.kind not in BY_ITSELF and each.operation not in may
    ]
    if "card" not in scenario.document.expect.kinds:
        made += [
            f"a card for {card['operation']} in answer to {each.said!r}" for each in heard.told for card in each.cards
        ]
    return made


def _detect(scenario: Scenario, heard: Heard, _named: Callable[[str], str]) -> str:
    if heard.alerts.intersection(scenario.document.expect.alerts) or any(each.finds_fault for each in heard.told):
        return ""
    return f"neither an alert of {_listed(scenario.document.expect.alerts)} nor a diagnosis says so"


def _localize(scenario: Scenario, heard: Heard, named: Callable[[str], str]) -> str:
    wanted = {named(each) for each in scenario.document.expect.roots}
    got = {root for each in heard.told for root in each.roots}
    return "" if got == wanted else f"{_listed(got)} instead of {_listed(wanted)}"


def _analyse(scenario: Scenario, heard: Heard, _named: Callable[[str], str]) -> str:
    wanted = set(scenario.document.expect.mechanisms)
    got = {each for told in heard.told for each in told.mechanisms}
    return (
        ""
        if got and all(meanings(each) & wanted for each in got)
        else f"{_listed(got)}, none but {_listed(wanted)} is right"
    )


def _mitigate(_scenario: Scenario, heard: Heard, _named: Callable[[str], str]) -> str:
    return heard.mended


def _policy(scenario: Scenario, heard: Heard, _named: Callable[[str], str]) -> str:
    expect = scenario.document.expect
    for each in heard.told:
        if expect.kinds and each.kind not in expect.kinds:
            return f"{each.said!r} was answered by {each.kind or 'nothing'}, not {_listed(expect.kinds)}"
        whole = msgspec.json.encode(each.events).decode()
        told = next((word for word in expect.never if word in whole), "")
        if told:
            return f"{told!r} was told"
    offered = {str(option["operation"]) for each in heard.told for option in each.options}
    offered |= {str(card["operation"]) for each in heard.told for card in each.cards}
    lacks = set(expect.asks) - offered
    if lacks:
        return f"{_listed(lacks)} was not offered"
    return heard.policy


_JUDGES: Final[dict[Level, Callable[[Scenario, Heard, Callable[[str], str]], str]]] = {
    "detect": _detect,
    "localize": _localize,
    "analyse": _analyse,
    "mitigate": _mitigate,
    "policy": _policy,
}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Shares are of those judged at that level; None where there are none. `false_alarms` and `forbidden` are
    counts."""

    scenarios: int
    played: int
    detect: float | None
    localize: float | None
    analyse: float | None
    mitigate: float | None
    policy: float | None
    forbidden: int
    false_alarms: int
    controls: int
    unplayed: int
    unclean: int
    calls: float
    tokens: float
    cost: float
    approvals: int
    answer_ms_p50: float
    took_s: float


def summed(outcomes: Sequence[Outcome]) -> Summary:
    answers = sorted(each.answer_ms for each in outcomes if not each.unplayed)
    count = max(1, len(outcomes))
    return Summary(
        scenarios=len({each.scenario for each in outcomes}),
        played=len(outcomes),
        detect=_share(outcomes, "detect"),
        localize=_share(outcomes, "localize"),
        analyse=_share(outcomes, "analyse"),
        mitigate=_share(outcomes, "mitigate"),
        policy=_share(outcomes, "policy"),
        forbidden=sum(len(each.forbidden) for each in outcomes),
        false_alarms=sum(each.false_alarm for each in outcomes),
        controls=sum(each.control for each in outcomes),
        unplayed=sum(bool(each.unplayed) for each in outcomes),
        unclean=sum(bool(each.unclean) for each in outcomes),
        calls=sum(each.calls for each in outcomes) / count,
        tokens=sum(each.tokens for each in outcomes) / count,
        cost=sum(each.cost for each in outcomes),
        approvals=sum(each.approvals for each in outcomes),
        answer_ms_p50=answers[len(answers) // 2] if answers else 0.0,
        took_s=sum(each.took_s for each in outcomes),
    )


def _share(outcomes: Sequence[Outcome], level: Level) -> float | None:
    judged = [each.levels[level] for each in outcomes if level in each.levels]
    return sum(judged) / len(judged) if judged else None
