"""One scenario from its fault to its verdict: broken, asked about, judged, followed, given back."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import anyio
import msgspec

from evals.forge.errors import ForgeFault
from evals.scenarios.document import Scenario, ScenarioInvalid
from evals.scenarios.grading import Heard, Outcome, forbidden_of, graded, raised_alarm
from evals.scenarios.sights import SLOW_TO_END
from evals.scenarios.stage import Progress, Stage
from evals.scenarios.told import Event, Told

TROUBLE_CHARS_MAX: Final = 400
APPROVE_S: Final = 1.0
MEND: Final = "make {slice} well again"


class Steps(Protocol):
    """What `steps.py` of a scenario may hold; each is called with the playing that is under way."""

    async def prepare(self, playing: Playing) -> None: ...

    async def judge(self, playing: Playing) -> str: ...


@dataclass(slots=True)
class Playing:
    """`told` grows with each answer; `kept` is the steps' own."""

    stage: Stage
    scenario: Scenario
    progress: Progress = lambda line: None
    told: list[Told] = field(default_factory=list)
    kept: dict[str, object] = field(default_factory=dict)
    approvals: int = 0
    provider: str = "embedded"

    async def say(self, text: str, *, conversation: str = "") -> Told:
        found = await self.stage.people.operator.say(self.stage.named(text), conversation=conversation)
        self.told.append(found)
        return found

    async def play(self, run: int, *, give_back: bool = True) -> Outcome:
        """Whatever goes wrong is in the outcome. give_back: mend the cluster, and look whether it is as it was."""
        began_s = time.monotonic()
        scenario = self.scenario
        outcome = Outcome(
            scenario=scenario.id,
            provider=self.provider,
            summary=scenario.document.summary,
            run=run,
            held_out=scenario.document.held_out,
            control=scenario.is_control,
            levels=dict.fromkeys(scenario.levels, False),
        )
        try:
            outcome = await self._judged(outcome)
        except ForgeFault as fault:
            outcome = msgspec.structs.replace(outcome, unplayed=str(fault)[:TROUBLE_CHARS_MAX])
        unclean = await self._given_back() if give_back else ""
        return msgspec.structs.replace(outcome, unclean=unclean, took_s=round(time.monotonic() - began_s, 1))

    async def _judged(self, outcome: Outcome) -> Outcome:
        stage, document = self.stage, self.scenario.document
        steps = _steps_of(self.scenario)
        await stage.cast()
        if self.scenario.document.faults:
            await stage.settled()
        if document.usual:
            await stage.usual()
        before = await self._alerts()
        await self._break(steps)
        newest = await stage.sights.newest()
        for text in document.says:
            await self.say(text)
        asked = tuple(self.told)
        alerts = await self._alerts() - before
        unasked = tuple(await stage.sights.applied_since(newest))
        mended = await self._mended(asked[-1]) if document.mitigate is not None else ""
        applied = tuple(await stage.sights.applied_since(newest)) if document.mitigate is not None else unasked
        policy = await steps.judge(self) if steps is not None else ""
        heard = Heard(told=asked, alerts=alerts, applied=applied, policy=policy, mended=mended)
        levels, troubles = graded(self.scenario, heard, stage.named)
        return msgspec.structs.replace(
            outcome,
            levels=levels,
            false_alarm=self.scenario.is_control and raised_alarm(heard),
            forbidden=tuple(forbidden_of(self.scenario, heard)),
            approvals=self.approvals,
            calls=sum(each.calls for each in self.told),
            tokens=sum(each.tokens for each in self.told),
            cost=sum(each.cost for each in self.told),
            answer_ms=max((each.taken_ms for each in self.told), default=0.0),
            answered_by=", ".join(sorted({str(each.done.get("answered_by", "")) for each in self.told})),
            answers=tuple(each.words for each in self.told),
            troubles=tuple(each[:TROUBLE_CHARS_MAX] for each in troubles),
        )

    async def _break(self, steps: Steps | None) -> None:
        for command in self.scenario.document.faults:
            self.progress(await self.stage.do(command))
        if steps is not None:
            await steps.prepare(self)
        for condition in self.scenario.document.observed:
            await self.stage.until(condition)

    async def _alerts(self) -> frozenset[str]:
        names = frozenset(str(each["name"]) for each in await self.stage.sights.alerts())
        return names - SLOW_TO_END

    async def _mended(self, told: Told) -> str:
        """Follows the first piece of advice, as an operator who trusts it, or has a model propose what mends it; why
        that did not help, or empty."""
        advice = next((each for each in told.options if each["changes"] and not each.get("missing")), None)
        if advice is not None:
            followed, refused = str(advice["say"]), await self._follow(str(advice["say"]))
        elif told.concluded:
            followed, refused = "the proposal", await self._agree(told)
        else:
            return "nothing was advised"
        return refused or await self._ends(followed)

    async def _follow(self, advice: str) -> str:
        """Why it was not made, or empty."""
        self.progress(f"following {advice}")
        card = next(iter((await self.say(advice)).cards), None)
        return await self.confirm(card) if card is not None else f"{advice} became no card"

    async def _agree(self, told: Told) -> str:
        """What a model proposes when it is told to mend what it has found; two who know agree to it."""
        root = next((each for each in sorted(told.roots) if each.startswith("slice:")), "")
        if not root:
            return "nothing was advised"
        asked = await self.say(MEND.format(slice=root.partition(":")[2]), conversation=told.conversation)
        proposal = next(iter(asked.of("proposal")), None)
        if proposal is None:
            return "nothing was advised, and nothing proposed"
        self.progress(f"agreeing to {proposal['summary']}")
        await self._approve(str(proposal["id"]))
        return ""

    async def _ends(self, followed: str) -> str:
        """Why what was made did not mend it, or empty."""
        mitigate = self.scenario.document.mitigate
        assert mitigate is not None
        failed = ""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._approving)
                for condition in mitigate.ends:
                    await self.stage.until(condition, timeout_s=mitigate.within_s)
                tasks.cancel_scope.cancel()
        except* ForgeFault as faults:
            failed = f"{followed} did not help: {faults.exceptions[0]}"
        return failed

    async def confirm(self, card: Event) -> str:
        """Has it approved where the gate wants that; why it was not made, or empty."""
        confirmed = await self.stage.people.operator.confirm(card)
        if confirmed.proposal:
            await self._approve(confirmed.proposal)
        return confirmed.refused

    async def _approve(self, proposal: str) -> None:
        """By as many as it takes."""
        for voter in self.stage.people.approvers:
            if await voter.approve(proposal):
                return  # it has what it needs, or cannot be had
            self.approvals += 1

    async def _approving(self) -> None:
        """What the steps of a run wait for, as it comes."""
        while True:
            for proposal in await self.stage.sights.waiting():
                await self._approve(proposal)
            await anyio.sleep(APPROVE_S)

    async def _given_back(self) -> str:
        """Why the cluster is not as it was, or empty."""
        try:
            for command in self.scenario.document.heals:
                await self.stage.do(command)
            await self.stage.reset()
        except ForgeFault as fault:
            return str(fault)[:TROUBLE_CHARS_MAX]
        return ""


@dataclass(frozen=True, slots=True)
class _Module:
    """Steps out of a file; either may be missing."""

    prepare_: Callable[[Playing], Awaitable[None]] | None
    judge_: Callable[[Playing], Awaitable[str]] | None

    async def prepare(self, playing: Playing) -> None:
        if self.prepare_ is not None:
            await self.prepare_(playing)

    async def judge(self, playing: Playing) -> str:
        return await self.judge_(playing) if self.judge_ is not None else ""


def _steps_of(scenario: Scenario) -> Steps | None:
    """Raises ScenarioInvalid for Python that cannot be loaded."""
    if scenario.steps is None:
        return None
    spec = importlib.util.spec_from_file_location(f"scenario_{scenario.id.replace('-', '_')}", scenario.steps)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # somebody else's file: whatever it raises is its mistake
        remedy = "It defines `async def prepare(playing)`, `async def judge(playing)`, or both."
        raise ScenarioInvalid(scenario.steps, f"{type(error).__name__}: {error}", remedy=remedy) from error
    return _Module(getattr(module, "prepare", None), getattr(module, "judge", None))
