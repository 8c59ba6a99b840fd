"""A gate on a store in memory: what is asked of it, on a clock moved by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import msgspec
import zstandard

from agent_api.catalogue import make_catalogue
from controllers.gate.answers import AnswerBook
from controllers.gate.applying import Applier
from controllers.gate.audit import AuditRecord, read_chained
from controllers.gate.chaining import AuditChain
from controllers.gate.desk import GateDesk
from controllers.gate.gate import Gate
from controllers.gate.guarding import Guards
from controllers.gate.proposals import Proposal
from controllers.gate.remote import GateLink
from controllers.gate.reviews import Reviews
from controllers.gate.verifying import AuditReader
from controllers.gate.voting import Votes
from runtime.consensus.memory import MemoryStore
from runtime.consensus.store import LEADER_KEY, KeyValue, Put, Revision
from runtime.content.errors import ContentNotFound
from runtime.names import BlueprintId, NodeId, Sha256, SliceName, Version
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.operations.dispatch import Outcome, Proposed, Submission
from runtime.sdk.testing import CollectedLog
from runtime.security.principals import PrincipalRecord
from runtime.state import keys
from runtime.state.values import Addresses, BlueprintSlice, NodeLive, NodeRecord, SliceTarget, Value, encode

START_UNIX_MS = 1_700_000_000_000
NOWHERE = Addresses(http="", api="", peer="", control="")


@dataclass
class HandClock:
    now_ms: int = 0

    def monotonic_s(self) -> float:
        return self.now_ms / 1_000

    def unix_ms(self) -> int:
        return START_UNIX_MS + self.now_ms


class MemoryState:
    """Reads the store's own state: as current as can be."""

    stale = False

    def __init__(self, store: MemoryStore) -> None:
        self._machine = store.engine.machine

    @property
    def revision(self) -> Revision:
        return self._machine.revision

    @property
    def changed_at(self) -> Revision:
        return self._machine.revision

    def get(self, key: str) -> KeyValue | None:
        return self._machine.keys.get(key)

    def items(self, prefix: str) -> list[KeyValue]:
        return [item for item in self._machine.keys.below(prefix) if item.key != LEADER_KEY]

    def changed_among(self, _prefixes: Sequence[str]) -> Revision:
        return self.revision

    async def confirmed(self) -> Revision:
        return self.revision

    async def wait_for(self, revision: Revision) -> None:
        assert self.revision >= revision


@dataclass
class HandFigures:
    known: dict[tuple[str, str], float] = field(default_factory=dict)

    def figure(self, subject: str, metric: str) -> float | None:
        """Of a slice by its name alone, as most tests are about slices."""
        return self.known.get((subject.removeprefix("slice:"), metric))


def person(name: str, role: Role = Role.OPERATOR, *, owns: tuple[str, ...] = ()) -> Actor:
    return Actor(kind=ActorKind.PERSON, id=name, role=role, owns=owns)


def model(behind: Actor) -> Actor:
    return Actor(kind=ActorKind.MODEL, id="model:assistant", role=Role.ADMIN, behind=behind)


class GateOnHand:
    """Three people (anna and ben operate, cleo is admin), a key marked as an agent's, three nodes, one slice."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = HandClock()
        self.state = MemoryState(self.store)
        self.figures = HandFigures()
        self.kept: dict[str, bytes] = {}
        self.log = CollectedLog()
        numbers = count(1)
        self.desk = GateDesk(
            store=self.store,
            state=self.state,
            catalogue=make_catalogue(),
            clock=self.clock,
            new_id=lambda: f"id{next(numbers):04}",
            fence=self.fence,
            log=self.log,
        )
        self.gate = Gate(self.desk, AnswerBook(self.store, self.clock))
        self.votes = Votes(self.desk)
        self.reviews = Reviews(self.desk)
        self.link = GateLink(
            node=NodeId("n1"),
            leader=lambda: "n1",
            gate=self.gate,
            votes=self.votes,
            reviews=self.reviews,
            now=lambda: self.state.revision,
            connect=None,  # type: ignore[arg-type]  # it leads
            arrived=self.state.wait_for,
        )
        self.applier = Applier(self.desk)
        self.guards = Guards(self.desk, self.figures)
        self.chain = AuditChain(self.store, self.keep, self.log)
        self.audit = AuditReader(self.store, self.load)

    async def keep(self, raw: bytes) -> str:
        name = hashlib.sha256(raw).hexdigest()
        self.kept[name] = raw
        return name

    async def load(self, sha256: str) -> bytes:
        if sha256 not in self.kept:
            raise ContentNotFound(Sha256(sha256), "nowhere")
        return self.kept[sha256]

    async def chain_all(self) -> None:
        """Gives every record its place."""
        fence = self.fence()
        assert fence is not None
        await self.chain.append(fence)

    def fence(self) -> Revision | None:
        item = self.store.engine.machine.keys.get(LEADER_KEY)
        return Revision(item.mod_revision) if item is not None else None

    async def populate(self, *, wanted: int = 4, least: int = 0, most: int = 20) -> None:
        for name in ("n1", "n2", "n3"):
            await self.put(keys.node(NodeId(name)), NodeRecord(node=NodeId(name), role="core", addresses=NOWHERE))
            await self.put(keys.node_live(NodeId(name)), NodeLive(boot="b", started_unix_ms=0))
        await self.put(keys.target(SliceName("orders"), Version("1")), target("orders", wanted, least, most))
        await self.people()

    async def people(self) -> None:
        for identity, role in (("anna", Role.OPERATOR), ("ben", Role.OPERATOR), ("cleo", Role.ADMIN)):
            await self.principal(PrincipalRecord(id=identity, kind="person", role=role))
        await self.principal(PrincipalRecord(id="bot", kind="automation", role=Role.OPERATOR, is_agent=True))

    async def principal(self, record: PrincipalRecord) -> None:
        await self.put(keys.principal(record.id), record)

    async def put(self, key: str, value: Value) -> None:
        await self.store.txn((), [Put(key=key, value=encode(value))])

    def wanted(self, name: str = "orders") -> int:
        item = self.state.get(keys.target(SliceName(name), Version("1")))
        assert item is not None
        return msgspec.json.decode(item.value, type=SliceTarget).wanted

    async def scale(self, instances: int, actor: Actor, **members: object) -> Outcome:
        submission = Submission(
            operation="slice.scale", request={"slice": "orders", "instances": instances}, actor=actor
        )
        return await self.gate.submit(msgspec.structs.replace(submission, **members))

    def proposal(self, identity: str) -> Proposal:
        item = self.state.get(keys.proposal(identity))
        assert item is not None
        return msgspec.json.decode(item.value, type=Proposal)

    async def settle(self, identity: str) -> Proposal:
        fence = self.fence()
        assert fence is not None
        found = await self.applier.settle(identity, fence)
        assert found is not None
        return found

    def pass_time(self, elapsed_ms: int) -> None:
        self.clock.now_ms += elapsed_ms
        self.store.engine.advance(1)  # what began before a lease does not count for it
        self.store.engine.advance(elapsed_ms)


def plain(item: KeyValue) -> str:
    """A key and its value as text, also of what is packed."""
    is_packed = item.key.startswith((keys.PROPOSALS_WHOLE, keys.UNDO))
    raw = zstandard.decompress(item.value) if is_packed else item.value
    return f"{item.key} {raw.decode(errors='replace')}"


def target(name: str, wanted: int, least: int = 0, most: int = 20) -> SliceTarget:
    settings = BlueprintSlice(
        slice=SliceName(name), version=Version("1"), artifact=f"{name}==1", instances=wanted, min=least, max=most
    )
    return SliceTarget(blueprint=BlueprintId("shop"), settings=settings, artifact_sha256=Sha256("s"), wanted=wanted)


def fence(gate: GateOnHand) -> Revision:
    found = gate.fence()
    assert found is not None
    return found


def proposal_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Proposed), outcome
    return outcome.proposal


async def records(gate: GateOnHand) -> list[AuditRecord]:
    await gate.chain_all()
    return [read_chained(item.value).record for item in gate.state.items(keys.AUDIT)]


def scale_of(slice_name: str, instances: int, actor: Actor, **members: object) -> Submission:
    found = Submission(operation="slice.scale", request={"slice": slice_name, "instances": instances}, actor=actor)
    return msgspec.structs.replace(found, **members)
