"""Settings and thresholds as changes: checked against their declarations before anything is written."""

from __future__ import annotations

import msgspec
import pytest

from runtime.config.settings import declared
from runtime.operations.actor import Role
from runtime.operations.dispatch import Applied, Outcome, Refused, Submission
from runtime.state import keys
from tests.unit.gate_parts import GateOnHand, person, plain

pytestmark = pytest.mark.anyio

ADMIN = person("cleo", Role.ADMIN)


async def on_hand() -> GateOnHand:
    hand = GateOnHand()
    await hand.populate()
    return hand


async def ask(hand: GateOnHand, operation: str, **members: object) -> Outcome:
    return await hand.gate.submit(Submission(operation=operation, request=members, actor=ADMIN))


def stored(hand: GateOnHand, key: str) -> object:
    item = hand.state.get(key)
    return msgspec.json.decode(item.value) if item is not None else None


async def test_a_setting_that_is_declared_secret_is_told_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as it is nor as it was: not in the answer, a dry run, the audit or a proposal; it is set all the same."""
    hidden = [setting._replace(secret=setting.name == "oidc_issuer") for setting in declared()]
    monkeypatch.setattr("runtime.config.settings.declared", lambda: tuple(hidden))
    hand = await on_hand()
    change = Submission(operation="config.set", request={"name": "oidc_issuer", "value": "old-canary"}, actor=ADMIN)
    told: list[object] = [await hand.gate.submit(change)]
    change = msgspec.structs.replace(change, request={"name": "oidc_issuer", "value": "new-canary"})
    told.append(await hand.gate.submit(msgspec.structs.replace(change, dry_run=True)))
    told.append(await hand.gate.submit(msgspec.structs.replace(change, propose=True)))
    told += [
        plain(item) for item in hand.state.items("") if not item.key.startswith((keys.CONFIG, keys.PROPOSALS_WHOLE))
    ]
    assert "oidc_issuer" in repr(told)
    assert "canary" not in repr(told)
    assert stored(hand, keys.config("cluster", "oidc_issuer")) == "old-canary"


@pytest.mark.parametrize("node", ["", "n1"])
async def test_a_setting_is_set_undone_and_unset(node: str) -> None:
    hand = await on_hand()
    where = {"node": node} if node else {}
    key = keys.config(f"node:{node}" if node else "cluster", "log_level")
    first = await ask(hand, "config.set", name="log_level", value="debug", **where)
    second = await ask(hand, "log-level.set", level="error", **where)
    assert isinstance(first, Applied)
    assert isinstance(second, Applied)
    assert (stored(hand, key), first.result["applies"]) == ("error", "live")
    assert second.inverse is not None
    assert first.inverse is not None
    assert isinstance(await ask(hand, second.inverse.operation, **second.inverse.request), Applied)
    assert stored(hand, key) == "debug"
    assert isinstance(await ask(hand, first.inverse.operation, **first.inverse.request), Applied)
    assert stored(hand, key) is None


async def test_the_same_value_again_changes_nothing() -> None:
    hand = await on_hand()
    await ask(hand, "config.set", name="drain_s", value=5)
    item = hand.state.get(keys.config("cluster", "drain_s"))
    await ask(hand, "config.set", name="drain_s", value=5.0)
    assert hand.state.get(keys.config("cluster", "drain_s")) == item


@pytest.mark.parametrize(
    ("members", "code", "hint"),
    [
        ({"name": "log_levle", "value": "info"}, "setting_unknown", "log_level"),
        ({"name": "log_level", "value": "loud"}, "setting_invalid", "log_level"),
        ({"name": "drain_s", "value": 301}, "setting_invalid", "300"),
        ({"name": "drain_s", "value": [1]}, "setting_invalid", "drain_s"),
        ({"name": "store_engine", "value": "etcd"}, "setting_invalid", "config.toml"),
        ({"name": "artifact_find_links", "value": ["there"]}, "setting_invalid", "config.toml"),
        ({"name": "log_level", "value": "info", "node": "n9"}, "node_not_found", "n1"),
    ],
)
async def test_what_no_node_could_take_is_refused(members: dict[str, object], code: str, hint: str) -> None:
    """A value that reached the store would be left out by every node, and nobody would know why."""
    hand = await on_hand()
    refused = await ask(hand, "config.set", **members)
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert hint in refused.detail
    assert not hand.state.items(keys.CONFIG)


async def test_a_threshold_is_set_changed_and_cleared() -> None:
    hand = await on_hand()
    first = await ask(hand, "alert.set-threshold", slice="orders", metric="p99_ms", bound=50, for_s=5)
    second = await ask(hand, "alert.set-threshold", slice="orders", metric="p99_ms", bound=80)
    assert isinstance(first, Applied)
    assert isinstance(second, Applied)
    assert stored(hand, keys.alert_threshold("orders", "p99_ms")) == {"bound": 80.0, "for_s": 10}
    assert second.inverse is not None
    assert second.inverse.request == {"slice": "orders", "metric": "p99_ms", "bound": 50.0, "for_s": 5}
    assert isinstance(await ask(hand, "alert.clear-threshold", slice="orders", metric="p99_ms"), Applied)
    again = await ask(hand, "alert.clear-threshold", slice="orders", metric="p99_ms")
    assert isinstance(again, Refused)
    assert again.code == "threshold_not_found"
    unknown = await ask(hand, "alert.set-threshold", slice="oders", metric="p99_ms", bound=1)
    assert isinstance(unknown, Refused)
    assert "orders" in unknown.detail


@pytest.mark.parametrize(
    ("metric", "hint"), [("p99", "; did you mean p99_ms"), ("slo_burn", "slo_burn_5m"), ("queue", "; it takes errors_")]
)
async def test_a_threshold_of_an_unknown_metric_is_refused_with_the_nearest(metric: str, hint: str) -> None:
    """Else an alert that can never begin would look like a quiet slice."""
    hand = await on_hand()
    refused = await ask(hand, "alert.set-threshold", slice="orders", metric=metric, bound=1)
    assert isinstance(refused, Refused)
    assert (refused.code, hint in refused.detail) == ("request_invalid", True)


async def test_a_setting_of_one_slice_is_set_undone_and_unset() -> None:
    hand = await on_hand()
    key = keys.config("slice:orders", "slow_request_ms")
    first = await ask(hand, "config.set", name="slow_request_ms", value=40, slice="orders")
    second = await ask(hand, "config.set", name="slow_request_ms", value=90, slice="orders")
    assert isinstance(first, Applied)
    assert isinstance(second, Applied)
    assert (first.subject, first.result["applies"], stored(hand, key)) == ("slice:orders", "live", 90)
    for applied, left in ((second, 40), (first, None)):
        assert applied.inverse is not None
        assert isinstance(await ask(hand, applied.inverse.operation, **applied.inverse.request), Applied)
        assert stored(hand, key) == left


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"name": "drain_s", "value": 5, "slice": "orders"}, "setting_invalid"),
        ({"name": "slow_request_ms", "value": 5, "slice": "orders", "node": "n1"}, "setting_invalid"),
        ({"name": "slow_request_ms", "value": 5, "slice": "order"}, "slice_not_found"),
        ({"name": "slow_request_ms", "value": 0, "slice": "orders"}, "setting_invalid"),
    ],
)
async def test_a_setting_that_no_slice_can_have_is_refused(members: dict[str, object], code: str) -> None:
    hand = await on_hand()
    refused = await ask(hand, "config.set", **members)
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert not hand.state.items(keys.CONFIG)
