"""Chaos as operations: only a Forge has them, people alone may use them, and they do what typed commands do."""

from __future__ import annotations

import pytest

from agent_api.catalogue import make_catalogue
from evals.forge.errors import ChaosRefused
from evals.forge.operations import NAMES, ForgeDispatcher
from runtime.operations.actor import Actor, Role
from runtime.operations.dispatch import Applied, Outcome, Planned, Refused, Submission
from tests.unit.gate_parts import model, person

pytestmark = pytest.mark.anyio

ADMIN = person("cleo", Role.ADMIN)


class Breaker:
    def __init__(self) -> None:
        self.done: list[str] = []

    async def do(self, command: str) -> str:
        if command.endswith("n9"):
            raise ChaosRefused("no node is called 'n9'")
        self.done.append(command)
        return f"did {command}"


async def ask(
    breaker: Breaker, operation: str, actor: Actor = ADMIN, /, *, dry_run: bool = False, **members: object
) -> Outcome:
    submission = Submission(operation=operation, request=members, actor=actor, dry_run=dry_run)
    return await ForgeDispatcher(breaker).submit(submission)


def test_no_cluster_offers_chaos() -> None:
    assert not {each.name for each in make_catalogue()} & set(NAMES)


@pytest.mark.parametrize(
    ("operation", "members", "command"),
    [
        ("chaos.kill", {"node": "n2"}, "kill node n2"),
        ("chaos.kill", {"node": "n2", "kind": "gateway"}, "kill gateway n2"),
        ("chaos.pause", {"node": "n1"}, "pause n1"),
        ("chaos.resume", {"node": "n1"}, "resume n1"),
        ("chaos.start", {"node": "n1"}, "start n1"),
        ("chaos.stop", {"node": "n1"}, "stop n1"),
        ("chaos.partition", {"nodes": ["n1", "n2"]}, "partition n1,n2"),
        ("chaos.heal", {}, "heal"),
    ],
)
async def test_an_operation_does_what_the_command_does(
    operation: str, members: dict[str, object], command: str
) -> None:
    breaker = Breaker()
    dry = await ask(breaker, operation, dry_run=True, **members)
    assert isinstance(dry, Planned)
    assert (dry.plan.summary, breaker.done) == (command, [])
    applied = await ask(breaker, operation, **members)
    assert isinstance(applied, Applied)
    assert (applied.result, breaker.done) == ({"said": f"did {command}"}, [command])


@pytest.mark.parametrize(
    ("operation", "actor", "members", "code"),
    [
        ("chaos.kil", ADMIN, {"node": "n1"}, "operation_unknown"),
        ("slice.scale", ADMIN, {"slice": "orders", "instances": 1}, "operation_unknown"),
        ("chaos.kill", ADMIN, {"node": "n1; rm"}, "request_invalid"),
        ("chaos.kill", ADMIN, {"node": "n1", "kind": "machine"}, "request_invalid"),
        ("chaos.kill", ADMIN, {"node": "n9"}, "chaos_refused"),
        ("chaos.kill", model(ADMIN), {"node": "n1"}, "refused_by_policy"),
    ],
)
async def test_what_makes_no_sense_or_is_not_for_agents_is_refused(
    operation: str, actor: Actor, members: dict[str, object], code: str
) -> None:
    breaker = Breaker()
    refused = await ask(breaker, operation, actor, **members)
    assert isinstance(refused, Refused)
    assert (refused.code, breaker.done) == (code, [])
