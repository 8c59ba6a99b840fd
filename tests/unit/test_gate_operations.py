"""The gate's own operations: its policy is checked before it holds, and a freeze does not hold back its own end."""

from __future__ import annotations

import pytest

from controllers.gate.policy import default_text
from runtime.operations.actor import Actor, Role
from runtime.operations.dispatch import Applied, Outcome, Proposed, Refused, Submission
from runtime.state import keys
from tests.unit.gate_parts import GateOnHand, model, person

pytestmark = pytest.mark.anyio

ADMIN = person("cleo", Role.ADMIN)
ANNA = person("anna")


async def on_hand() -> GateOnHand:
    hand = GateOnHand()
    await hand.populate()
    return hand


async def ask(hand: GateOnHand, operation: str, actor: Actor = ADMIN, /, **members: object) -> Outcome:
    return await hand.gate.submit(Submission(operation=operation, request=members, actor=actor))


async def test_a_policy_holds_from_the_next_decision_on_and_can_be_taken_back() -> None:
    hand = await on_hand()
    strict = default_text().replace("acts_up_to = 1", "acts_up_to = 0").replace("low = 0", "low = 1", 1)
    applied = await ask(hand, "policy.set", source=strict)
    assert isinstance(applied, Applied)
    assert isinstance(await hand.scale(5, ANNA), Proposed)
    assert applied.inverse is not None
    assert applied.inverse.operation == "policy.reset"
    back = await ask(hand, "policy.reset", ADMIN)
    assert isinstance(back, Proposed)  # by the policy that holds, an admin does not act alone either
    glass = Submission(operation="policy.reset", request={}, actor=ADMIN, break_glass=True, reason="too strict")
    assert isinstance(await hand.gate.submit(glass), Applied)
    assert isinstance(await hand.scale(5, ANNA), Applied)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (("version = 1", "version = 0"), "version"),
        (("approvers = 2", "approvers = 1"), "g2.approvers"),
        (("version = 1", "version = "), "TOML"),
        (("[agents]", "[agent]"), "did you mean agents"),
        (("approvers = 1", "aprovers = 1"), "did you mean approvers"),
        (("[limits]", '[operations]\n"slice.scal" = 2\n[limits]'), "did you mean slice.scale"),
        (("[limits]", '[operations]\n"slice.list" = 2\n[limits]'), "no change is called 'slice.list'"),
        (("version = 1", "version = " + "1" * 5_000), "too long"),
        (("version = 1", "version = " + "[" * 5_000), "too deeply"),
    ],
)
async def test_a_policy_that_says_nonsense_never_holds(change: tuple[str, str], hint: str) -> None:
    """A policy that cannot be read would leave the gate without one."""
    hand = await on_hand()
    refused = await ask(hand, "policy.set", source=default_text().replace(*change, 1))
    assert isinstance(refused, Refused)
    assert refused.code == "policy_invalid"
    assert hint in refused.detail
    assert hand.state.get(keys.POLICY) is None


@pytest.mark.parametrize("operation", ["policy.set", "policy.reset", "principal.set", "key.create"])
async def test_no_agent_says_who_may_do_what(operation: str) -> None:
    hand = await on_hand()
    request = {
        "policy.set": {"source": default_text()},
        "policy.reset": {},
        "principal.set": {"id": "eve", "kind": "person", "role": "admin"},
        "key.create": {"principal": "anna", "name": "x", "sha256": "0" * 64},
    }[operation]
    refused = await ask(hand, operation, model(ADMIN), **request)
    assert isinstance(refused, Refused)
    assert refused.code == "refused_by_policy"


@pytest.mark.parametrize("subject", ["cluster", "slice:orders"])
async def test_a_freeze_holds_changes_back_but_not_its_own_end(subject: str) -> None:
    hand = await on_hand()
    assert isinstance(await ask(hand, "freeze.set", ANNA, subject=subject, why="sale"), Applied)
    assert isinstance(await hand.scale(5, ANNA), Proposed)
    assert isinstance(await ask(hand, "incident.open", ANNA, subject="slice:orders", why="slow"), Applied)
    lifted = await ask(hand, "freeze.lift", ANNA, subject=subject)
    assert isinstance(lifted, Applied)
    assert lifted.inverse is not None
    assert lifted.inverse.request == {"subject": subject, "why": "sale"}
    assert isinstance(await ask(hand, "incident.close", ANNA, subject="slice:orders"), Applied)
    assert isinstance(await hand.scale(5, ANNA), Applied)


async def test_an_agent_lifts_no_freeze_by_itself() -> None:
    hand = await on_hand()
    await ask(hand, "freeze.set", subject="cluster", why="sale")
    proposed = await ask(hand, "freeze.lift", model(ADMIN), subject="cluster")
    assert isinstance(proposed, Proposed)
    assert proposed.gate_class == "G2"


@pytest.mark.parametrize(
    ("operation", "code"), [("freeze.lift", "freeze_not_found"), ("incident.close", "incident_not_found")]
)
async def test_what_is_not_there_does_not_end(operation: str, code: str) -> None:
    hand = await on_hand()
    await ask(hand, operation.replace("lift", "set").replace("close", "open"), subject="node:n1", why="because")
    refused = await ask(hand, operation, subject="node:n2")
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert "node:n1" in refused.detail


@pytest.mark.parametrize("operation", ["freeze.set", "incident.open"])
@pytest.mark.parametrize(
    ("subject", "code", "hint"),
    [
        ("slice:order", "slice_not_found", "orders"),
        ("node:n9", "node_not_found", "n9"),
        ("blueprint:shp", "blueprint_not_found", "shp"),
        ("artifact:x", "artifact_not_found", "x"),
        ("thing:x", "request_invalid", "subject"),
    ],
)
async def test_what_is_not_there_is_not_frozen(operation: str, subject: str, code: str, hint: str) -> None:
    """Whoever mistypes a name believes that it is held back."""
    hand = await on_hand()
    refused = await ask(hand, operation, subject=subject, why="because")
    assert isinstance(refused, Refused)
    assert (refused.code, hint in refused.detail) == (code, True)
