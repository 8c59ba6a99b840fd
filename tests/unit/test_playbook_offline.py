"""Playbooks where quorum is gone: on one node, with a journal that the audit hears of later."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controllers.gate.joining import StoreAuditLog
from controllers.gate.reviews import read_review
from playbooks.document.parameters import checked
from playbooks.errors import PlaybookInvalid
from playbooks.offline.driver import OfflineRun
from playbooks.offline.journal import Journal, JournalLine, untold
from playbooks.offline.node import LocalProcess, StoreMember
from playbooks.offline.telling import OfflineTelling
from runtime.clock import SystemClock
from runtime.operations.dispatch import Refused
from runtime.security.principals import bootstrap_admin
from runtime.state import keys
from runtime.workflow.flow import StepView
from tests.unit.gate_parts import START_UNIX_MS, records
from tests.unit.playbook_parts import LOG_LEVEL, PlaybooksOnHand
from tests.unit.test_playbook_planning import submit

pytestmark = pytest.mark.anyio

QUORUM = """
[playbook]
id = "quorum-lost"
version = "1.0.0"
kind = "incident"
risk = "medium"
summary = "Start the store of this node anew where quorum is gone"
offline = true
deadline = "5m"

[[pre]]
cel = "!cluster.quorum"
why = "there is a quorum: nothing is to be done"

[[step]]
id = "who"
uses = "local.members"

[[step]]
id = "store"
uses = "local.restart"
with = { process = "store" }
when = "steps.who.newest == 'n1'"
verify = { cel = "cluster.quorum", within = "1s" }
undo = { none = "a process that was started anew stays so" }

[verify]
cel = "cluster.quorum"
within = "1s"
"""


@dataclass
class HandNode:
    """`heals`: there is a quorum once the store was started anew."""

    heals: bool = True
    restarted: list[str] = field(default_factory=list)

    async def processes(self) -> tuple[LocalProcess, ...]:
        pid = 7 + len(self.restarted)
        return (LocalProcess(id="store", kind="store", state="running", pid=pid, restarts=0),)

    async def members(self) -> tuple[StoreMember, ...]:
        well = self.heals and bool(self.restarted)
        mine = StoreMember(node="n1", reachable=True, has_quorum=well, leader="n1" if well else "", last_index=9)
        return (mine, StoreMember(node="n2", reachable=False, error="refused"))

    async def restart(self, process: str) -> None:
        self.restarted.append(process)


def offline(node: HandNode, directory: Path, seen: list[StepView]) -> OfflineRun:
    text = QUORUM if node.heals else QUORUM.replace('"1s"', '"0s"')
    source = PlaybooksOnHand().source(text)
    return OfflineRun(
        source=source,
        node=node,
        run="r1",
        actor=bootstrap_admin(),
        params=checked(source.document.params, {}),
        journal=Journal(directory, "r1"),
        clock=SystemClock(),
        told=seen.append,
    )


async def test_it_does_its_steps_on_the_node_and_its_journal_has_intent_and_outcome(tmp_path: Path) -> None:
    node, seen = HandNode(), list[StepView]()
    assert await offline(node, tmp_path, seen).drive(60.0) == ("succeeded", "")
    assert node.restarted == ["store"]
    ((_, lines),) = untold(tmp_path)
    of_store = [(each.kind, each.state) for each in lines if each.step == "store"]
    assert of_store == [("intent", ""), ("outcome", "done")]
    assert [lines[0].kind, lines[-1].kind, lines[-1].state] == ["began", "ended", "succeeded"]


async def test_what_does_not_help_ends_and_says_so(tmp_path: Path) -> None:
    seen: list[StepView] = []
    end, why = await offline(HandNode(heals=False), tmp_path, seen).drive(60.0)
    assert end == "compensated"
    assert "verification_failed" in why
    assert seen[-1].state == "failed"


async def test_where_there_is_a_quorum_it_does_nothing(tmp_path: Path) -> None:
    node = HandNode(restarted=["earlier"])
    end, why = await offline(node, tmp_path, []).drive(60.0)
    assert end == "failed"
    assert "nothing is to be done" in why
    assert node.restarted == ["earlier"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (QUORUM.replace('"local.members"', '"node.list"'), "needs a cluster"),
        (LOG_LEVEL.replace('"log-level.set"', '"local.restart"'), "is for offline playbooks"),
    ],
)
def test_each_verb_has_its_place(text: str, words: str) -> None:
    with pytest.raises(PlaybookInvalid, match=words):
        PlaybooksOnHand().source(text)


async def test_the_cluster_does_not_start_it() -> None:
    world = PlaybooksOnHand()
    await world.gate.populate()
    await submit(world, "playbook.upload", {"source": QUORUM})
    outcome = await submit(world, "playbook.run", {"playbook": "quorum-lost"})
    assert isinstance(outcome, Refused)
    assert outcome.code == "playbook_offline"


async def test_the_audit_hears_of_it_once_as_broken_glass_that_another_person_looks_at(tmp_path: Path) -> None:
    world = PlaybooksOnHand()
    await offline(HandNode(), tmp_path, []).drive(60.0)
    log = StoreAuditLog(world.gate.store)
    telling = OfflineTelling(directory=tmp_path, node="n1", log=log, lines=world.gate.log, clock=SystemClock())
    assert await telling.look() == 1
    assert await telling.look() == 0
    (record,) = await records(world.gate)
    assert (record.kind, record.operation, record.subject) == ("break_glass", "playbook.offline", "node:n1")
    assert "without a quorum: succeeded" in record.summary
    item = world.gate.state.get(keys.review("r1"))
    assert item is not None
    review = read_review(item.value)
    assert review is not None
    assert review.kind == "break_glass"


async def test_a_run_that_was_killed_is_told_as_unfinished_after_an_hour(tmp_path: Path) -> None:
    world = PlaybooksOnHand()
    journal = Journal(tmp_path, "r2")
    journal.write(JournalLine(kind="began", at_unix_ms=START_UNIX_MS, run="r2"))
    with journal.path.open("ab") as file:
        file.write(b'{"kind": "inte')
    log = StoreAuditLog(world.gate.store)
    telling = OfflineTelling(directory=tmp_path, node="n1", log=log, lines=world.gate.log, clock=world.gate.clock)
    assert await telling.look() == 0
    world.gate.pass_time(3_600_001)
    assert await telling.look() == 1
    (record,) = await records(world.gate)
    assert record.detail["state"] == "unfinished"


def test_a_journal_is_never_written_over(tmp_path: Path) -> None:
    Journal(tmp_path, "r3").close()
    with pytest.raises(FileExistsError):
        Journal(tmp_path, "r3")
