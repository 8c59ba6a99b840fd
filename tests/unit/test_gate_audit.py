"""The audit shows every change that was made to it, and where; and nothing that is written to it stops it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from controllers.gate.audit import AuditBroken, AuditHead, AuditRecord, AuditSegment, Link, read_chained
from controllers.gate.chaining import KEPT, SEGMENT, pack, unpack
from controllers.gate.joining import AuditFull, StoreAuditLog
from controllers.gate.reading import newest_of
from runtime.consensus.store import Delete, Put
from runtime.content.errors import ContentDiskFull
from runtime.operations.actor import Actor, ActorKind, Role
from runtime.state import keys
from runtime.state.values import encode
from tests.unit.gate_parts import GateOnHand, person

pytestmark = pytest.mark.anyio

ANNA = person("anna")


def record(number: int, **members: Any) -> AuditRecord:
    return AuditRecord(id=f"r{number:05}", kind="decision", at_unix_ms=number, actor=ANNA, **members)


async def written(gate: GateOnHand, numbers: range) -> None:
    """In one transaction each, as changes are."""
    for number in numbers:
        await gate.store.txn((), [Put(key=keys.audit_fresh(f"r{number:05}"), value=encode(record(number)))])


@pytest.fixture
async def sealed() -> GateOnHand:
    """Two sealed segments, and 1,000 records behind them."""
    gate = GateOnHand()
    fence = gate.fence()
    assert fence is not None
    for begin in range(0, KEPT + 2 * SEGMENT, SEGMENT):
        await written(gate, range(begin, begin + SEGMENT))
        await gate.chain.append(fence)
        await gate.chain.seal(fence)
    assert len(gate.kept) == 2
    assert (await gate.audit.verify()).number == KEPT + 2 * SEGMENT
    return gate


async def changed(gate: GateOnHand, key: str, change: Callable[[dict[str, Any]], None]) -> None:
    item = gate.state.get(key)
    assert item is not None
    document = msgspec.json.decode(item.value)
    change(document)
    await gate.store.txn((), [Put(key=key, value=msgspec.json.encode(document))])


async def broken(gate: GateOnHand) -> str:
    with pytest.raises(AuditBroken) as found:
        await gate.audit.verify()
    return str(found.value)


async def test_a_changed_record_is_named(sealed: GateOnHand) -> None:
    await changed(sealed, keys.audit(700), lambda it: it["record"].update(reason="never mind"))
    assert await broken(sealed) == "record 700 is not what its hash says"


async def test_a_member_that_is_added_to_a_record_is_noticed(sealed: GateOnHand) -> None:
    """Also one that this version does not know."""
    await changed(sealed, keys.audit(700), lambda it: it["record"].update(approved_by="nobody"))
    assert await broken(sealed) == "record 700 is not what its hash says"


@pytest.mark.parametrize("member", ["revision", "previous", "hash"])
async def test_a_changed_place_is_named(sealed: GateOnHand, member: str) -> None:
    await changed(sealed, keys.audit(700), lambda it: it.update({member: 7 if member == "revision" else "0" * 64}))
    assert "record 700" in await broken(sealed)


async def test_a_dropped_record_is_named(sealed: GateOnHand) -> None:
    await sealed.store.txn((), [Delete(key=keys.audit(700))])
    assert await broken(sealed) == "after record 699 comes 701"


async def test_dropped_newest_records_are_noticed(sealed: GateOnHand) -> None:
    await sealed.store.txn((), [Delete(key=keys.audit(1_500)), Delete(key=keys.audit(1_499))])
    assert await broken(sealed) == "the chain ends with record 1498, and its head says 1500"


async def test_swapped_records_are_named(sealed: GateOnHand) -> None:
    first, second = (sealed.state.get(keys.audit(number)) for number in (700, 701))
    assert first is not None
    assert second is not None
    await sealed.store.txn((), [Put(key=first.key, value=second.value), Put(key=second.key, value=first.value)])
    assert await broken(sealed) == "record 701 lies at audit/000000000700"


async def test_an_inserted_record_is_named(sealed: GateOnHand) -> None:
    item = sealed.state.get(keys.audit(700))
    assert item is not None
    await sealed.store.txn((), [Put(key=keys.audit(700) + "a", value=item.value)])
    assert await broken(sealed) == "record 700 lies at audit/000000000700a"


async def test_a_record_that_is_no_record_is_noticed(sealed: GateOnHand) -> None:
    await sealed.store.txn((), [Put(key=keys.audit(700), value=b"\x00")])
    assert "cannot be read" in await broken(sealed)


async def test_a_gap_behind_the_segments_is_named(sealed: GateOnHand) -> None:
    items = sealed.state.items(keys.AUDIT)
    await sealed.store.txn((), [Delete(key=item.key) for item in items[:400]])
    assert await broken(sealed) == "after record 500 comes 901"


async def test_a_dropped_segment_is_named(sealed: GateOnHand) -> None:
    await sealed.store.txn((), [Delete(key=keys.audit_segment(1))])
    assert await broken(sealed) == "after record 0 comes 251"


async def test_swapped_segments_are_named(sealed: GateOnHand) -> None:
    first, second = sealed.state.items(keys.AUDIT_SEGMENTS)
    await sealed.store.txn((), [Put(key=first.key, value=second.value), Put(key=second.key, value=first.value)])
    assert await broken(sealed) == "after record 0 comes 251"


async def test_a_lost_or_changed_segment_is_named(sealed: GateOnHand) -> None:
    (name, raw), _ = sealed.kept.items()
    sealed.kept[name] = raw[:-1] + bytes([raw[-1] ^ 1])
    assert await broken(sealed) == "the segment of records 1 to 250 is not what its hash says"
    del sealed.kept[name]
    assert (await broken(sealed)).startswith("the segment of records 1 to 250 is lost")


async def test_a_forged_segment_under_its_own_hash_is_named(sealed: GateOnHand) -> None:
    """The content is right by its hash, and one record in it was changed."""
    (item, _) = sealed.state.items(keys.AUDIT_SEGMENTS)
    segment = msgspec.json.decode(item.value, type=AuditSegment)
    links = unpack(sealed.kept[segment.sha256])
    links[9] = msgspec.structs.replace(links[9], record={**links[9].record, "reason": "forged"})
    sha256 = await sealed.keep(pack(links))
    await sealed.store.txn((), [Put(key=item.key, value=encode(msgspec.structs.replace(segment, sha256=sha256)))])
    assert await broken(sealed) == "record 10 is not what its hash says"


async def test_a_segment_with_one_record_less_is_named(sealed: GateOnHand) -> None:
    (item, _) = sealed.state.items(keys.AUDIT_SEGMENTS)
    segment = msgspec.json.decode(item.value, type=AuditSegment)
    sha256 = await sealed.keep(pack(unpack(sealed.kept[segment.sha256])[:-1]))
    await sealed.store.txn((), [Put(key=item.key, value=encode(msgspec.structs.replace(segment, sha256=sha256)))])
    assert await broken(sealed) == "the segment of records 1 to 250 holds others"


# -- growing -----------------------------------------------------------------------------------------------------------


async def test_records_are_chained_by_revision_however_many_wait_and_whatever_they_are_called(gate: GateOnHand) -> None:
    """Ids come from clocks of several leaders: the last to be made may be the first in the order of keys."""
    for number in reversed(range(350)):
        prefix = keys.audit_refused if number % 7 == 0 else keys.audit_joined if number % 5 == 0 else keys.audit_fresh
        await gate.store.txn((), [Put(key=prefix(f"r{number:05}"), value=encode(record(number)))])
    await gate.chain_all()
    await gate.audit.verify()
    found = [read_chained(item.value).record.id for item in gate.state.items(keys.AUDIT)]
    assert found == [f"r{number:05}" for number in reversed(range(350))]


async def test_a_record_of_a_newer_version_joins_with_all_its_members(gate: GateOnHand) -> None:
    newer = {**msgspec.json.decode(encode(record(1))), "colour": "blue", "actor": {"kind": "hive", "id": "x"}}
    await gate.store.txn((), [Put(key=keys.audit_fresh("r1"), value=msgspec.json.encode(newer))])
    await gate.store.txn((), [Put(key=keys.audit_fresh("r2"), value=b"no JSON")])
    await gate.store.txn((), [Put(key=keys.audit_fresh("r3"), value=b"[" * 60_000)])
    await written(gate, range(4, 5))
    await gate.chain_all()
    assert (await gate.audit.verify()).number == 4
    links = [link async for link in gate.audit.links()]
    assert links[0].record["colour"] == "blue"
    assert [link.record["kind"] for link in links] == ["decision", "unreadable", "unreadable", "decision"]
    first = gate.state.get(keys.audit(1))
    assert first is not None
    assert read_chained(first.value).record.kind == "decision"


async def test_while_content_cannot_be_written_the_chain_goes_on_in_the_store(gate: GateOnHand) -> None:
    async def full(_raw: bytes) -> str:
        raise ContentDiskFull("no byte left")

    gate.chain._keep = full
    fence = gate.fence()
    assert fence is not None
    await written(gate, range(KEPT + SEGMENT + 10))
    await gate.chain.append(fence)
    assert not await gate.chain.seal(fence)
    assert (await gate.audit.verify()).number == KEPT + SEGMENT + 10
    gate.chain._keep = gate.keep
    assert await gate.chain.seal(fence)
    assert (await gate.audit.verify()).number == KEPT + SEGMENT + 10


async def test_other_layers_join_and_are_told_when_too_many_wait(gate: GateOnHand) -> None:
    log = StoreAuditLog(gate.store)
    reasoner = Actor(kind=ActorKind.MODEL, id="model:assistant", role=Role.VIEWER, behind=ANNA)
    await log.write(record(1, detail={"tokens": 812, "model": "m"}))
    await log.write(msgspec.structs.replace(record(2), kind="model_call", actor=reasoner, reason="x" * 9_000))
    await gate.chain_all()
    kinds = [read_chained(item.value).record.kind for item in gate.state.items(keys.AUDIT)]
    assert kinds == ["decision", "model_call"]
    with pytest.raises(AuditFull):
        for number in range(3, 9_999):
            await log.write(record(number, detail={"text": "y" * 3_500}))
    await gate.populate()
    assert (await gate.scale(6, ANNA)).audit, "and changes are audited all the same"  # type: ignore[union-attr]


async def test_the_head_is_the_newest_place(gate: GateOnHand) -> None:
    await written(gate, range(3))
    await gate.chain_all()
    item = gate.state.get(keys.AUDIT_HEAD)
    last = gate.state.get(keys.audit(3))
    assert item is not None
    assert last is not None
    head = msgspec.json.decode(item.value, type=AuditHead)
    assert (head.number, head.hash) == (3, msgspec.json.decode(last.value, type=Link).hash)


@pytest.fixture
def gate() -> GateOnHand:
    return GateOnHand()


async def test_a_record_that_only_a_newer_version_understands_ends_no_search_for_others() -> None:
    """While nodes of two versions run, what is asked of the older one must be answered."""
    gate = GateOnHand()
    newer = {"id": "zz", "kind": "foreseen", "subject": "slice:orders", "at_unix_ms": "noon", "actor": 7}
    for key, value in (
        ("a", encode(record(1, subject="slice:orders"))),
        ("z", msgspec.json.encode(newer)),
        ("zz", b"?"),
    ):
        await gate.store.txn((), [Put(key=keys.audit_fresh(key), value=value)])
    found = await newest_of(gate.store, {"slice:orders"}, 5)
    assert [each.kind for each in found] == ["foreseen", "decision"]
