"""What a large change does is shown whole before it is approved, and undone whole afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from controllers.gate.audit import AuditRecord, read_record
from runtime.names import Sha256
from runtime.sdk.contract import SliceContract
from runtime.state import keys
from runtime.state.values import ArtifactRecord
from tests.unit.api_parts import ApiOnHand, api_on_hand

pytestmark = pytest.mark.anyio
NAMES = [f"shop-{number}" for number in range(30)]
PATH = "/v1/blueprints/s"


def blueprint(instances: int, names: list[str] = NAMES) -> dict[str, str]:
    rows = [
        f'[[slices]]\nslice = "{name}"\nversion = "1.0.0"\nartifact = "shop==1.0.0"\n'
        f'min = 0\nmax = 5\ninstances = {instances}\n[slices.config]\npassword = "secret-{instances}"\n'
        for name in names
    ]
    return {"source": 'id = "s"\n' + "".join(rows)}


def contract(name: str) -> SliceContract:
    return SliceContract(name=name, version="1.0.0", entry="m:C", methods=(), dependencies=())


@pytest.fixture
async def api() -> AsyncIterator[ApiOnHand]:
    async with api_on_hand() as found:
        record = ArtifactRecord(
            name="shop",
            version="1.0.0",
            sha256=Sha256("0" * 64),
            size_bytes=1,
            slices=tuple(map(contract, NAMES)),
            uploaded_unix_ms=0,
        )
        await found.hand.put(keys.artifact("shop", "1.0.0"), record)
        await found.seen()
        yield found


async def test_approvers_see_every_member_that_a_long_blueprint_changes(api: ApiOnHand) -> None:
    """What they cannot see they cannot approve; the proposal itself has room for a part alone."""
    proposed = await api.ask("anna", "PUT", f"{PATH}?propose=true", json=blueprint(1))
    location = proposed.headers["location"]
    assert (await api.ask("vic", "GET", location)).json()["proposal"]["diff_is_whole"] is False
    rows, cursor = [], ""
    while not rows or cursor:
        page = (await api.ask("vic", "GET", f"{location}/diff", params={"limit": 10, "cursor": cursor})).json()
        rows, cursor = [*rows, *page["items"]], page["next"]
    assert {row["key"] for row in rows} >= {f"slice-target/{name}/1.0.0" for name in NAMES}
    (whole,) = [row["after"]["slices"] for row in rows if row["key"] == "blueprint/s"]
    assert [each["slice"] for each in whole] == NAMES
    assert {each["config"]["password"] for each in whole} == {"***"}
    unknown = await api.ask("vic", "GET", "/v1/proposals/none/diff")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "proposal_not_found")


@pytest.mark.parametrize("names", [NAMES, NAMES[:1]], ids=["too long for its record", "with a secret"])
async def test_a_blueprint_is_undone_by_the_audit_record_of_its_change(api: ApiOnHand, names: list[str]) -> None:
    assert (await api.ask("anna", "PUT", PATH, json=blueprint(1, names))).status_code == 200
    changed = (await api.ask("anna", "PUT", PATH, json=blueprint(2, names))).json()
    await api.seen()
    undone = await api.ask("anna", "POST", f"/v1/audit/{changed['audit']}/rollback", json={"reason": "too many"})
    assert (undone.status_code, undone.json().get("outcome")) == (200, "applied"), undone.text
    await api.seen()
    assert (await api.ask("vic", "GET", PATH)).json()["source"] == blueprint(1, names)["source"]


@pytest.mark.parametrize("chained", [False, True])
async def test_a_short_change_is_undone_by_what_its_record_holds(api: ApiOnHand, *, chained: bool) -> None:
    scaled = (await api.ask("anna", "PUT", "/v1/slices/orders/scale", json={"instances": 5})).json()
    if chained:
        await api.hand.chain_all()
    path = f"/v1/audit/{scaled['audit']}/rollback"
    viewer = await api.ask("vic", "POST", path, json={})
    assert (viewer.status_code, viewer.json()["code"]) == (403, "refused_by_policy")
    undone = await api.ask("anna", "POST", path, json={})
    assert (undone.status_code, api.hand.wanted()) == (200, 4), undone.text


async def test_what_has_nothing_that_undoes_it_says_so(api: ApiOnHand) -> None:
    await api.ask("anna", "PUT", "/v1/slices/orders/scale", json={"instances": 500})
    await api.hand.chain_all()
    (record,) = (await api.ask("anna", "GET", "/v1/audit")).json()["items"]
    refused = await api.ask("anna", "POST", f"/v1/audit/{record['record']['id']}/rollback", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_undo")
    unknown = await api.ask("anna", "POST", "/v1/audit/id99/rollback", json={})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "record_not_found")


async def applied_scale(api: ApiOnHand) -> str:
    """The path of a proposal that was approved and applied."""
    proposed = await api.ask("anna", "PUT", "/v1/slices/orders/scale?propose=true", json={"instances": 6})
    location = proposed.headers["location"]
    for voter in ("ben", "cleo"):
        await api.ask(voter, "POST", f"{location}/approve")
    await api.hand.settle(proposed.json()["proposal"])
    await api.seen()
    assert api.hand.wanted() == 6
    return location


@pytest.mark.parametrize("by_record", [False, True])
async def test_an_applied_proposal_is_undone_once_and_says_so(api: ApiOnHand, *, by_record: bool) -> None:
    """Undone twice it would take away what somebody made in between; the same key gets the first answer."""
    location = await applied_scale(api)
    (record,) = [each for each in audited(api) if each.proposal and each.kind == "applied"]
    path = f"/v1/audit/{record.id}/rollback" if by_record else f"{location}/rollback"
    first = await api.ask("anna", "POST", path, json={"reason": "quiet"}, headers={"idempotency-key": "k"})
    assert (first.status_code, api.hand.wanted()) == (200, 4), first.text
    await api.seen()
    after = (await api.ask("vic", "GET", location)).json()["proposal"]
    assert (after["state"], after["ended"]) == ("rolled_back", "undone by anna: quiet")
    assert audited(api)[-1].detail["undoes"] == after["id"]
    again = await api.ask("anna", "POST", path, json={"reason": "quiet"}, headers={"idempotency-key": "k"})
    assert (again.status_code, again.json()["repeated"]) == (200, True), again.text
    refused = await api.ask("anna", "POST", path, json={"reason": "quiet"})
    assert (refused.status_code, refused.json()["code"]) == (409, "proposal_ended")


async def test_undoing_that_must_be_approved_marks_what_it_undoes_when_it_is_applied(api: ApiOnHand) -> None:
    location = await applied_scale(api)
    asked = [await api.ask("anna", "POST", f"{location}/rollback?propose=true", json={}) for _ in range(2)]
    assert [each.status_code for each in asked] == [202, 202]
    assert (await api.ask("vic", "GET", location)).json()["proposal"]["state"] == "applied"
    ends = []
    for each in asked:
        for voter in ("ben", "cleo"):
            await api.ask(voter, "POST", f"{each.headers['location']}/approve")
        ends.append((await api.hand.settle(each.json()["proposal"])).state)
        await api.seen()
    assert (ends, api.hand.wanted()) == (["applied", "stale"], 4)
    assert (await api.ask("vic", "GET", location)).json()["proposal"]["state"] == "rolled_back"


def audited(api: ApiOnHand) -> list[AuditRecord]:
    """Those without a place in the chain yet, in the order in which they were written."""
    items = sorted(api.hand.state.items(keys.AUDIT_FRESH), key=lambda item: item.mod_revision)
    return [read_record(item.value) for item in items]
