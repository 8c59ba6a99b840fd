"""Changes over HTTP: words and headers, repeated keys, waiting, votes, roll-back, and the audit of it all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import msgspec
import pytest

from agent_api.control_api.answers.rows import slice_rows
from controllers.gate.audit import Link, verify
from runtime.consensus.store import Delete, Put
from runtime.names import NodeId, SliceName, Version
from runtime.operations.actor import Role
from runtime.security.principals import PrincipalRecord
from runtime.state import keys
from runtime.state.values import Endpoint, encode
from tests.unit.api_parts import ApiOnHand, api_on_hand
from tests.unit.gate_parts import person

pytestmark = pytest.mark.anyio

SCALE = "/v1/slices/orders/scale"


@pytest.fixture
async def api() -> AsyncIterator[ApiOnHand]:
    async with api_on_hand() as found:
        yield found


async def test_a_change_is_applied_and_says_how_and_by_which_rule(api: ApiOnHand) -> None:
    answer = await api.ask("anna", "PUT", SCALE + "?reason=more+guests", json={"instances": 6})
    told = answer.json()
    assert (answer.status_code, told["outcome"], told["wanted"]) == (200, "applied", 6)
    assert {"revision", "subject", "summary", "gate_class", "rule", "audit", "inverse", "repeated"} <= told.keys()
    assert told["inverse"]["request"]["instances"] == 4
    assert api.hand.wanted() == 6


async def test_a_dry_run_plans_and_changes_nothing(api: ApiOnHand) -> None:
    before = api.hand.state.revision
    told = (await api.ask("anna", "PUT", SCALE + "?dry_run=true", json={"instances": 6})).json()
    assert (told["outcome"], told["decision"]) == ("planned", "act")
    assert [(row["before"], row["after"]) for row in told["diff"]] == [(4, 6)]
    assert api.hand.state.revision == before


@pytest.mark.parametrize(
    ("path", "given", "says"),
    [
        (SCALE + "?dryrun=true", {"json": {"instances": 6}}, "did you mean dry_run"),
        (SCALE + "?dry_run=maybe", {"json": {"instances": 6}}, "dry_run"),
        (SCALE + "?dry_run=true&dry_run=false", {"json": {"instances": 6}}, "given twice"),
        (SCALE, {"json": {"instanzes": 6}}, "did you mean instances"),
        (SCALE, {"json": {"instances": 1e40}}, "int"),
        (SCALE, {"json": {"instances": 6, "slice": "tea"}}, "one thing in the path"),
        (SCALE, {"content": b"["}, "no JSON object"),
        (SCALE, {"content": b"[" * 5_000}, "no JSON object"),
        (SCALE, {"content": b'{"instances": ' + b'{"a":' * 40 + b"1" + b"}" * 41}, "nests deeper"),
        (SCALE, {"json": {"instances": 6}, "headers": {"if-match": "yesterday"}}, "If-Match"),
        (SCALE + "?guard=errors", {"json": {"instances": 6}}, "METRIC>BOUND@SECONDS"),
        ("/v1/nodes/n1/cordon?guard=errors_share>0.1@60", {}, "one slice"),
        ("/v1/slices/%00/scale", {"json": {"instances": 6}}, "slice"),
        ("/v1/slices/orders%0A/scale", {"json": {"instances": 6}}, "slice"),
        (SCALE, {"content": b'{"instances": 6, "version": "\xff"}'}, "no JSON object"),
        (SCALE, {"json": {"instances": 6}, "headers": {"if-match": '"0"'}}, "If-Match"),
        ("/v1/alerts/orders/p99_ms", {"json": {"bound": "inf"}}, "bound"),
        ("/v1/alerts/orders/p99", {"json": {"bound": 1}}, "did you mean p99_ms"),
    ],
)
async def test_what_is_malformed_is_refused_by_name_and_changes_nothing(
    api: ApiOnHand, path: str, given: dict[str, object], says: str
) -> None:
    before = api.hand.state.revision
    method = "POST" if path.startswith("/v1/nodes") else "PUT"
    answer = await api.ask("anna", method, path, **given)
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid"), answer.text
    assert says in answer.json()["detail"]
    assert api.hand.state.revision == before


@pytest.mark.parametrize(("media", "status"), [("text/xml", 415), ("application/toml", 415), ("Application/JSON", 200)])
async def test_a_body_of_another_kind_is_refused_and_told_which_is_taken(
    api: ApiOnHand, media: str, status: int
) -> None:
    """TOML taken for a member of a JSON request would be refused for a member that nobody sent."""
    given = {"content": b'{"instances": 6}', "headers": {"content-type": media}}
    answer = await api.ask("anna", "PUT", SCALE, **given)
    assert answer.status_code == status
    if status == 415:
        assert answer.json()["code"] == "media_type_unsupported"
        assert "application/json" in answer.json()["detail"]
        assert api.hand.wanted() == 4


async def test_nothing_that_does_not_exist_is_unchanged(api: ApiOnHand) -> None:
    """Every answer's ETag is the revision: 304 of a name that is gone would keep it alive in who asks."""
    known = {"headers": {"if-none-match": (await api.ask("vic", "GET", "/v1/slices")).headers["etag"]}}
    assert (await api.ask("vic", "GET", "/v1/slices/orders", **known)).status_code == 304
    assert (await api.ask("vic", "GET", "/v1/slices/odrers", **known)).status_code == 404
    assert (await api.ask("vic", "GET", "/v1/slices/odrers", headers={"if-none-match": "*"})).status_code == 404


async def test_a_body_that_is_too_large_is_refused_unread(api: ApiOnHand) -> None:
    answer = await api.ask("anna", "PUT", SCALE, content=b" " * 300_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_a_question_with_a_body_names_that_it_may_be_too_large(api: ApiOnHand) -> None:
    answer = await api.ask("vic", "POST", "/v1/blueprints/validate", content=b" " * 300_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    described = (await api.ask("vic", "GET", "/v1/openapi.json")).json()["paths"]["/v1/blueprints/validate"]["post"]
    assert "413" in described["responses"]


async def test_unknown_paths_and_names_answer_with_the_nearest(api: ApiOnHand) -> None:
    assert "GET /v1/slices" in (await api.ask("anna", "GET", "/v1/slises")).json()["detail"]
    assert "orders" in (await api.ask("anna", "GET", "/v1/slices/order")).json()["detail"]
    unknown = await api.ask("anna", "PUT", "/v1/slices/ordrs/scale", json={"instances": 1})
    assert (unknown.status_code, "orders" in unknown.json()["detail"]) == (404, True)
    wrong = await api.ask("anna", "POST", "/v1/slices")
    assert (wrong.status_code, wrong.headers["allow"], wrong.json()["code"]) == (405, "GET, HEAD", "method_not_allowed")


async def test_what_can_be_read_can_be_asked_for_its_head(api: ApiOnHand) -> None:
    """As monitors and caches do. A stream begins no stream, and takes no client's place."""
    whole = await api.ask("vic", "GET", "/v1/slices")
    head = await api.ask("vic", "HEAD", "/v1/slices")
    assert (head.status_code, head.headers["etag"]) == (200, whole.headers["etag"])
    stream = await api.ask("vic", "HEAD", "/v1/watch/slice-target/")
    assert (stream.status_code, stream.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    assert (await api.ask("", "HEAD", "/v1/slices")).status_code == 401
    assert (await api.ask("anna", "HEAD", SCALE)).status_code == 405


async def test_if_match_refuses_a_change_on_what_has_changed_since(api: ApiOnHand) -> None:
    read = await api.ask("anna", "GET", "/v1/slices")
    etag = read.headers["etag"]
    again = await api.ask("anna", "GET", "/v1/slices", headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert (await api.ask("ben", "PUT", SCALE, json={"instances": 5})).status_code == 200
    refused = await api.ask("anna", "PUT", SCALE, json={"instances": 6}, headers={"if-match": etag})
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    fresh = await api.ask("anna", "GET", "/v1/slices", headers={"if-none-match": etag})
    assert fresh.status_code == 200
    headers = {"if-match": fresh.headers["etag"]}
    assert (await api.ask("anna", "PUT", SCALE, json={"instances": 6}, headers=headers)).status_code == 200


async def test_an_answer_is_made_once_for_each_state(api: ApiOnHand, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(*given: Any, **named: Any) -> Any:
        made.append(1)
        return slice_rows(*given, **named)

    monkeypatch.setattr("agent_api.control_api.answers.slices.slice_rows", counted)
    for wanted, times in ((4, 1), (5, 2), (6, 3)):
        if wanted != 4:
            await api.ask("anna", "PUT", SCALE, json={"instances": wanted})
        for who in ("anna", "vic"):
            (row,) = (await api.ask(who, "GET", "/v1/slices")).json()["slices"]
            assert (row["wanted"], len(made)) == (wanted, times)


@pytest.mark.parametrize("header", ["idempotency-key", "if-match"])
async def test_an_empty_condition_is_refused_and_nothing_is_changed(api: ApiOnHand, header: str) -> None:
    """Who sends it believes that it protects."""
    refused = await api.ask("anna", "PUT", SCALE, json={"instances": 6}, headers={header: ""})
    assert (refused.status_code, refused.json()["code"]) == (422, "request_invalid")
    assert (await api.ask("anna", "PUT", f"{SCALE}?dry_run=true", json={"instances": 6})).json()["diff"]


async def test_the_same_idempotency_key_gets_the_first_answer_at_another_node(api: ApiOnHand) -> None:
    headers = {"idempotency-key": "k1"}
    first = (await api.ask("anna", "PUT", SCALE, json={"instances": 6}, headers=headers)).json()
    other, cache = api.another("n2")
    await cache.ready()
    async with api.client("anna", api=other) as client:
        again = (await client.put(SCALE, json={"instances": 6}, headers=headers)).json()
        reused = await client.put(SCALE, json={"instances": 7}, headers=headers)
    assert (again["revision"], again["audit"], again["repeated"]) == (first["revision"], first["audit"], True)
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    someone_else = (await api.ask("ben", "PUT", SCALE, json={"instances": 7}, headers=headers)).json()
    assert (someone_else["outcome"], someone_else["repeated"]) == ("applied", False)


def endpoint(number: int) -> tuple[str, bytes]:
    found = Endpoint(node=NodeId("n1"), slice=SliceName("orders"), number=number, version=Version("1"))
    return keys.endpoint(SliceName("orders"), NodeId("n1"), number), encode(found)


async def test_prefer_wait_answers_once_the_change_has_taken_hold(api: ApiOnHand) -> None:
    answers = []

    async def scale() -> None:
        answers.append(await api.ask("anna", "PUT", SCALE, json={"instances": 2}, headers={"prefer": "wait=30"}))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scale)
        await api.cache.changed(api.cache.revision)
        for number in (1, 2):
            assert not answers, "not before both serve"
            key, value = endpoint(number)
            await api.hand.store.txn((), [Put(key=key, value=value)])
    told = answers[0].json()
    assert (told["converged"], told["waits_for"]) == (True, "2 of 2 instances of orders serve")
    assert answers[0].headers["preference-applied"] == "wait=30"


async def test_prefer_wait_says_what_is_missing_when_its_time_is_over(api: ApiOnHand) -> None:
    told = (await api.ask("anna", "PUT", SCALE, json={"instances": 2}, headers={"prefer": "wait=0"})).json()
    assert (told["outcome"], told["converged"], told["waits_for"]) == (
        "applied",
        False,
        "0 of 2 instances of orders serve",
    )


async def test_a_proposal_is_waited_for_until_what_it_changed_has_taken_hold(api: ApiOnHand) -> None:
    proposed = await api.ask("anna", "PUT", SCALE + "?propose=true", json={"instances": 1})
    location, answers = proposed.headers["location"], []

    async def look() -> None:
        answers.append((await api.ask("anna", "GET", location, headers={"prefer": "wait=30"})).json())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        assert (await api.ask("anna", "GET", location)).json()["converged"] is None
        await api.ask("ben", "POST", location + "/approve")
        await api.hand.settle(proposed.json()["proposal"])
        await api.seen()
        applied = (await api.ask("anna", "GET", location, headers={"prefer": "wait=0"})).json()
        assert (applied["proposal"]["state"], applied["converged"]) == ("applied", False)
        assert (applied["waits_for"], answers) == ("0 of 1 instances of orders serve", [])
        key, value = endpoint(1)
        await api.hand.store.txn((), [Put(key=key, value=value)])
    assert (answers[0]["converged"], answers[0]["proposal"]["state"]) == (True, "applied")


async def test_a_proposal_is_voted_on_applied_and_rolled_back_over_http(api: ApiOnHand) -> None:
    await api.hand.store.txn((), [Put(key="freeze/cluster", value=b"the big sale")])
    proposed = await api.ask("anna", "PUT", SCALE + "?evidence=a&evidence=b", json={"instances": 6})
    assert (proposed.status_code, proposed.json()["outcome"]) == (202, "proposed")
    location = proposed.headers["location"]
    shown = (await api.ask("vic", "GET", location)).json()
    assert (shown["proposal"]["state"], shown["proposal"]["evidence"]) == ("pending", ["a", "b"])
    own = await api.ask("anna", "POST", location + "/approve")
    assert (own.status_code, own.json()["code"]) == (403, "vote_refused"), "four eyes"
    viewer = await api.ask("vic", "POST", location + "/approve")
    assert (viewer.status_code, viewer.json()["code"]) == (403, "vote_refused")
    assert (await api.ask("ben", "POST", location + "/approve", json={"reason": "fine"})).status_code == 200
    decided = await api.ask("cleo", "POST", location + "/approve")
    assert decided.json()["proposal"]["state"] == "approved"
    await api.hand.settle(proposed.json()["proposal"])
    assert api.hand.wanted() == 6
    await api.hand.store.txn((), [Delete(key="freeze/cluster")])
    await api.seen()
    undone = await api.ask("cleo", "POST", location + "/rollback?break_glass=true", json={"reason": "guests left"})
    assert undone.status_code == 200, undone.text
    assert (undone.json()["outcome"], api.hand.wanted()) == ("applied", 4)
    await api.seen()
    after = (await api.ask("vic", "GET", location)).json()["proposal"]
    assert (after["state"], after["ended"]) == ("rolled_back", "undone by cleo: guests left")


async def test_only_an_applied_proposal_is_rolled_back_and_only_ones_own_withdrawn(api: ApiOnHand) -> None:
    proposed = await api.ask("anna", "PUT", SCALE + "?propose=true", json={"instances": 6})
    location = proposed.headers["location"]
    early = await api.ask("anna", "POST", location + "/rollback")
    assert (early.status_code, early.json()["code"]) == (409, "proposal_ended")
    assert (await api.ask("ben", "POST", location + "/withdraw")).json()["code"] == "vote_refused"
    withdrawn = await api.ask("anna", "POST", location + "/withdraw", json={"reason": "never mind"})
    assert withdrawn.json()["proposal"]["state"] == "withdrawn"
    assert (await api.ask("ben", "POST", location + "/approve")).status_code == 409
    unknown = await api.ask("anna", "POST", "/v1/proposals/id00/approve")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "proposal_not_found")


async def test_the_audit_tells_who_asked_under_which_request(api: ApiOnHand) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"x-request-id": "my-own-id", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    answer = await api.ask("anna", "PUT", SCALE, json={"instances": 6}, headers=headers)
    assert answer.headers["x-request-id"] == "my-own-id"
    assert trace in answer.headers["traceparent"]
    await api.hand.chain_all()
    exported = await api.ask("vic", "GET", "/v1/audit/export")
    links = [msgspec.json.decode(line, type=Link) for line in exported.content.splitlines()]
    assert verify(links).number == len(links) == 1
    record = links[0].record
    assert (record["trace_id"], record["request_id"], record["operation"]) == (trace, "my-own-id", "slice.scale")
    (line,) = [line for line in api.hand.log.lines if line.event == "api_answered"]
    assert (line.fields["actor"], line.fields["status"]) == ("anna", 200)


async def test_votes_and_reviews_are_told_with_their_request_too(api: ApiOnHand) -> None:
    """Whoever reads of a vote in a node's log must find it in the audit, and the other way round."""
    told = await api.ask("anna", "PUT", f"{SCALE}?propose=true", json={"instances": 6})
    path = told.headers["location"]
    await api.ask("anna", "POST", f"{path}/approve", headers={"x-request-id": "my-own-vote"})
    await api.ask("ben", "POST", f"{path}/approve", headers={"x-request-id": "bens-vote"})
    await api.ask("anna", "POST", f"{path}/withdraw", headers={"x-request-id": "after-all-not"})
    await api.ask("ben", "POST", "/v1/reviews/none/close", json={"reason": "x"}, headers={"x-request-id": "no-review"})
    await api.hand.chain_all()
    exported = await api.ask("vic", "GET", "/v1/audit/export")
    records = [msgspec.json.decode(line, type=Link).record for line in exported.content.splitlines()]
    found = {each["request_id"]: each["kind"] for each in records}
    assert found["my-own-vote"] == found["no-review"] == "vote_refused"
    assert (found["bens-vote"], found["after-all-not"]) == ("voted", "withdrawn")


@pytest.mark.slow
async def test_the_export_holds_sealed_segments_and_all_of_it_verifies(api: ApiOnHand) -> None:
    fence = api.hand.fence()
    assert fence is not None
    for number in range(1_260):
        await api.hand.scale(4 + number % 2, person("anna"))
        if number % 90 == 0:
            while await api.hand.chain.append(fence):
                pass
    while await api.hand.chain.append(fence):
        pass
    while await api.hand.chain.seal(fence):
        pass
    exported = await api.ask("vic", "GET", "/v1/audit/export")
    links = [msgspec.json.decode(line, type=Link) for line in exported.content.splitlines()]
    assert (verify(links).number, len(links)) == (1_260, 1_260)
    assert (await api.ask("vic", "GET", "/v1/audit/verify")).json() | {"hash": ""} == {
        "holds": True,
        "records": 1_260,
        "hash": "",
        "broken": "",
    }
    api.hand.kept.clear()
    broken = (await api.ask("vic", "GET", "/v1/audit/verify")).json()
    assert (broken["holds"], "lost" in broken["broken"]) == (False, True)
    refused = await api.ask("vic", "GET", "/v1/audit/export")
    assert (refused.status_code, refused.json()["code"]) == (409, "audit_broken")


async def test_broken_glass_opens_a_review_that_another_closes(api: ApiOnHand) -> None:
    await api.hand.store.txn((), [Put(key="freeze/cluster", value=b"the big sale")])
    assert (
        await api.ask("cleo", "PUT", SCALE + "?break_glass=true&reason=now", json={"instances": 6})
    ).status_code == 200
    await api.hand.store.txn((), [Put(key=keys.review("newer"), value=b'{"kind": "who knows"}')])
    await api.seen()
    told = (await api.ask("vic", "GET", "/v1/reviews")).json()
    (review,) = told["items"]
    assert (told["revision"], told["stale"]) == (api.cache.revision, False)
    path = f"/v1/reviews/{review['id']}/close"
    assert (await api.ask("cleo", "POST", path, json={"reason": "I was right"})).status_code == 403
    assert (await api.ask("ben", "POST", path, json={"reason": ""})).status_code == 422
    assert (await api.ask("ben", "POST", path, json={"reason": "it was right"})).status_code == 200
    await api.seen()
    assert (await api.ask("vic", "GET", "/v1/reviews")).json()["items"] == []


async def test_an_owner_operates_what_it_owns_and_nothing_else(api: ApiOnHand) -> None:
    await api.hand.principal(PrincipalRecord(id="vic", kind="person", role=Role.VIEWER, owns=("slice:orders",)))
    await api.seen()
    assert (await api.ask("vic", "PUT", SCALE, json={"instances": 5})).status_code == 200
    assert (await api.ask("vic", "POST", "/v1/nodes/n1/cordon")).status_code == 403
