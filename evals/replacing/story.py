"""A node stops answering: its alert begins, starts node-replace, people agree, and the node is replaced, with its vote.

Nobody starts or decides anything here but the two people who approve: alert, trigger, gate and playbook are the
cluster's own, as the package has them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import anyio
import msgspec

from evals.forge.approvers import Approvers
from evals.forge.chaos import Chaos
from evals.forge.errors import ApiRefused, ApiUnreachable
from evals.forge.forge import Forge
from evals.replacing.report import Replaced, Replacements
from playbooks.library import library
from runtime.operations.plan import Json
from runtime.workflow.records import ENDED

PLAYBOOK: Final = "node-replace"
CORES: Final = 4  # once the vote of the one that stopped is gone, three are left, and one of them may die
KILLS: Final = ("", "lost-vote", "provision", "cordon", "forget", "verify")
"""Steps of the run at which the leader dies; first of all the round in which nobody does."""
ALERT_S: Final = 60.0
PROPOSED_S: Final = 180.0  # the trigger waits a minute for the node to come back
RUN_S: Final = 600.0
LOOK_S: Final = 0.2

Row = dict[str, Json]


async def replacements(
    kills: Sequence[str],
    *,
    app: Path,
    state: Path | None,
    progress: Callable[[str], None],
    hasty: bool = False,
) -> Replacements:
    """Each on a cluster of its own. hasty: the trigger waits a second for the node to come back, and not a minute."""
    found = Replacements()
    for number, kill_at in enumerate(kills, start=1):
        directory = state / f"{number}" if state is not None else None
        async with Forge(nodes=CORES, provides=1, apps=[app], state=directory, progress=progress) as forge:
            story = Story(forge, kill_at, progress)
            if hasty:
                await upload_hasty(forge)
            found.rounds.append(await story.tell())
        progress(found.rounds[-1].line())
    return found


async def upload_hasty(forge: Forge) -> None:
    """The package's own, as a newer version whose trigger waits for a second."""
    (own,) = [each for each in library() if each.document.playbook.id == PLAYBOOK]
    version = own.document.playbook.version
    text = own.text.replace(f'version = "{version}"', 'version = "9.0.0"').replace('for = "1m"', 'for = "1s"')
    await forge.api.change("POST", "/v1/playbooks", msgspec.json.encode({"source": text}))


class Story:
    """One replacement of the newest core node."""

    def __init__(self, forge: Forge, kill_at: str, progress: Callable[[str], None]) -> None:
        self.told = Replaced(killed_at=kill_at)
        self._forge = forge
        self._node = forge.names[-1]
        self._chaos = Chaos(forge)
        self._progress = progress

    async def tell(self) -> Replaced:
        """Raises NotReached where alert or start do not come."""
        await self._forge.until_well()
        self._approvers = await Approvers.of(self._forge.api)
        await self._forge.until("all vote", self._all_vote, timeout_s=ALERT_S)
        await self._lead_elsewhere()
        self._progress(await self._chaos.do(f"pause {self._node}"))
        began_s = time.monotonic()
        await self._forge.until("the alert begins", self._alerts, timeout_s=ALERT_S)
        self.told.alert_s = time.monotonic() - began_s
        await self._forge.until("its start is proposed", self._is_proposed, timeout_s=PROPOSED_S)
        self.told.proposed_s = time.monotonic() - began_s - self.told.alert_s
        agreed_s = time.monotonic()
        with anyio.move_on_after(RUN_S):
            await self._follow()
        self.told.run_s = time.monotonic() - agreed_s
        await self._look_back()
        return self.told

    async def _lead_elsewhere(self) -> None:
        """It is a node like any other that stops; who leads dies later."""
        leader = await self._forge.until_leader()
        if leader == self._node:
            self._node = next(
                name for name in reversed(self._forge.names) if name not in (leader, self._forge.names[0])
            )

    # -- what the cluster does by itself -------------------------------------------------------------------------------

    async def _all_vote(self) -> bool:
        self.told.voters_before = await self._voters()
        return len(self.told.voters_before) == CORES

    async def _alerts(self) -> bool:
        return any(each["name"] == "NodeUnresponsive" for each in await self._alerts_of_node())

    async def _alerts_of_node(self) -> list[Row]:
        return [each for each in await self._items("/v1/alerts") if each["subject"] == f"node:{self._node}"]

    async def _is_proposed(self) -> bool:
        return any(each["subject"] == f"playbook:{PLAYBOOK}" for each in await self._waiting())

    async def _waiting(self) -> list[Row]:
        return await self._items("/v1/proposals?state=pending")

    # -- what people do, and what dies ---------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Approves all that waits until the run has ended."""
        while True:
            run = await self._run()
            if run is not None and str(run["state"]) in {each.value for each in ENDED} | {"needs_human"}:
                return
            for proposal in await self._waiting():
                if await self._approvers.approve(str(proposal["id"])):
                    self.told.approved += 1
                    self._progress(f"approved: {proposal['summary']}")
            if run is not None and self.told.killed_at and not self.told.killed:
                await self._kill_at(str(run["id"]))
            await anyio.sleep(LOOK_S)

    async def _kill_at(self, run: str) -> None:
        """The leader's whole node, as soon as that step has begun. It starts again at once, as its machine would: until
        the lost vote is gone, two of four are no majority without it."""
        shown = await self._read(f"/v1/runs/{run}")
        steps = msgspec.convert(shown.get("steps") or [], list[Row])
        if any(str(each["step"]).partition("/")[0] == self.told.killed_at for each in steps):
            leader = await self._forge.until_leader()
            self.told.killed = leader
            self._progress(await self._chaos.do(f"kill node {leader}"))
            await self._forge.start_node(leader)
            self._progress(f"{await self._forge.until_leader()} leads")

    async def _run(self) -> Row | None:
        runs = [each for each in await self._items("/v1/runs") if str(each["title"]).startswith(PLAYBOOK)]
        return runs[0] if runs else None

    # -- what came of it -----------------------------------------------------------------------------------------------

    async def _look_back(self) -> None:
        run = await self._run()
        self.told.state = str(run["state"]) if run is not None else "never begun"
        self.told.voters_after = await self._voters()
        nodes = {each.node for each in await self._forge.api.nodes()}
        self.told.gone = self._node not in nodes and self._node not in self.told.voters_after
        self.told.serving = await self._serves()
        self.told.ended = not await self._alerts_of_node()
        audit = await self._items("/v1/audit?kind=applied&limit=1000")
        records = [msgspec.convert(each["record"], Row) for each in audit]
        self.told.applied = Counter(str(each["operation"]) for each in records if _is_of_playbook(each))

    async def _serves(self) -> bool:
        rows = [each for each in await self._forge.api.instances() if each.serving and each.node != self._node]
        wanted = {name: count for app in self._forge.apps for name, count in app.slices}
        return all(sum(each.slice == name for each in rows) == count for name, count in wanted.items())

    async def _voters(self) -> tuple[str, ...]:
        rows = await self._items("/v1/store/members")
        return tuple(sorted(str(each["node"]) for each in rows if each["role"] == "voter"))

    async def _items(self, path: str) -> list[Row]:
        return msgspec.convert((await self._read(path)).get("items"), list[Row])

    async def _read(self, path: str) -> Row:
        """Until some node answers: the fault may have taken others."""
        while True:
            try:
                return msgspec.convert(await self._forge.api.read(path), Row)
            except ApiUnreachable:
                await anyio.sleep(LOOK_S)
            except ApiRefused as refusal:
                if refusal.problem_body.get("retryable") is not True:
                    raise
                await anyio.sleep(LOOK_S)


def _is_of_playbook(record: Row) -> bool:
    """Made by a trigger or a step: the audit's actor is the playbook, with whoever is behind it."""
    actor = record.get("actor")
    return isinstance(actor, dict) and actor.get("kind") == "playbook" and PLAYBOOK in str(actor.get("id"))
