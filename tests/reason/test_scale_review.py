"""The third scaling layer in a real cluster: the leader asks the reasoner, that a model, and the answer is a decision;
without an answer the safer of the layers below decides."""

from __future__ import annotations

import json
from typing import Any, Final, cast

import pytest

from evals.fake_provider import reading
from evals.fake_provider.careful import said
from evals.fake_provider.script import Line, Seen
from evals.forge.cluster_api import OVERRIDE
from evals.scenarios.stage import Stage, loaded
from evals.scenarios.voices import Voice, speaking
from tests.reason.cluster import TURN_S, Cluster

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ANSWERED: Final = "mailer"
FAILED: Final = "ledger"
PLENTY: Final = 1_000.0  # calls a second that one instance carries: the layers below want no more than the fewest
LITTLE: Final = 4.0  # of some 15: they want more
WHY: Final = "the burst is not over"
Rows = list[dict[str, Any]]


def asked_about(seen: Seen) -> str:
    """The slice whose scaling is in question; empty for any other question."""
    if "choice" not in seen.wanted:
        return ""
    question = cast(dict[str, object], reading.plain(reading.facts(seen).get("question", {})))
    return str(question.get("slice", ""))


def opining(seen: Seen) -> Line:
    """Has a number of its own for one slice; about the other it fails."""
    if asked_about(seen) == ANSWERED:
        return said(choice="custom", reason=WHY, instances=3)
    return Line(fault="status", status=403)


async def burn(stage: Stage, status: str) -> None:
    """As a monitoring of one's own tells it, of what no playbook is there for."""
    ends = {"endsAt": "2026-01-02T00:00:00Z"} if status == "resolved" else {}
    alerts = [
        {
            "status": status,
            "labels": {"alertname": "ErrorBudgetBurns", "severity": "warning", "slice": name},
            "annotations": {"summary": "told from outside"},
            "startsAt": "2026-01-01T00:00:00Z",
            **ends,
        }
        for name in (ANSWERED, FAILED)
    ]
    body = {"version": "4", "groupKey": "burns", "status": status, "receiver": "aether", "alerts": alerts}
    await stage.forge.api.change("POST", f"/v1/alerts/alertmanager?{OVERRIDE}", json.dumps(body).encode())


async def carries(stage: Stage, name: str, **members: object) -> None:
    body = json.dumps({"slice": name, **members}).encode()
    await stage.forge.api.change("PUT", f"/v1/controller/config?{OVERRIDE}", body)


async def decisions(stage: Stage, name: str) -> Rows:
    """Newest first."""
    found: Any = await stage.forge.api.read(f"/v1/controller/decisions?slice={name}")
    return cast(Rows, found["items"])


async def decided(stage: Stage, name: str) -> dict[str, Any]:
    found: Rows = []

    async def there() -> bool:
        found[:] = [each for each in await decisions(stage, name) if each["kind"] == "change"]
        return bool(found)

    await stage.forge.until(f"something is decided about {name}", there, timeout_s=TURN_S)
    return found[0]


async def judged(stage: Stage) -> bool:
    """Whether both are scaled by figures, and stay as they are."""
    shown: Any = await stage.forge.api.read("/v1/controller")
    rows = {each["slice"]: each for each in shown["items"]}
    return all(
        rows[name]["rate"] and not rows[name]["trouble"] and rows[name]["rate_per_instance"] == PLENTY
        for name in (ANSWERED, FAILED)
    )


async def test_a_model_s_number_is_the_decision_and_without_an_answer_the_safer_layer_decides(
    cluster: Cluster,
) -> None:
    """Its own number waits for people; nobody waits for an answer that does not come."""
    voice = Voice(name="opining", api="compatible", model="ours", script=opining, usd=100.0)
    async with loaded(cluster.forge, cluster.shop, hurried=True) as stage, speaking(cluster.forge, voice) as provider:
        assert provider is not None
        for name in (ANSWERED, FAILED):
            await carries(stage, name, set={"rate_per_instance": PLENTY})
        await stage.forge.until("both are scaled by figures", lambda: judged(stage), timeout_s=TURN_S)
        before = len(await decisions(stage, ANSWERED))
        await burn(stage, "firing")

        record = await decided(stage, ANSWERED)
        assert len(await decisions(stage, ANSWERED)) == before + 1
        assert (record["decision"]["layer"], record["decision"]["wanted"]) == ("reasoning", 3)
        assert record["opinion"] == {"choice": "custom", "reason": WHY, "instances": 3}
        assert (record["decision"]["path"], record["gate"]["outcome"]) == ([WHY], "proposed")
        assert await stage.sights.wanted(ANSWERED) == 2
        assert await stage.sights.state_of(record["gate"]["proposal"]) == "pending"

        async def asked_in_vain() -> bool:
            return FAILED in {asked_about(each) for each in provider.seen}

        await stage.forge.until("the other one is asked about too", asked_in_vain, timeout_s=TURN_S)
        await carries(stage, FAILED, set={"rate_per_instance": LITTLE})
        record = await decided(stage, FAILED)
        layers = {each["layer"]: each["wanted"] for each in record["decision"]["layers"]}
        assert record["opinion"] is None
        assert record["decision"]["layer"] in layers
        assert layers[record["decision"]["layer"]] == max(layers.values())
        assert record["gate"]["outcome"] == "applied"

        await burn(stage, "resolved")
        await cluster.aether("n1", "config", "set", "model_providers", "[]")
        for name in (ANSWERED, FAILED):
            await carries(stage, name, unset=["rate_per_instance"])
        await stage.set_back()
