"""Principals and keys as changes: a key is told once and kept nowhere, and somebody can always still let people in."""

from __future__ import annotations

import msgspec
import pytest

from controllers.gate.making import MakingGate
from runtime.operations.actor import Actor, Role
from runtime.operations.dispatch import Applied, Outcome, Proposed, Refused, Submission
from runtime.security.keyring import Keyring
from runtime.security.principals import ADMIN, PrincipalRecord, decode_key, decode_principal, hash_of
from runtime.state import keys
from tests.unit.gate_parts import START_UNIX_MS, GateOnHand, person
from tests.unit.test_node_records import Interrupted

pytestmark = pytest.mark.anyio

CLEO = person("cleo", Role.ADMIN)
SECRET = "ae_a-secret-that-nobody-may-find"
DAY_MS = 24 * 60 * 60 * 1_000


class Here:
    """The gate with what makes keys before it."""

    def __init__(self) -> None:
        self.hand = GateOnHand()
        self.gate = MakingGate(self.hand.gate, self.hand.clock, new_key=lambda: SECRET)  # type: ignore[arg-type]

    async def ask(
        self, operation: str, actor: Actor = CLEO, /, *, idempotency_key: str = "", **members: object
    ) -> Outcome:
        return await self.gate.submit(
            Submission(operation=operation, request=members, actor=actor, idempotency_key=idempotency_key)
        )

    def everything_kept(self) -> bytes:
        return b"\n".join(item.key.encode() + item.value for item in self.hand.state.items(""))


async def here() -> Here:
    found = Here()
    await found.hand.populate()
    return found


async def test_a_new_key_is_in_its_answer_once_and_nowhere_else() -> None:
    """Whoever reads the store, the audit, an event or a kept answer must not get in with what stands there."""
    at = await here()
    first = await at.ask("key.create", principal="anna", name="laptop", idempotency_key="k1")
    again = await at.ask("key.create", principal="anna", name="laptop", idempotency_key="k1")
    assert isinstance(first, Applied)
    assert isinstance(again, Applied)
    assert first.result["key"] == SECRET
    assert again.repeated
    assert "key" not in again.result
    assert SECRET.encode() not in at.everything_kept()
    assert SECRET not in repr(at.hand.log)
    item = at.hand.state.get(keys.api_key(hash_of(SECRET)))
    assert item is not None
    record = decode_key(item.value)
    assert (record.principal, record.name, record.created_unix_ms) == ("anna", "laptop", START_UNIX_MS)
    assert record.expires_unix_ms == START_UNIX_MS + 90 * DAY_MS


async def test_a_key_that_waits_for_an_approval_is_told_with_the_proposal() -> None:
    at = await here()
    request = {"principal": "anna", "name": "ci"}
    proposed = await at.gate.submit(Submission(operation="key.create", request=request, actor=CLEO, propose=True))
    assert isinstance(proposed, Proposed)
    assert proposed.result == {"key": SECRET}
    assert SECRET.encode() not in at.everything_kept()
    await at.hand.principal(PrincipalRecord(id="dora", kind="person", role=Role.ADMIN))
    await at.hand.votes.cast(proposed.proposal, person("dora", Role.ADMIN), approve=True, reason="")
    await at.hand.settle(proposed.proposal)
    assert at.hand.state.get(keys.api_key(hash_of(SECRET))) is not None


async def test_who_made_their_key_themselves_gets_none_back() -> None:
    at = await here()
    applied = await at.ask("key.create", principal="anna", name="own", sha256=hash_of("mine"), lifetime_days=0)
    assert isinstance(applied, Applied)
    assert "key" not in applied.result
    item = at.hand.state.get(keys.api_key(hash_of("mine")))
    assert item is not None
    assert decode_key(item.value).expires_unix_ms == 0


async def test_a_key_is_rotated_by_another_and_revoked() -> None:
    at = await here()
    old = await at.ask("key.create", principal="anna", name="a", sha256=hash_of("old"))
    assert isinstance(old, Applied)
    same = await at.ask("key.create", principal="anna", name="a", sha256=hash_of("new"))
    assert isinstance(same, Refused)
    assert same.code == "key_exists"
    assert isinstance(await at.ask("key.create", principal="anna", name="b", sha256=hash_of("new")), Applied)
    assert isinstance(await at.ask("key.revoke", id=old.result["id"]), Applied)
    assert at.hand.state.get(keys.api_key(hash_of("old"))) is None
    gone = await at.ask("key.revoke", id=old.result["id"])
    assert isinstance(gone, Refused)
    assert gone.code == "key_not_found"


async def test_a_principal_has_so_many_keys_and_takes_them_all_with_it() -> None:
    at = await here()
    for number in range(20):
        assert isinstance(
            await at.ask("key.create", principal="anna", name=f"{number}", sha256=hash_of(f"{number}")), Applied
        )
    full = await at.ask("key.create", principal="anna", name="more", sha256=hash_of("more"))
    assert isinstance(full, Refused)
    assert full.code == "quota_exceeded"
    assert isinstance(await at.ask("principal.remove", id="anna"), Applied)
    assert not at.hand.state.items(keys.API_KEYS)
    nobody = await at.ask("key.create", principal="anna", name="x", sha256=hash_of("x"))
    assert isinstance(nobody, Refused)
    assert nobody.code == "principal_not_found"


async def test_a_new_key_makes_a_planned_removal_of_its_principal_plan_again() -> None:
    """Else the key would outlive its principal, and open the door to the next one of that name."""
    at = await here()
    before = at.hand.state.get(keys.principal("anna"))
    await at.ask("key.create", principal="anna", name="x", sha256=hash_of("x"))
    after = at.hand.state.get(keys.principal("anna"))
    assert before is not None
    assert after is not None
    assert after.mod_revision > before.mod_revision
    assert after.value == before.value


async def test_a_principal_is_replaced_and_keeps_since_when_it_is() -> None:
    at = await here()
    await at.ask("principal.set", id="dora", kind="person", role="viewer", owns=["slice:orders"])
    at.hand.clock.now_ms += 5_000
    changed = await at.ask("principal.set", id="dora", kind="person", role="operator")
    item = at.hand.state.get(keys.principal("dora"))
    assert item is not None
    record = decode_principal(item.value)
    assert (record.role, record.owns, record.created_unix_ms) == (Role.OPERATOR, (), START_UNIX_MS)
    assert isinstance(changed, Applied)
    assert changed.inverse is not None
    assert isinstance(await at.ask("principal.set", **changed.inverse.request), Applied)
    item = at.hand.state.get(keys.principal("dora"))
    assert item is not None
    assert decode_principal(item.value).owns == ("slice:orders",)


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("principal.remove", {"id": "cleo"}),
        ("principal.set", {"id": "cleo", "kind": "person", "role": "operator"}),
        ("principal.set", {"id": "cleo", "kind": "person", "role": "admin", "disabled": True}),
        ("principal.set", {"id": "cleo", "kind": "automation", "role": "admin"}),
    ],
)
async def test_the_last_admin_stays(operation: str, members: dict[str, object]) -> None:
    """A cluster without an admin lets nobody in any more, and nothing could mend it."""
    at = await here()
    ended = await at.ask("principal.set", id=ADMIN, kind="person", role="admin", disabled=True)
    assert isinstance(ended, Applied)
    refused = await at.ask(operation, **members)
    assert isinstance(refused, Refused)
    assert refused.code == "last_admin"


async def test_the_first_nodes_admin_stays_while_nobody_else_is_one() -> None:
    at = await here()
    await at.ask("principal.remove", id="cleo")
    refused = await at.ask("principal.set", person(ADMIN, Role.ADMIN), id=ADMIN, kind="person", role="viewer")
    assert isinstance(refused, Refused)
    assert refused.code == "last_admin"


async def test_a_subject_of_the_identity_provider_is_one_principals() -> None:
    at = await here()
    assert isinstance(
        await at.ask("principal.set", id="dora", kind="person", role="viewer", oidc_subject="u1"), Applied
    )
    refused = await at.ask("principal.set", id="eve", kind="person", role="viewer", oidc_subject="u1")
    assert isinstance(refused, Refused)
    assert (refused.code, "dora" in refused.detail) == ("oidc_subject_taken", True)


async def test_what_is_made_is_not_what_the_request_says() -> None:
    """A date that can be given can be forged."""
    at = await here()
    await at.ask("principal.set", id="dora", kind="person", role="viewer", created_unix_ms=1)
    item = at.hand.state.get(keys.principal("dora"))
    assert item is not None
    assert decode_principal(item.value).created_unix_ms == START_UNIX_MS
    assert msgspec.json.decode(item.value)["id"] == "dora"


@pytest.mark.parametrize(
    ("principal", "key", "role", "only"),
    [
        ({"role": "admin"}, {}, Role.ADMIN, ()),
        ({"role": "admin"}, {"role": "viewer"}, Role.VIEWER, ()),
        ({"role": "viewer"}, {"role": "admin"}, Role.VIEWER, ()),
        ({"role": "operator"}, {"only": ["slice:a"]}, Role.OPERATOR, ("slice:a",)),
        ({"role": "operator", "only": ["slice:a", "slice:b"]}, {}, Role.OPERATOR, ("slice:a", "slice:b")),
        ({"role": "operator", "only": ["slice:a"]}, {"only": ["slice:a", "slice:c"]}, Role.OPERATOR, ("slice:a",)),
    ],
)
async def test_a_key_may_do_what_both_it_and_its_principal_may(
    principal: dict[str, object], key: dict[str, object], role: Role, only: tuple[str, ...]
) -> None:
    """A key that is lost must not open more than it was made for."""
    at = await here()
    await at.ask("principal.set", id="dora", kind="person", **principal)
    assert isinstance(await at.ask("key.create", principal="dora", name="k", sha256=hash_of("k"), **key), Applied)
    actor = Keyring(at.hand.state).by_key_hash(hash_of("k"), START_UNIX_MS)
    assert actor is not None
    assert (actor.role, actor.reads_only) == (role, only)


async def test_a_key_for_what_its_principal_may_not_touch_opens_nothing() -> None:
    """No subject at all must never read as every subject."""
    at = await here()
    await at.ask("principal.set", id="dora", kind="person", role="operator", only=["slice:a"])
    await at.ask("key.create", principal="dora", name="k", sha256=hash_of("k"), only=["slice:b"])
    assert Keyring(at.hand.state).by_key_hash(hash_of("k"), START_UNIX_MS) is None


async def test_of_two_principals_that_want_one_subject_at_once_one_is_refused() -> None:
    """Both would be locked out: a token must be one's alone."""
    at = await here()
    members = {"kind": "person", "role": "viewer", "oidc_subject": "sub-1"}

    async def meanwhile() -> None:
        assert isinstance(await at.ask("principal.set", CLEO, id="dora", **members), Applied)

    at.hand.desk.store = Interrupted(at.hand.store, meanwhile)  # type: ignore[assignment]  # what the gate uses of one
    refused = await at.ask("principal.set", CLEO, id="emil", **members)
    assert isinstance(refused, Refused)
    assert refused.code == "oidc_subject_taken"
