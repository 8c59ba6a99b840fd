"""Playbooks rehearsed in a throw-away Forge: the fault that the document names, the run, and whether it helped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

import anyio
import msgspec

from evals.forge.approvers import Approvers
from evals.forge.chaos import Chaos
from evals.forge.commands import run_command
from evals.forge.errors import ApiRefused, ApiUnreachable, ForgeFault, NotReached
from evals.forge.forge import Forge
from evals.forge.small_disk import small_disk
from playbooks.document.duration import seconds
from playbooks.document.model import RehearsalPlan
from playbooks.document.reading import Source
from playbooks.document.templates import steps_in
from playbooks.rehearsal import Rehearsed
from runtime.operations.plan import Json
from runtime.workflow.records import ENDED, RunState

LOOK_S: Final = 0.2
STUCK: Final = frozenset({RunState.NEEDS_HUMAN.value, RunState.PAUSED.value})


Before = Literal["failed", "steps", "held"]
TOLD_BEFORE: Final[Mapping[Before, str]] = {
    "failed": "the last verification does not hold, and would not if the steps had been done",
    "steps": "the last verification does not hold, for its steps have not been done; more cannot be seen before",
    "held": "the last verification holds already",
}


def before_of(source: Source, verify: Json) -> Before:
    """What the last verification came to before anything was done. The plan takes all steps as done: what stands on
    more than that, or on nothing else, does not hold for its steps alone."""
    wanted = source.document.verify
    value = verify.get("value") if isinstance(verify, dict) else None
    if wanted is None or (value is not False and steps_in(wanted.cel)):
        return "steps"
    return "held" if value is True else "failed"


class NoRehearsal(ForgeFault):
    code = "no_rehearsal"
    remedy = "Add [rehearse] to the playbook: nodes, apps, fault, observed, params."


class ForgeRehearsal:
    """Implements Rehearsal. examples: where the applications are that a rehearsal names."""

    def __init__(self, *, examples: Path, state: Path | None = None) -> None:
        self._examples = examples
        self._state = state

    async def rehearse(self, source: Source, told: Callable[[str], None]) -> Rehearsed:
        """Raises NoRehearsal, and what Forge raises where the cluster or the fault could not be made."""
        plan = source.document.rehearse
        if plan is None:
            raise NoRehearsal(f"{source.document.playbook.id} does not say how it is rehearsed")
        begun_s = time.monotonic()
        async with small_disk(plan.disk_mib) as disk, self._forge(plan, told, disk or self._state) as forge:
            await forge.until_ready()
            await forge.until_apps_active()
            return await _Stage(forge, source, plan, told).play(begun_s)

    def _forge(self, plan: RehearsalPlan, told: Callable[[str], None], state: Path | None) -> Forge:
        return Forge(
            nodes=plan.nodes,
            workers=plan.workers,
            apps=[self._examples / name for name in plan.apps],
            provides=plan.provides,
            partitions=any(each.startswith("partition") for each in plan.fault),
            state=state,
            progress=told,
        )


class _Stage:
    """One rehearsal on a cluster that is well."""

    def __init__(self, forge: Forge, source: Source, plan: RehearsalPlan, told: Callable[[str], None]) -> None:
        self._forge = forge
        self._source = source
        self._plan = plan
        self._told = told
        self._header = source.document.playbook

    async def play(self, begun_s: float) -> Rehearsed:
        if self._header.offline:
            return await self._play_offline(begun_s)
        await self._change("POST", "/v1/playbooks", {"source": self._source.text})
        self._approvers = await Approvers.of(self._forge.api)
        before = await self._broken()
        run_s = time.monotonic()
        detail = await self._run()
        ended_s = time.monotonic()
        return self._rehearsed(before, detail, begun_s, run_s, ended_s)

    def _rehearsed(self, before: Before, detail: str, begun_s: float, run_s: float, ended_s: float) -> Rehearsed:
        return Rehearsed(
            playbook=self._header.id,
            version=self._header.version,
            sha256=self._source.sha256,
            failed_before=before != "held",
            seen_failing=before == "failed",
            held_after=not detail,
            took_ms=round((ended_s - begun_s) * 1_000),
            run_ms=round((ended_s - run_s) * 1_000),
            detail=detail or ("" if before != "held" else "its verification held before it had done anything"),
        )

    async def _play_offline(self, begun_s: float) -> Rehearsed:
        """By the command line, on the node that the document names."""
        chaos = Chaos(self._forge)
        for command in self._plan.fault:
            self._told(await chaos.do(command))
        await chaos.until(self._plan.observed)
        data = str(self._forge.nodes[self._plan.on].data)
        before: Before = "held" if await _has_quorum(data) else "failed"
        run_s = time.monotonic()
        file = self._forge.state.path / f"{self._header.id}.toml"
        file.write_text(self._source.text)
        given = [word for name, value in self._plan.params.items() for word in ("--param", f"{name}={value}")]
        detail = ""
        try:
            limit_s = seconds(self._header.deadline)
            said = await run_command("playbook", "offline", str(file), "--data", data, *given, timeout_s=limit_s)
            for line in said.splitlines():
                self._told(line.strip())
            await self._forge.until_leader()
        except ForgeFault as fault:
            detail = str(fault)
        ended_s = time.monotonic()
        return self._rehearsed(before, detail, begun_s, run_s, ended_s)

    async def _broken(self) -> Before:
        """Breaks what the document names, and looks whether the last verification then holds."""
        chaos = Chaos(self._forge)
        for command in self._plan.fault:
            self._told(await chaos.do(command))
        await chaos.until(self._plan.observed)
        path = f"/v1/playbooks/{self._header.id}/plan"
        found = await self._change("POST", path, {"version": self._header.version, "params": self._plan.params})
        before = before_of(self._source, found.get("verify"))
        self._told(TOLD_BEFORE[before])
        return before

    async def _run(self) -> str:
        """Why it did not end well; empty if it did."""
        path = f"/v1/playbooks/{self._header.id}/run"
        try:
            started = await self._change(
                "POST", path, {"version": self._header.version, "params": self._plan.params, "dedupe": "rehearsal"}
            )
        except ApiRefused as error:
            return str(error)
        identity = str(started["run"])
        chaos = Chaos(self._forge)
        for command in self._plan.heal:
            self._told(await chaos.do(command))
        try:
            with anyio.fail_after(seconds(self._header.deadline)):
                return await self._followed(identity)
        except TimeoutError as error:
            raise NotReached(f"run {identity} has not ended within {self._header.deadline}") from error

    async def _followed(self, identity: str) -> str:
        seen: dict[str, str] = {}
        while True:
            shown = await self._read(f"/v1/runs/{identity}")
            run = msgspec.convert(shown.get("run"), dict[str, Json])
            for step in msgspec.convert(shown.get("steps"), list[dict[str, Json]]):
                self._tell(seen, step)
            state = str(run.get("state"))
            if state == RunState.SUCCEEDED:
                return ""
            if state in STUCK or state in {each.value for each in ENDED}:
                return _why(shown, run)
            waits_for = str(run.get("waits_for", ""))
            if waits_for.startswith("proposal/"):
                await self._approve(waits_for.removeprefix("proposal/"))
            await anyio.sleep(LOOK_S)

    def _tell(self, seen: dict[str, str], step: Mapping[str, Json]) -> None:
        name, state = str(step["step"]), str(step["state"])
        if seen.get(name) != state:
            seen[name] = state
            error = step.get("error")
            why = f": {error.get('detail')}" if isinstance(error, dict) else ""
            self._told(f"{name}: {state}{why}")

    async def _approve(self, proposal: str) -> None:
        if await self._approvers.approve(proposal):
            self._told(f"proposal {proposal} is approved")

    async def _read(self, path: str) -> dict[str, Json]:
        """Until some node answers: the fault may have taken others."""
        while True:
            try:
                return msgspec.convert(await self._forge.api.read(path), dict[str, Json])
            except ApiUnreachable:
                await anyio.sleep(LOOK_S)

    async def _change(self, method: str, path: str, members: Mapping[str, Json]) -> dict[str, Json]:
        found = await self._forge.api.change(method, path, json.dumps(dict(members)).encode())
        return msgspec.convert(found, dict[str, Json])


def _why(shown: Mapping[str, Json], run: Mapping[str, Json]) -> str:
    error = shown.get("error")
    told = f"{error.get('code')}: {error.get('detail')}" if isinstance(error, dict) else str(run.get("reason", ""))
    return f"the run is {run.get('state')}: {told}"[:500]


async def _has_quorum(data: str) -> bool:
    """As the node itself sees it, which is all that an offline playbook can verify."""
    said = json.loads(await run_command("store", "status", "--data", data, "--json", ok=(0, 1)) or "{}")
    return any((each.get("status") or {}).get("has_quorum") for each in said.get("members", ()))
