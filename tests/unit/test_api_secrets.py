"""Canaries: secrets that went through the API are found again nowhere but in the answer that made them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial

import anyio
import pytest

from tests.unit.api_parts import ADMIN_KEY, ApiOnHand, FactTelemetry, Followed, api_on_hand

pytestmark = pytest.mark.anyio
CANARY = "ae_canary-that-must-not-sing"


@pytest.fixture
async def api() -> AsyncIterator[ApiOnHand]:
    async with api_on_hand() as found:
        yield found


def logged(api: ApiOnHand) -> str:
    return json.dumps([[line.event, line.fields] for line in api.hand.log.lines], default=repr)


def stored(api: ApiOnHand) -> str:
    items = api.hand.store.engine.machine.keys.below("")
    return "\n".join(f"{item.key} {item.value!r}" for item in items)


async def test_a_key_is_in_one_answer_alone(api: ApiOnHand) -> None:
    """Not in the store, the audit, the log, an event, a list, or the same answer told again."""
    streams = [Followed(), Followed()]
    async with anyio.create_task_group() as tasks:
        for stream, path in zip(streams, ("/v1/events", "/v1/watch/principal/"), strict=True):
            tasks.start_soon(partial(stream.run, api.api, path, api.secrets["cleo"]))
        path, body = "/v1/principals/anna/keys?break_glass=true&reason=needed", {"name": "laptop"}
        headers = {"idempotency-key": "once"}
        made = await api.ask("cleo", "POST", path, json=body, headers=headers)
        secret = made.json()["key"]
        assert made.status_code == 200, made.text
        assert secret.startswith("ae_")
        again = await api.ask("cleo", "POST", path, json=body, headers=headers)
        assert (again.json()["repeated"], secret in again.text) == (True, False)
        await api.seen()
        assert (await api.ask(secret, "GET", "/v1/session")).json()["principal"] == "anna", "it works"
        await api.hand.chain_all()
        reads = ("/v1/keys", "/v1/audit", "/v1/audit/export", "/v1/principals", "/v1/proposals", "/v1/openapi.json")
        for where in reads:
            answer = await api.ask("cleo", "GET", where)
            assert (answer.status_code, secret in answer.text) == (200, False), where
        tasks.cancel_scope.cancel()
    assert secret not in logged(api)
    assert secret not in stored(api)
    assert not [stream for stream in streams if secret.encode() in stream.raw]


@pytest.mark.parametrize(
    ("method", "path", "given"),
    [
        ("GET", "/v1/slices", {"headers": {"authorization": f"Bearer {CANARY}"}}),
        ("GET", "/v1/slices", {"headers": {"authorization": f"Basic {CANARY}"}}),
        ("GET", "/v1/slices", {"headers": {"cookie": f"aether_session={CANARY}.{CANARY}"}}),
        ("PUT", f"/v1/slices/orders/scale?token={CANARY}", {"headers": {"authorization": f"Bearer {ADMIN_KEY}"}}),
    ],
)
async def test_what_was_sent_as_a_secret_is_never_said_back_or_logged(
    api: ApiOnHand, method: str, path: str, given: dict[str, dict[str, str]]
) -> None:
    answer = await api.ask("", method, path, **given)
    assert answer.status_code in (401, 422)
    assert CANARY not in answer.text
    assert CANARY not in logged(api)
    assert CANARY not in stored(api)
    assert ADMIN_KEY not in logged(api) + stored(api)


async def test_an_unforeseen_error_tells_nothing_of_itself(api: ApiOnHand, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_telemetry: object) -> bytes:
        raise ValueError(f"password={CANARY} at /somewhere/inside.py")

    monkeypatch.setattr(FactTelemetry, "exposition", fails)
    answer = await api.ask("anna", "GET", "/metrics")
    told = answer.json()
    assert (answer.status_code, told["code"]) == (500, "internal")
    assert CANARY not in answer.text
    assert "inside.py" not in answer.text
    assert told["instance"].endswith(answer.headers["x-request-id"])
    (line,) = [line for line in api.hand.log.lines if line.event == "api_request_failed"]
    assert (line.fields["error"], "fails" in line.fields["where"][-1]) == ("ValueError", True)
    assert CANARY not in logged(api)
