"""Canaries: secrets that went through the API are found again nowhere but in the answer that made them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial

import anyio
import pytest

from runtime.names import Sha256
from runtime.sdk.contract import SliceContract
from runtime.state import keys
from runtime.state.values import ArtifactRecord
from tests.unit.api_parts import ADMIN_KEY, ApiOnHand, FactTelemetry, Followed, api_on_hand
from tests.unit.gate_parts import plain

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
    return "\n".join(plain(item) for item in items)


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


CONTRACT = SliceContract(name="shop", version="1.0.0", entry="m:C", methods=(), dependencies=())
MAY_HOLD_IT = (keys.BLUEPRINTS, keys.TARGETS, keys.PROPOSALS_WHOLE, keys.UNDO, keys.ANSWERS)
"""Desired state, what makes it so or brings it back, and answers to who sent it: nobody watches or lists these but as
state that they may read."""


def blueprint(config: str, *, instances: int = 1, artifact: str = "shop") -> dict[str, str]:
    rows = f'slice = "shop"\nversion = "1.0.0"\nartifact = "{artifact}==1.0.0"\nmin = 0\nmax = 5'
    rows = f'{rows}\ninstances = {instances}\n[slices.config]\npassword = "{config}"'
    return {"source": f'id = "s"\n[[slices]]\n{rows}\n'}


async def test_a_secret_of_a_blueprint_is_told_by_nothing_that_writes_about_its_changes(api: ApiOnHand) -> None:
    """Not in the audit, a proposal, its diff, an event, a watched key, the log, or a dry run; the blueprint has it."""
    record = ArtifactRecord(
        name="shop", version="1.0.0", sha256=Sha256("0" * 64), size_bytes=1, slices=(CONTRACT,), uploaded_unix_ms=0
    )
    await api.hand.put(keys.artifact("shop", "1.0.0"), record)
    await api.seen()
    watched = ("/v1/events", *(f"/v1/watch/{kind}" for kind in ("blueprint/", "slice-target/", "proposal/", "guard/")))
    streams = [Followed() for _ in watched]
    told = []
    async with anyio.create_task_group() as tasks:
        for stream, path in zip(streams, watched, strict=True):
            tasks.start_soon(partial(stream.run, api.api, path, api.secrets["cleo"]))
        path = "/v1/blueprints/s"
        made = await api.ask("cleo", "PUT", path, json=blueprint(CANARY))
        assert made.status_code == 200, made.text
        scaled = await api.ask("cleo", "PUT", f"{path}?propose=true", json=blueprint(f"{CANARY}-2", instances=2))
        identity = scaled.json()["proposal"]
        told += [await api.ask("cleo", "PUT", f"{path}?dry_run=true", json=blueprint(f"{CANARY}-3"))]
        refused = await api.ask("cleo", "PUT", path, json=blueprint(CANARY, artifact="shelf"))
        assert refused.status_code == 422
        told += [refused, await api.ask("ben", "POST", f"/v1/proposals/{identity}/approve", json={})]
        assert (await api.hand.settle(identity)).state == "applied", "the true request is carried out"
        await api.seen()
        await api.hand.chain_all()
        reads = ("/v1/audit", "/v1/audit/export", "/v1/proposals", f"/v1/proposals/{identity}")
        told += [await api.ask("cleo", "GET", where) for where in reads]
        for stream, kind in zip(streams[1:], ("blueprint/", "slice-target/", "proposal/"), strict=False):
            await stream.until(lambda events, kind=kind: any(kind in each["data"] for each in events))  # type: ignore[misc]
        tasks.cancel_scope.cancel()
    shown = (await api.ask("cleo", "GET", path)).json()
    assert (f"{CANARY}-2" in shown["source"], shown["wanted"]) == (True, {"shop 1.0.0": 2})
    assert not [answer.request.url.path for answer in told if CANARY in answer.text]
    assert not [path for stream, path in zip(streams, watched, strict=True) if CANARY.encode() in stream.raw]
    items = api.hand.store.engine.machine.keys.below("")
    assert not [item.key for item in items if not item.key.startswith(MAY_HOLD_IT) and CANARY in plain(item)]
    assert CANARY not in logged(api)


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
