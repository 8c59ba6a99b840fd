"""Who comes in: every endpoint asks for a key and a role, wrong keys wait, sessions need their token."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from agent_api.control_api.lockout import FREE_FAILURES
from agent_api.control_api.openapi import document
from runtime.consensus.store import Revision
from runtime.names import SliceName, Version
from runtime.operations.actor import Role
from runtime.security.principals import KEY_ID_CHARS, PrincipalRecord
from runtime.security.session_records import SessionRecords
from runtime.state import keys
from tests.unit.api_parts import ADMIN_KEY, ApiOnHand, api_on_hand
from tests.unit.gate_parts import START_UNIX_MS, target

pytestmark = pytest.mark.anyio

OPEN = {"health.live", "health.ready", "node.join", "openapi", "sign_in.show", "sign_in.begin", "sign_in.finish"}


@pytest.fixture
async def api() -> AsyncIterator[ApiOnHand]:
    async with api_on_hand() as found:
        yield found


def filled(path: str) -> str:
    return path.replace("{prefix:path}", "node/").replace("{number}", "1").replace("{", "").replace("}", "")


async def test_every_endpoint_but_these_wants_a_key(api: ApiOnHand) -> None:
    """A route without a door is an API without one."""
    assert {each.name for each in api.api.endpoints if each.role is None} == OPEN
    assert all(each.open_because for each in api.api.endpoints if each.role is None)
    for each in api.api.endpoints:
        if each.role is not None:
            answer = await api.ask("", each.method, filled(each.path))
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), each.name


async def test_every_route_of_the_application_is_an_endpoint(api: ApiOnHand) -> None:
    """A route that was added beside the table would pass no door."""
    application = api.api.app.app._app  # below the console's files
    routes = {(method, route.path) for route in application.routes for method in route.methods}
    declared = {(each.method, each.path) for each in api.api.endpoints}
    assert routes == declared | {("HEAD", path) for method, path in declared if method == "GET"}


async def test_no_endpoint_above_viewer_lets_a_viewer_in(api: ApiOnHand) -> None:
    """What is asked is well formed, so that nothing but the role stands in its way."""
    above = [each for each in api.api.endpoints if each.role in (Role.OPERATOR, Role.ADMIN)]
    assert len(above) > 20
    described = document(above)
    for each in above:
        if each.name.startswith(("proposal.", "review.", "audit.")):  # decided by whose it is: see the tests of those
            continue
        operation = described["paths"][each.path.replace(":path", "")][each.method.lower()]
        path = each.path
        for parameter in operation["parameters"]:
            sample = sampled(parameter["schema"], described)
            path = path.replace(f"{{{parameter['name']}}}", str(sample))
        content = operation.get("requestBody", {}).get("content", {})
        body = sampled(content["application/json"]["schema"], described) if "application/json" in content else None
        answer = await api.ask("vic", each.method, path, json=body)
        assert answer.status_code == 403, (each.name, answer.text)
        assert answer.json()["code"] in ("forbidden", "refused_by_policy")


def sampled(schema: dict[str, Any], described: dict[str, Any]) -> Any:
    """A value that the schema allows."""
    if "$ref" in schema:
        return sampled(described["components"]["schemas"][schema["$ref"].rpartition("/")[2]], described)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return sampled(schema["anyOf"][0], described)
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        if schema.get("minProperties"):
            return {"1": sampled(schema["additionalProperties"], described)}
        return {name: sampled(properties[name], described) for name in schema.get("required", ())}
    if schema.get("minItems"):
        return [sampled(schema["items"], described)]
    if schema.get("format") == "date-time":
        return "2026-01-01T00:00:00Z"
    known = {"integer": schema.get("minimum", 1), "number": schema.get("minimum", 1), "boolean": True, "array": []}
    for fits in ("x", "cluster", "slice:x", "slice.x", "0" * 64, "0" * KEY_ID_CHARS):
        if schema.get("type") == "string" and re.search(schema.get("pattern", ""), fits):
            return fits if len(fits) >= schema.get("minLength", 0) else fits * schema["minLength"]
    return known.get(schema.get("type", ""), "x" * max(1, schema.get("minLength", 1)))


async def test_the_first_admin_key_works_until_it_is_disabled(api: ApiOnHand) -> None:
    assert (await api.ask(ADMIN_KEY, "GET", "/v1/session")).json()["role"] == "admin"
    await api.hand.principal(PrincipalRecord(id="admin", kind="person", role=Role.ADMIN, disabled=True))
    await api.seen()
    assert (await api.ask(ADMIN_KEY, "GET", "/v1/session")).status_code == 401


async def test_a_key_ends_with_its_expiry_and_with_its_principal(api: ApiOnHand) -> None:
    await api.key("anna", "ae_short", expires_unix_ms=START_UNIX_MS + 1_000)
    await api.seen()
    assert (await api.ask("ae_short", "GET", "/v1/session")).json()["principal"] == "anna"
    api.hand.clock.now_ms = 1_000
    for _ in range(2 * FREE_FAILURES):
        expired = await api.ask("ae_short", "GET", "/v1/session")
        told = expired.json()
        assert (expired.status_code, told["code"], "new one" in told["remedy"]) == (401, "key_expired", True)
    assert (await api.ask("cleo", "GET", "/v1/session")).status_code == 200, "its address is not locked out"
    await api.hand.principal(PrincipalRecord(id="ben", kind="person", role=Role.OPERATOR, disabled=True))
    await api.seen()
    assert (await api.ask("ben", "GET", "/v1/session")).status_code == 401


async def test_a_role_for_some_subjects_holds_for_these_alone(api: ApiOnHand) -> None:
    cut = PrincipalRecord(id="ben", kind="person", role=Role.OPERATOR, only=("slice:orders",))
    await api.hand.principal(cut)
    await api.hand.put(keys.target(SliceName("tea"), Version("1")), target("tea", 2))
    await api.seen()
    assert (await api.ask("ben", "GET", "/v1/slices/orders")).status_code == 200
    assert (await api.ask("ben", "GET", "/v1/slices")).json()["code"] == "forbidden"
    scaled = await api.ask("ben", "PUT", "/v1/slices/orders/scale", json={"instances": 5})
    assert scaled.status_code == 200, scaled.text
    planned = {path: await api.ask("ben", "PUT", f"{path}?dry_run=true", json=body) for path, body in PLANS.items()}
    assert [each.status_code for each in planned.values()] == [200, 403, 403]


PLANS: dict[str, dict[str, object]] = {
    "/v1/slices/orders/scale": {"instances": 6},
    "/v1/slices/tea/scale": {"instances": 6},
    "/v1/config/drain_s": {"value": 5},
}


async def test_who_may_vote_on_a_proposal_may_see_it(api: ApiOnHand) -> None:
    """What is approved unseen is not approved."""
    told = await api.ask("anna", "PUT", "/v1/slices/orders/scale?propose=true", json={"instances": 6})
    path = told.headers["location"]
    for only, status in (("slice:orders", 200), ("slice:tea", 403)):
        await api.hand.principal(PrincipalRecord(id="ben", kind="person", role=Role.OPERATOR, only=(only,)))
        await api.seen()
        assert (await api.ask("ben", "GET", path)).status_code == status
        assert (await api.ask("ben", "GET", f"{path}/diff")).status_code == status
    assert (await api.ask("ben", "POST", f"{path}/approve")).status_code == 403
    assert (await api.ask("ben", "GET", "/v1/proposals/none")).status_code == 403


async def test_who_may_look_at_some_subjects_alone_learns_who_they_are_and_what_there_is_to_do(api: ApiOnHand) -> None:
    """A key for one slice must be able to begin a session and to find its operations, as any other."""
    await api.hand.principal(PrincipalRecord(id="vic", kind="person", role=Role.VIEWER, only=("slice:orders",)))
    await api.seen()
    assert (await api.ask("vic", "GET", "/v1/session")).json()["only"] == ["slice:orders"]
    assert (await api.ask("vic", "POST", "/v1/session")).status_code == 201
    assert (await api.ask("vic", "GET", "/v1/operations/slice.scale")).status_code == 200
    assert {each.name for each in api.api.endpoints if each.subjectless} == {
        "session.show",
        "session.begin",
        "session.end",
        "operation.list",
        "operation.show",
    }


async def test_wrong_keys_wait_longer_and_longer_and_a_known_one_does_not(api: ApiOnHand) -> None:
    assert (await api.ask("anna", "GET", "/v1/session")).status_code == 200
    for _ in range(FREE_FAILURES):
        assert (await api.ask("wrong", "GET", "/v1/session")).status_code == 401
    locked = await api.ask("wrong", "GET", "/v1/session")
    assert (locked.status_code, locked.json()["code"], locked.headers["retry-after"]) == (429, "locked_out", "1")
    assert (await api.ask("ben", "GET", "/v1/session")).status_code == 429, "a right key that is new there waits too"
    assert (await api.ask("anna", "GET", "/v1/session")).status_code == 200
    api.hand.clock.now_ms += 1_001
    assert (await api.ask("ben", "GET", "/v1/session")).status_code == 200
    assert (await api.ask("wrong", "GET", "/v1/session")).status_code == 401
    longer = await api.ask("wrong", "GET", "/v1/session")
    assert longer.headers["retry-after"] == "2"
    failures = [line for line in api.hand.log.lines if line.event == "authentication_failed"]
    assert [line.fields["times"] for line in failures] == [1, 2, 3, 4, 5, 6]
    assert not api.hand.state.items("audit"), "nothing of it reaches the store"
    assert "agent_api_authentication_failures_total 6\n" in (await api.ask("anna", "GET", "/metrics")).text


async def test_another_address_is_not_locked_out(api: ApiOnHand) -> None:
    for _ in range(FREE_FAILURES + 1):
        await api.ask("wrong", "GET", "/v1/session")
    async with api.client("ben", address="10.0.0.9") as client:
        assert (await client.get("/v1/session")).status_code == 200


async def test_a_principal_that_asks_too_often_is_told_when_to_come_again() -> None:
    async with api_on_hand(requests_per_s_max=2) as api:
        for _ in range(4):
            assert (await api.ask("anna", "GET", "/v1/session")).status_code == 200
        refused = await api.ask("anna", "GET", "/v1/session")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert (await api.ask("ben", "GET", "/v1/session")).status_code == 200
        api.hand.clock.now_ms += 500
        assert (await api.ask("anna", "GET", "/v1/session")).status_code == 200


async def test_a_change_with_a_session_needs_its_token(api: ApiOnHand) -> None:
    """Another site's page can send the cookie; it cannot know the token."""
    async with api.client("anna") as client:
        begun = await client.post("/v1/session")
    assert begun.status_code == 201
    cookie = begun.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie, "this was plain HTTP"
    async with api.client() as browser:
        browser.cookies = begun.cookies
        assert (await browser.get("/v1/slices")).status_code == 200
        path, body = "/v1/slices/orders/scale", {"instances": 5}
        refused = await browser.put(path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "csrf_missing")
        csrf = (await browser.get("/v1/session")).json()["csrf"]
        assert (await browser.put(path, json=body, headers={"x-csrf-token": csrf + "0"})).status_code == 403
        assert (await browser.put(path, json=body, headers={"x-csrf-token": csrf})).status_code == 200
    assert api.hand.wanted() == 5


async def test_a_session_is_good_at_every_node_and_ends_with_its_key_or_its_time(api: ApiOnHand) -> None:
    await api.key("anna", "ae_console")
    await api.seen()
    async with api.client("ae_console") as client:
        begun = await client.post("/v1/session")
    other, cache = api.another("n2")
    await cache.ready()
    for each in (api.api, other):
        async with api.client(api=each) as browser:
            browser.cookies = begun.cookies
            assert (await browser.get("/v1/session")).json()["principal"] == "anna"
    api.hand.clock.now_ms += 8 * 3_600_000
    async with api.client() as browser:
        browser.cookies = begun.cookies
        for _ in range(2 * FREE_FAILURES):
            ended = await browser.get("/v1/session")
            assert (ended.status_code, ended.json()["detail"]) == (401, "the session has ended"), "that is no guess"


async def test_a_session_that_was_ended_is_taken_by_no_node(api: ApiOnHand) -> None:
    """A copy of its cookie, from a shared machine or a log, must not let anybody in; other sessions go on."""
    async with api.client("anna") as client:
        begun, kept = await client.post("/v1/session"), await client.post("/v1/session")
    other, cache = api.another("n2")
    await cache.ready()
    async with api.client() as browser:
        browser.cookies = begun.cookies
        csrf = (await browser.get("/v1/session")).json()["csrf"]
        assert (await browser.delete("/v1/session")).json()["code"] == "csrf_missing"
        assert (await browser.delete("/v1/session", headers={"x-csrf-token": csrf})).status_code == 204
    await cache.wait_for(api.hand.state.revision)
    for each in (api.api, other):
        for made, status in ((begun, 401), (kept, 200)):
            async with api.client(api=each) as browser:
                browser.cookies = made.cookies
                assert (await browser.get("/v1/session")).status_code == status
    api.hand.pass_time(9 * 3_600_000)
    assert not api.hand.state.items(keys.SESSIONS_ENDED), "it is forgotten once it would have ended anyway"


async def test_what_signs_sessions_is_rotated_and_the_one_before_is_still_good(api: ApiOnHand) -> None:
    """A secret that leaked is worth nothing two days later, and nobody is logged out by its rotation."""
    records = SessionRecords(store=api.hand.store, state=api.cache, clock=api.hand.clock)
    fence = api.hand.fence()
    assert fence is not None

    async def begun() -> httpx.Response:
        async with api.client("anna") as client:
            return await client.post("/v1/session")

    async def told(made: httpx.Response) -> str:
        async with api.client() as browser:
            browser.cookies = made.cookies
            shown = (await browser.get("/v1/session")).json()
            return str(shown.get("principal") or shown["detail"])

    async def rotated(hours: float) -> bool:
        api.hand.clock.now_ms += int(hours * 3_600_000)
        done = await records.rotate(fence)
        await api.seen()
        return done

    assert not await rotated(0), "nobody has begun a session"
    await begun()
    assert not await rotated(23)
    before = await begun()
    assert not await records.rotate(Revision(fence + 1)), "who does not lead rotates nothing"
    assert [await rotated(1), await rotated(1)] == [True, False]
    after = await begun()
    assert [await told(each) for each in (before, after)] == ["anna", "anna"]
    assert await rotated(24)
    assert await told(after) == "the session has ended"
    assert await told(before) == "that key is not known, or not valid any more", "what signed it is gone"
    item = api.cache.get(keys.SESSION_SIGNING)
    assert item is not None
    assert len(msgspec.json.decode(item.value)["generations"]) == 2


async def test_a_new_signing_key_signs_once_every_node_has_seen_it(api: ApiOnHand) -> None:
    """Else a session begun at one node would be a wrong key at another."""
    records = SessionRecords(store=api.hand.store, state=api.cache, clock=api.hand.clock)
    fence = api.hand.fence()
    assert fence is not None
    first = await records.signing()
    await api.seen()
    api.hand.clock.now_ms += 24 * 3_600_000
    assert await records.rotate(fence)
    await api.seen()
    assert await records.signing() == first
    api.hand.clock.now_ms += 10_000
    assert await records.signing() != first


async def test_a_forged_cookie_is_a_wrong_key(api: ApiOnHand) -> None:
    async with api.client("anna") as client:
        begun = await client.post("/v1/session")
    body, _, mac = begun.cookies["aether_session"].partition(".")
    for forged in (f"{body}.{'0' * 64}", f"x{body}.{mac}", "no-dot", "", "é.é"):
        async with api.client(address="10.0.0.7") as browser:
            answer = await browser.get("/v1/session", headers={"cookie": f"aether_session={forged}".encode()})
            assert answer.status_code in (401, 429), forged


async def test_over_tls_the_cookie_is_secure(api: ApiOnHand) -> None:
    async with api.client("anna") as client:
        begun = await client.post("https://node/v1/session")
    assert "Secure" in begun.headers["set-cookie"]


async def test_nobody_elses_page_may_read_answers(api: ApiOnHand) -> None:
    answer = await api.ask("anna", "GET", "/v1/slices", headers={"origin": "https://elsewhere.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    preflight = await api.ask("", "OPTIONS", "/v1/slices", headers={"access-control-request-method": "PUT"})
    assert preflight.status_code == 405
