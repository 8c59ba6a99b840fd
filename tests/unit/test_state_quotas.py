"""Every kind of key has a quota and a retention that are written down, and one source that is full is refused alone."""

from __future__ import annotations

import pytest

from controllers.gate.idempotency import answer_key
from controllers.gate.trimming import ENDED_MAX, KEY_MS, RECENT_MS, Trimmer
from runtime.consensus.errors import QuotaExceeded
from runtime.consensus.store import LEADER_KEY, Put, Revision
from runtime.operations.dispatch import Applied, Proposed, Submission
from runtime.security.principals import KeyRecord
from runtime.state import keys, quotas
from runtime.state.quotas import KINDS, quota_of
from tests.unit.gate_parts import START_UNIX_MS, GateOnHand, person

pytestmark = pytest.mark.anyio

DECLARED = {value.split("/")[0] for name, value in vars(keys).items() if name.isupper() and isinstance(value, str)}


def test_every_kind_of_key_that_there_is_stands_in_the_table() -> None:
    """A kind without a retention grows until it is full."""
    assert set(KINDS) == DECLARED
    assert LEADER_KEY not in KINDS


def test_the_answers_of_one_requester_fill_nobody_elses_quota() -> None:
    def part(who: str, key: str) -> tuple[str, int]:
        return quota_of(answer_key(Submission(operation="x", request={}, actor=person(who), idempotency_key=key)))

    assert part("anna", "1") == part("anna", "2")
    assert part("anna", "1") != part("ben", "1")


async def on_hand() -> tuple[GateOnHand, Trimmer, Revision]:
    hand = GateOnHand()
    await hand.populate()
    fence = hand.fence()
    assert fence is not None
    return hand, Trimmer(hand.desk), fence


async def test_a_full_quota_of_answers_refuses_that_requester_and_no_approval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fills their own room must not keep others from deciding."""
    hand, _, _ = await on_hand()
    monkeypatch.setattr(quotas, "_BY_KIND", {**quotas._BY_KIND, "idempotency": (1_500, 2)})
    waiting = await hand.scale(9, person("anna"), propose=True)
    assert isinstance(waiting, Proposed)
    with pytest.raises(QuotaExceeded, match="idempotency/"):
        for number in range(5):
            await hand.scale(5 + number, person("anna"), idempotency_key=f"{number}")
    assert isinstance(await hand.scale(3, person("ben"), idempotency_key="mine"), Applied)
    await hand.votes.cast(waiting.proposal, person("ben"), approve=True, reason="")
    assert (await hand.settle(waiting.proposal)).state in ("applied", "stale")


async def test_the_newest_proposals_that_ended_stay_and_all_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controllers.gate.trimming.ENDED_MAX", 3)
    hand, trimmer, fence = await on_hand()
    made = [await hand.scale(5 + number, person("anna"), propose=True) for number in range(6)]
    identities = [each.proposal for each in made if isinstance(each, Proposed)]
    for identity in identities[1:]:
        await hand.votes.withdraw(identity, person("anna"), reason="")
    assert await trimmer.trim(fence) == 4, "two proposals, each with what it keeps whole"
    for kind in (keys.PROPOSALS, keys.PROPOSALS_WHOLE):
        left = [keys.parts(item.key)[0] for item in hand.state.items(kind)]
        assert left == [identities[0], *identities[3:]]
    assert ENDED_MAX == 500


async def test_traces_of_changes_go_when_no_limit_looks_back_so_far() -> None:
    hand, trimmer, fence = await on_hand()
    await hand.scale(5, person("anna"))
    hand.clock.now_ms += RECENT_MS
    assert await trimmer.trim(fence) == 0
    hand.clock.now_ms += 1
    assert await trimmer.trim(fence) == 1
    assert not hand.state.items(keys.RECENT)


async def test_a_key_that_ended_is_kept_for_a_while_and_one_that_does_not_end_for_good() -> None:
    hand, trimmer, fence = await on_hand()
    for number, ends in enumerate((0, START_UNIX_MS, START_UNIX_MS + 1)):
        record = KeyRecord(
            principal="anna", name=f"{number}", sha256=f"{number:064}", created_unix_ms=0, expires_unix_ms=ends
        )
        await hand.put(keys.api_key(record.sha256), record)
    hand.clock.now_ms += KEY_MS + 1
    assert await trimmer.trim(fence) == 1
    assert [item.key[-1] for item in hand.state.items(keys.API_KEYS)] == ["0", "2"]


async def test_who_does_not_lead_any_more_trims_nothing_and_what_cannot_be_read_stays() -> None:
    hand, trimmer, fence = await on_hand()
    for key in (keys.recent("slice:x"), keys.api_key("f" * 64), keys.proposal("x")):
        await hand.store.txn((), [Put(key=key, value=b'{"of": "the future"}')])
    await hand.scale(5, person("anna"))
    hand.clock.now_ms += RECENT_MS + 1
    before = hand.state.revision
    await trimmer.trim(Revision(fence + 1))
    assert hand.state.revision == before
