"""Uploads over the API: the bytes come as a stream, and what becomes of them passes the gate."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from runtime.state import keys
from tests.unit.api_parts import api_on_hand

pytestmark = pytest.mark.anyio

BYTES = [("content-type", "application/octet-stream")]


async def test_an_upload_is_kept_by_a_change_and_deleted_by_another() -> None:
    async with api_on_hand() as on:
        kept = await on.ask("anna", "POST", "/v1/artifacts?reason=new", content=b"wheel", headers=BYTES)
        assert kept.status_code == 201
        body = kept.json()
        assert (body["name"], body["version"], body["outcome"]) == ("hello", "1", "applied")
        assert body["audit"]
        listed = (await on.ask("vic", "GET", "/v1/artifacts")).json()
        assert [row["sha256"] for row in listed["artifacts"]] == [body["sha256"]]
        gone = await on.ask("anna", "DELETE", "/v1/artifacts/hello/1")
        assert (gone.status_code, gone.json()["deleted"]) == (200, True)
        again = await on.ask("anna", "DELETE", "/v1/artifacts/hello/1")
        assert (again.status_code, again.json()["code"]) == (404, "artifact_not_found")


async def test_a_dry_run_keeps_no_record_and_an_agent_s_upload_waits() -> None:
    async with api_on_hand() as on:
        dry = await on.ask("anna", "POST", "/v1/artifacts?dry_run=true", content=b"wheel", headers=BYTES)
        assert (dry.status_code, dry.json()["outcome"]) == (200, "planned")
        waits = await on.ask("bot", "POST", "/v1/artifacts", content=b"wheel", headers=BYTES)
        assert waits.status_code == 202
        assert waits.headers["location"].startswith("/v1/proposals/")
        assert not on.hand.state.items(keys.ARTIFACTS)


async def test_a_model_is_kept_under_its_number_and_one_that_is_none_is_a_problem() -> None:
    async with api_on_hand() as on:
        kept = await on.ask("anna", "POST", "/v1/ttm/models?reason=ours", content=b"model", headers=BYTES)
        assert (kept.status_code, kept.json()["number"], kept.json()["outcome"]) == (201, 1, "applied")
        listed = (await on.ask("vic", "GET", "/v1/ttm/models")).json()["items"]
        assert [(row["number"], row["ruling"], row["in_force"]) for row in listed] == [(1, "uploaded", False)]
        chosen = await on.ask("anna", "PUT", "/v1/ttm/active", json={"number": 1})
        assert (chosen.status_code, chosen.json()["probation"]) == (200, True)
        refused = await on.ask("anna", "POST", "/v1/ttm/models", content=b"no model", headers=BYTES)
        assert refused.json()["code"] == "ttm_model_unreadable"
        assert 400 <= refused.status_code < 500
        assert (await on.ask("vic", "POST", "/v1/ttm/models", content=b"model", headers=BYTES)).status_code == 403


async def test_who_may_not_upload_is_sent_away_and_nothing_is_kept() -> None:
    async with api_on_hand() as on:
        refused = await on.ask("vic", "POST", "/v1/artifacts", content=b"wheel", headers=BYTES)
        assert refused.status_code == 403
        assert not on.hand.state.items(keys.ARTIFACTS)


@pytest.mark.parametrize("header", [{"if-match": "yesterday"}, {"idempotency-key": "k" * 201}])
async def test_a_malformed_condition_is_refused_before_any_bytes_are_taken(header: dict[str, str]) -> None:
    async with api_on_hand() as on:
        async with on.client("anna") as client:
            refused = await client.post("/v1/artifacts", content=unread(), headers=[*BYTES, *header.items()])
        assert (refused.status_code, refused.json()["code"]) == (422, "request_invalid")


async def unread() -> AsyncIterator[bytes]:
    raise AssertionError("the bytes were asked for")
    yield b""


@pytest.mark.parametrize("end", ["applied", "withdrawn", "expired"])
async def test_bytes_that_wait_for_an_approval_are_pinned_for_as_long_as_it_may_come(end: str) -> None:
    """Else they are collected after an hour, and what is approved then has no bytes."""
    async with api_on_hand() as on:
        waits = (await on.ask("bot", "POST", "/v1/artifacts", content=b"wheel", headers=BYTES)).json()["proposal"]
        (pin,) = on.hand.state.items(keys.CONTENT_PINS)
        assert (pin.key.split("/")[1], waits in pin.key) == (hashlib.sha256(b"wheel").hexdigest(), True)
        if end == "applied":
            for who in ("anna", "ben"):
                await on.ask(who, "POST", f"/v1/proposals/{waits}/approve")
        elif end == "withdrawn":
            await on.ask("bot", "POST", f"/v1/proposals/{waits}/withdraw")
        else:
            on.hand.pass_time(3_600_000)
        assert (await on.hand.settle(waits)).state == end
        left = [item.key for item in on.hand.state.items(keys.CONTENT_PINS)]
        assert len(left) == (1 if end == "applied" else 0)
        assert not any(waits in key for key in left), "the artifact's own pin alone"
