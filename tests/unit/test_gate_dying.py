"""The leader dies at every single write, before or after it took effect, and another one goes on.

A scenario takes proposals through everything; a store that fails at the k-th write stands for the leader's death there.
Then another leader, with nothing but the store, finishes: nothing is lost, nothing happens twice.
"""

from __future__ import annotations

from typing import Any, Literal

import pytest

from runtime.consensus.errors import StoreUnavailable
from runtime.operations.dispatch import Applied, Proposed, Submission
from runtime.state import keys
from tests.unit.gate_world import GUARD, WHO, Asked, Node, World, interleave, tolerated

WRITES = 40  # more than the scenario makes: the last ones die nowhere
When = Literal["before", "after"]


class Died(BaseException):
    """The process is gone: nobody catches this."""


class DyingStore:
    """Dies at the `at`-th write: `before` it reaches the store, or `after` it took effect and nobody was told."""

    def __init__(self, inner: Any, at: int, when: When) -> None:
        self._inner, self._at, self._when = inner, at, when
        self.writes = 0

    def __getattr__(self, name: str) -> Any:
        if name not in ("txn", "grant", "revoke"):
            return getattr(self._inner, name)

        async def call(*args: Any, **how: Any) -> Any:
            self.writes += 1
            if self.writes >= self._at and self._when == "before":
                raise Died(name)
            answer = await getattr(self._inner, name)(*args, **how)
            if self.writes >= self._at:
                raise Died(name)
            return answer

        return call


class Client:
    """What people and agents do: they repeat what was not answered, with the same idempotency key."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.proposals: dict[str, str] = {}

    async def ask(self, node: Node, name: str, who: str, instances: int, **members: Any) -> None:
        submission = Submission(
            operation="slice.scale",
            request={"slice": "orders", "instances": instances},
            actor=WHO[who],
            reason=name,
            idempotency_key=name,
            **members,
        )
        self.world.asked.setdefault(name, Asked(submission))
        outcome = await node.gate.submit(submission)
        assert isinstance(outcome, Applied | Proposed), outcome
        if isinstance(outcome, Proposed):
            self.proposals[name] = outcome.proposal

    async def vote(self, node: Node, name: str, voter: str) -> None:
        """Once it is decided, there is nothing left to vote on."""
        await tolerated(self.world.cast_by(node, self.proposals[name], voter, approve=True))


def steps(client: Client, world: World) -> list[Any]:
    """The whole life of a gate, step by step; each may be repeated."""

    async def settle(node: Node) -> None:
        await node.applier.look(world.fence())

    async def errors(node: Node) -> None:
        world.figures.known["orders", "errors_share"] = 0.5
        await node.guards.look_at_all(world.fence())
        world.figures.known.clear()

    async def chain(node: Node) -> None:
        await node.chain.append(world.fence())

    return [
        lambda node: client.ask(node, "direct", "anna", 5),
        lambda node: client.ask(node, "first", "model", 6, guard=GUARD),
        lambda node: client.vote(node, "first", "ben"),
        settle,
        errors,
        lambda node: client.ask(node, "second", "cleo", 7, propose=True),
        lambda node: client.vote(node, "second", "ben"),
        settle,
        lambda node: client.ask(node, "glass", "cleo", 1, tainted=True, break_glass=True),
        chain,
    ]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(1, WRITES))
def test_a_leader_that_dies_at_any_write_loses_nothing_and_another_does_nothing_twice(at: int, when: When) -> None:
    world = World()
    client = Client(world)
    node = world.nodes["n1"]
    dying = DyingStore(node.store, at, when)
    replace_store(node, dying)
    for step in steps(client, world):
        try:
            interleave([step(node)], [])
        except Died:
            world.lead("n2" if world.leader() == "n1" else "n1")
            world.hear()
            node = world.nodes[world.leader()]
            interleave([step(node)], [])
    assert not world.broken, world.broken
    check(world, client, dying)


def check(world: World, client: Client, dying: DyingStore) -> None:
    """Each change stands once, with one record, and nothing is left open."""
    node = world.nodes[world.leader()]
    for _ in range(3):  # what died after its last step is picked up by the services of the next leader
        interleave([node.applier.look(world.fence())], [])
    interleave([node.chain.append(world.fence())], [])
    world.finished()
    assert not world.broken, world.broken
    assert world.applications == {client.proposals["first"]: 1, client.proposals["second"]: 1}
    assert sum(world.undone.values()) == 1
    assert len(world.changes) == 5, "direct, first, its rollback, second, broken glass"
    assert not [key for key in world.memory.items if key.startswith((keys.PROPOSALS_OPEN, keys.GUARDS))]
    assert len([key for key in world.memory.items if key.startswith(keys.REVIEWS)]) == 1
    assert [asked.made for asked in world.asked.values()] == [1, 1, 1, 1]
    assert dying.writes < WRITES, "the scenario makes more writes than are tried"


def replace_store(node: Node, store: Any) -> None:
    node.store = store
    node.desk.store = store
    node.gate._answers._store = store
    node.chain._store = store


def test_an_answer_that_was_lost_is_told_again_by_the_next_leader() -> None:
    world = World()
    client = Client(world)
    node = world.nodes["n1"]
    replace_store(node, DyingStore(node.store, 2, "after"))  # the lease of answers, then the change itself
    with pytest.raises(Died):
        interleave([client.ask(node, "direct", "anna", 5)], [])
    world.lead("n2")
    world.hear()
    interleave([client.ask(world.nodes["n2"], "direct", "anna", 5)], [])
    assert len(world.changes) == 1


def test_a_store_that_is_away_for_a_moment_costs_nothing() -> None:
    """Retryable faults end the service's round, not a proposal."""

    class Away(DyingStore):
        def __getattr__(self, name: str) -> Any:
            if name != "txn":
                return getattr(self._inner, name)

            async def call(*_args: Any, **_how: Any) -> Any:
                raise StoreUnavailable("away")

            return call

    world = World()
    client = Client(world)
    node = world.nodes["n1"]
    for step in steps(client, world)[1:3]:
        interleave([step(node)], [])
    store = node.store
    replace_store(node, Away(store, 0, "before"))
    with pytest.raises(StoreUnavailable):
        interleave([node.applier.look(world.fence())], [])
    replace_store(node, store)
    interleave([node.applier.look(world.fence())], [])
    assert world.applications == {client.proposals["first"]: 1}
