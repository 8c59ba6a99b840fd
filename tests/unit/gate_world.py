"""Two gates on one store, interleaved by hand, and an oracle that looks at every transaction as it is made.

The oracle does not ask the gate: it reads what is written, and keeps its own book of votes, roles, time and turns.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec

from controllers.gate.answers import AnswerBook
from controllers.gate.applying import Applier
from controllers.gate.audit import AuditRecord, read_chained
from controllers.gate.chaining import AuditChain
from controllers.gate.desk import GateDesk
from controllers.gate.errors import GateFault
from controllers.gate.gate import Gate
from controllers.gate.guarding import Guards
from controllers.gate.idempotency import answer_key
from controllers.gate.policy import default_policy
from controllers.gate.proposals import Proposal
from controllers.gate.reviews import Reviews
from controllers.gate.verifying import AuditReader
from controllers.gate.voting import Votes
from runtime.consensus.errors import StoreFault
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import LEADER_KEY, Delete, Put, Revision
from runtime.operations import slices
from runtime.operations.actor import Actor, ActorKind, Role, at_least
from runtime.operations.catalogue import Catalogue
from runtime.operations.dispatch import Applied, Guard, Proposed, Submission
from runtime.sdk.testing import CollectedLog
from runtime.security.principals import PrincipalRecord, actor_of
from runtime.state import keys
from runtime.state.values import SliceTarget, encode
from tests.unit.gate_parts import HandClock, HandFigures, MemoryState, model, person, target

TARGET = "slice-target/orders/1"
MINUTE_MS = 60_000
EXPIRES_MS = {0: 15 * MINUTE_MS, 1: 15 * MINUTE_MS, 2: 60 * MINUTE_MS, 3: 60 * MINUTE_MS}
RAISES = default_policy().raises
CHANGES = ("applied", "break_glass", "rolled_back")
ROLES = {"anna": Role.OPERATOR, "ben": Role.OPERATOR, "dora": Role.OPERATOR, "cleo": Role.ADMIN, "bot": Role.OPERATOR}
BOT = Actor(kind=ActorKind.AUTOMATION, id="bot", role=Role.OPERATOR, is_agent=True)
TREE = Actor(kind=ActorKind.CONTROLLER, id="scaling", role=Role.OPERATOR)
WHO = {
    "anna": person("anna"),
    "ben": person("ben"),
    "cleo": person("cleo", Role.ADMIN),
    "bot": BOT,
    "model": model(person("anna")),
    "tree": TREE,
}


class Pause:
    def __await__(self) -> Generator[None, None, None]:
        yield


def interleave(running: Sequence[Coroutine[Any, Any, None]], schedule: Sequence[int]) -> None:
    """Steps one of them after the other, from pause to pause, in the order of `schedule`, then in turn."""
    alive = list(running)
    turns = iter(schedule)
    try:
        while alive:
            chosen = alive[next(turns, 0) % len(alive)]
            try:
                chosen.send(None)
            except StopIteration:
                alive.remove(chosen)
    finally:
        for each in alive:
            each.close()


class WatchedStore:
    """The store as one node sees it: others may act before each call, and the oracle sees what each call does."""

    def __init__(self, world: World, node: str) -> None:
        self._world, self._node, self._inner = world, node, world.memory

    async def get(self, key: str, **how: Any) -> Any:
        await Pause()
        return await self._inner.get(key, **how)

    async def range(self, prefix: str, **how: Any) -> Any:
        await Pause()
        return await self._inner.range(prefix, **how)

    async def grant(self, ttl_ms: int) -> Any:
        await Pause()
        return await self._inner.grant(ttl_ms)

    async def revoke(self, lease: Any) -> None:
        await Pause()
        await self._inner.revoke(lease)

    async def txn(self, compare: Any, then: Any, otherwise: Any = ()) -> Any:
        await Pause()
        world = self._world
        before = dict(world.memory.items)
        result = await self._inner.txn(compare, then, otherwise)
        if result.succeeded and then:
            try:
                world.looked(self._node, before, list(then), result.revision)
            except Exception as broken:  # the gate may catch it; the machine asks for it after each step
                world.broken.append(broken)
                raise
        return result


class Node:
    def __init__(self, world: World, name: str) -> None:
        self.store = WatchedStore(world, name)
        self.desk = GateDesk(
            store=self.store,
            state=MemoryState(world.memory),
            catalogue=Catalogue(slices.OPERATIONS),
            clock=world.clock,
            new_id=lambda: f"id{next(world.numbers):05}",
            fence=lambda: world.believes.get(name),
            log=CollectedLog(),
        )
        self.gate = Gate(self.desk, AnswerBook(self.store, world.clock))
        self.votes = Votes(self.desk)
        self.reviews = Reviews(self.desk)
        self.applier = Applier(self.desk)
        self.guards = Guards(self.desk, world.figures)
        self.chain = AuditChain(self.store, world.keep, CollectedLog())


@dataclass
class Asked:
    """What somebody asked for, found again by the reason that every record of it carries."""

    submission: Submission
    ids: set[str] = field(default_factory=set)
    made: int = 0


@dataclass
class Waiting:
    proposal: Proposal
    created_ms: int
    answer: str
    """Where its answer is kept under an idempotency key."""
    votes: dict[str, bool] = field(default_factory=dict)


class World:
    def __init__(self) -> None:
        self.memory = MemoryStore("n1")
        self.clock = HandClock()
        self.figures = HandFigures()
        self.numbers = count(1)
        self.kept: dict[str, bytes] = {}
        self.broken: list[Exception] = []
        self.asked: dict[str, Asked] = {}
        self.waiting: dict[str, Waiting] = {}
        self.applications: Counter[str] = Counter()
        self.came_to: dict[str, str] = {}
        """Proposals by the audit records of what they came to."""
        self.undone: Counter[str] = Counter()
        self.changes: list[Revision] = []
        self.agent_changes_ms: list[int] = []
        self.believes: dict[str, Revision | None] = {"n1": self.fence()}
        self.seen: Counter[str] = Counter()
        self.nodes = {name: Node(self, name) for name in ("n1", "n2")}
        self.environment([Put(key=TARGET, value=encode(target("orders", 4)))])
        for name, role in ROLES.items():
            self.role(name, role)

    # -- what happens --------------------------------------------------------------------------------------------------

    def fence(self) -> Revision:
        item = self.memory.engine.machine.keys.get(LEADER_KEY)
        assert item is not None
        return item.mod_revision

    def leader(self) -> str:
        item = self.memory.engine.machine.keys.get(LEADER_KEY)
        assert item is not None
        return item.value.decode()

    def environment(self, operations: list[Any]) -> None:
        """Written by others than the gate."""
        interleave([self._write(operations)], [])

    async def _write(self, operations: list[Any]) -> None:
        await self.memory.txn((), operations)

    def role(self, name: str, role: Role) -> None:
        kind = "automation" if name == "bot" else "person"
        record = PrincipalRecord(id=name, kind=kind, role=role, is_agent=name == "bot")  # type: ignore[arg-type]
        self.environment([Put(key=keys.principal(name), value=encode(record))])

    def lead(self, node: str) -> None:
        """The new leader knows at once, the old one when it hears of it."""
        self.memory.engine.lead(node)
        self.believes[node] = self.fence()

    def hear(self) -> None:
        self.believes = {self.leader(): self.fence()}

    def pass_time(self, elapsed_ms: int) -> None:
        self.clock.now_ms += elapsed_ms
        self.memory.engine.advance(1)
        self.memory.engine.advance(elapsed_ms)

    async def keep(self, raw: bytes) -> str:
        name = hashlib.sha256(raw).hexdigest()
        self.kept[name] = raw
        return name

    async def submit(self, node: str, submission: Submission) -> None:
        asked = self.asked.setdefault(submission.reason, Asked(submission))
        outcome = await self.nodes[node].gate.submit(submission)
        if isinstance(outcome, Applied):
            asked.ids.add(self.came_to.get(outcome.audit, outcome.audit))
        if isinstance(outcome, Proposed):
            asked.ids.add(outcome.proposal)
        if submission.idempotency_key and len(asked.ids) > 1:
            self.broken.append(AssertionError("an idempotency key was answered in two ways"))

    async def cast(self, node: str, identity: str, voter: str, *, approve: bool) -> None:
        await self.cast_by(self.nodes[node], identity, voter, approve=approve)

    async def cast_by(self, node: Node, identity: str, voter: str, *, approve: bool) -> None:
        await node.votes.cast(identity, WHO.get(voter) or person(voter), approve=approve, reason="")

    # -- what must hold ------------------------------------------------------------------------------------------------

    def looked(self, node: str, before: dict[str, Any], operations: list[Any], revision: Revision) -> None:
        """Raises AssertionError if this transaction should not have been."""
        puts = {each.key: each.value for each in operations if isinstance(each, Put)}
        gone = {each.key for each in operations if isinstance(each, Delete)}
        assert node == self.leader(), "written by a node that does not lead"
        records = [
            msgspec.json.decode(value, type=AuditRecord)
            for key, value in puts.items()
            if key.startswith((keys.AUDIT_FRESH, keys.AUDIT_REFUSED))
        ]
        self.seen.update(each.kind for each in records)
        for record in records:
            if record.kind == "proposed":
                self._proposed(record, puts)
            if record.kind in ("voted", "rejected"):
                self.waiting[record.proposal].votes[record.actor.id] = record.kind == "voted"
        if TARGET not in puts:
            return
        assert len(records) == 1, "a change without its one record"
        assert records[0].kind in CHANGES
        self.changes.append(revision)
        self._changed(records[0], before, puts, gone)

    def _proposed(self, record: AuditRecord, puts: dict[str, bytes]) -> None:
        asked = self.asked[record.reason]
        self._once(asked)
        proposal = msgspec.json.decode(puts[keys.proposal(record.proposal)], type=Proposal)
        assert keys.proposal_live(record.proposal) in puts
        answer = answer_key(asked.submission) if asked.submission.idempotency_key else ""
        self.waiting[record.proposal] = Waiting(proposal, self.clock.now_ms, answer)

    def _once(self, asked: Asked) -> None:
        asked.made += 1
        assert asked.made == 1 or not asked.submission.idempotency_key, "done twice for one idempotency key"

    def _changed(self, record: AuditRecord, before: dict[str, Any], puts: dict[str, bytes], gone: set[str]) -> None:
        old, new = (msgspec.json.decode(raw, type=SliceTarget) for raw in (before[TARGET].value, puts[TARGET]))
        if record.kind == "rolled_back":
            self._rolled_back(record, before, gone)
            return
        asked = self.asked[record.reason]
        least = self.least_class(record.actor, old.wanted, new.wanted, asked.submission.tainted)
        assert new.wanted == asked.submission.request["instances"], "another change than was asked for"
        assert msgspec.structs.replace(old, wanted=new.wanted) == new, "another's change was undone by it"
        if record.proposal:
            self._by_consent(record, before, gone, old.wanted, least)
            answer = self.waiting[record.proposal].answer
            assert answer not in before or answer in puts, "its answer does not tell what it came to"
        else:
            self._at_once(record, asked, before, puts, least)
        if record.actor.acts_as_agent:
            self._limits_kept()

    def _at_once(
        self, record: AuditRecord, asked: Asked, before: dict[str, Any], puts: dict[str, bytes], least: int
    ) -> None:
        self._once(asked)
        assert not record.actor.acts_as_agent, "an agent acted at once"
        matches = not asked.submission.if_match or before[TARGET].mod_revision <= asked.submission.if_match
        assert matches, "a precondition had failed"
        if record.kind == "break_glass":
            assert (record.actor.kind, record.actor.role) == (ActorKind.PERSON, Role.ADMIN), "no admin in person"
            assert keys.review(record.id) in puts, "broken glass without a review"
            return
        assert not asked.submission.propose, "it was to wait"
        assert least <= (1 if record.actor.kind is ActorKind.PERSON else 0), "it needed consent"

    def _by_consent(
        self, record: AuditRecord, before: dict[str, Any], gone: set[str], old_wanted: int, least: int
    ) -> None:
        identity = record.proposal
        waiting = self.waiting[identity]
        self.applications[identity] += 1
        assert self.applications[identity] == 1, "applied twice"
        self.came_to[record.id] = identity
        assert keys.proposal_live(identity) in before, "applied after it had expired"
        lasts_ms = EXPIRES_MS[int(waiting.proposal.gate_class)]
        assert self.clock.now_ms - waiting.created_ms <= lasts_ms, "applied after its time"
        assert {keys.proposal_live(identity), keys.proposal_open(identity)} <= gone, "applied, and it goes on"
        approved = [each.before for each in waiting.proposal.diff if each.path == "wanted"]
        assert approved == [old_wanted], "applied on another state than was approved"
        valid = [name for name, approve in waiting.votes.items() if approve and self._counts(name, record.actor)]
        assert len(valid) >= (2 if least >= 2 else 1), "applied with too few valid votes"
        if least >= 2:
            assert any(at_least(self.role_of(name), Role.ADMIN) for name in valid), "no owner or admin approved"

    def _counts(self, name: str, actor: Actor) -> bool:
        return (
            name != "bot"
            and at_least(self.role_of(name), Role.OPERATOR)
            and name not in {each.id for each in actor.chain()}
        )

    def role_of(self, name: str) -> Role:
        raw = self.memory.items[keys.principal(name)].value
        found = actor_of(msgspec.json.decode(raw, type=PrincipalRecord))
        assert found is not None
        return found.role

    def least_class(self, actor: Actor, old: int, new: int, tainted: bool) -> int:
        """What the default policy asks for at least, worked out anew."""
        share = max(0, old - new) / max(1, old)
        least = 1 if actor.acts_as_agent else 0
        if actor.kind is not ActorKind.CONTROLLER:
            least = max(least, 2 if share > RAISES.capacity_share_g2 else 1 if share > RAISES.capacity_share_g1 else 0)
        if "freeze/cluster" in self.memory.items or tainted:
            least = 2
        more = actor.kind is ActorKind.CONTROLLER and new > old  # what an incident may need at once
        return max(least, 1) if "incident/slice:orders" in self.memory.items and not more else least

    def _limits_kept(self) -> None:
        now = self.clock.now_ms
        assert sum(each >= now - 10 * MINUTE_MS for each in self.agent_changes_ms) < 3, "agents change it too often"
        assert all(each <= now - 30_000 for each in self.agent_changes_ms), "two agents at a time in one domain"
        self.agent_changes_ms.append(now)

    def _rolled_back(self, record: AuditRecord, before: dict[str, Any], gone: set[str]) -> None:
        guard = next((key for key in gone if key.startswith(keys.GUARDS)), "")
        assert guard in before, "rolled back by a guard that stays, or was gone"
        self.undone[guard] += 1
        assert self.undone[guard] == 1, "rolled back twice"
        if any(each.acts_as_agent for each in record.actor.chain()):
            self.agent_changes_ms.append(self.clock.now_ms)

    def finished(self) -> None:
        """Everything has its place in the chain, and every change exactly one record of it."""
        self.hear()
        leading = self.nodes[self.leader()]
        interleave([self._chained(leading)], [])
        found = Counter(
            chained.revision
            for key, item in self.memory.items.items()
            if key.startswith(keys.AUDIT) and (chained := read_chained(item.value)).record.kind in CHANGES
        )
        assert all(found[int(revision)] == 1 for revision in self.changes), "a change is not audited once"

    async def _chained(self, node: Node) -> None:
        await node.chain.append(self.fence())
        await AuditReader(self.memory, self._load).verify()

    async def _load(self, sha256: str) -> bytes:
        return self.kept[sha256]


async def tolerated(work: Coroutine[Any, Any, None]) -> None:
    """What the gate or the store refuses on purpose is an answer."""
    try:
        await work
    except (GateFault, StoreFault):
        return


GUARD = Guard(slice="orders", metric="errors_share", bound=0.05, window_s=300)
