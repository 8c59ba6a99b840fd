"""Keys over the API: shown once, usable at once, ended at once, and found nowhere else."""

from __future__ import annotations

import pytest

from tests.unit.api_parts import api_on_hand
from tests.unit.gate_parts import plain

pytestmark = pytest.mark.anyio


async def test_a_new_key_opens_the_door_until_it_is_revoked() -> None:
    async with api_on_hand() as on:
        made = (await on.ask("cleo", "POST", "/v1/principals/anna/keys", json={"name": "laptop"})).json()
        key = made["key"]
        await on.seen()
        assert (await on.ask(key, "GET", "/v1/session")).json()["principal"] == "anna"
        listed = await on.ask("cleo", "GET", "/v1/keys")
        assert made["id"] in {row["id"] for row in listed.json()["items"]}
        assert key not in listed.text
        assert (await on.ask("cleo", "DELETE", f"/v1/keys/{made['id']}")).status_code == 200
        await on.seen()
        assert (await on.ask(key, "GET", "/v1/session")).status_code == 401


async def test_a_new_key_is_told_in_no_other_answer_and_kept_nowhere() -> None:
    """Whoever may read the audit or the events must not get in by it; a repeat of the request tells it no more."""
    async with api_on_hand() as on:
        headers = {"idempotency-key": "once"}
        wish = {"name": "laptop"}
        first = await on.ask("cleo", "POST", "/v1/principals/anna/keys", json=wish, headers=headers)
        again = await on.ask("cleo", "POST", "/v1/principals/anna/keys", json=wish, headers=headers)
        waits = await on.ask("cleo", "POST", "/v1/principals/ben/keys?propose=true", json=wish)
        keys = [first.json()["key"], waits.json()["result"]["key"]]
        assert (again.json()["repeated"], "key" in again.json()) == (True, False)
        await on.hand.chain_all()
        await on.seen()
        proposal = waits.json()["proposal"]
        told = [
            (await on.ask("cleo", "GET", path)).text
            for path in ("/v1/audit", "/v1/audit/export", "/v1/events", "/v1/keys", f"/v1/proposals/{proposal}")
        ]
        told += [plain(item) for item in on.hand.state.items("")]
        told.append(repr(vars(on.hand.log)))
        assert "key.create" in "".join(told)
        for key in keys:
            assert key not in "".join(told)


async def test_a_setting_of_one_node_is_set_and_unset() -> None:
    async with api_on_hand() as on:
        path = "/v1/config/log_level"
        assert (await on.ask("anna", "PUT", path, json={"value": "debug"})).status_code == 403
        assert (await on.ask("cleo", "PUT", path, json={"value": "debug", "node": "n2"})).status_code == 200
        await on.seen()
        shown = (await on.ask("vic", "GET", f"{path}?node=n2")).json()["setting"]
        assert (shown["value"], shown["source"]) == ("debug", "node")
        assert (await on.ask("cleo", "DELETE", path, json={"node": "n2"})).status_code == 200
        await on.seen()
        shown = (await on.ask("vic", "GET", f"{path}?node=n2")).json()["setting"]
        assert shown["value"] == "info"
        loud = await on.ask("cleo", "PUT", path, json={"value": "loud"})
        assert (loud.status_code, loud.json()["code"]) == (422, "setting_invalid")


async def test_a_setting_of_one_slice_is_shown_for_that_slice_alone() -> None:
    async with api_on_hand() as on:
        path = "/v1/config/slow_request_ms"
        assert (await on.ask("cleo", "PUT", path, json={"value": 40, "slice": "orders"})).status_code == 200
        await on.seen()
        for query, wanted in (("?slice=orders", (40, "slice")), ("", (500, "default"))):
            shown = (await on.ask("vic", "GET", path + query)).json()["setting"]
            assert (shown["value"], shown["source"], shown["scope"]) == (*wanted, "slice")
        unknown = await on.ask("vic", "GET", f"{path}?slice=order")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "slice_not_found")
