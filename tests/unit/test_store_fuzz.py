"""Everything that reads bytes of others: garbage gives its own error, at once, and nothing else ever."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable

import crc32c
import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.consensus import commands as c
from runtime.consensus import operator_wire as ow
from runtime.consensus import wire as w
from runtime.consensus.machine import Machine
from runtime.consensus.raft import messages as m
from runtime.consensus.raft.records import LogDamaged, Record, pack_batch, scan
from runtime.consensus.raft.snapshot import BLOCK_BYTES_MAX, MAGIC, SnapshotDamaged, read_any_snapshot
from runtime.consensus.store import Compare, Delete, Get, LeaseId, Put, Revision
from runtime.consensus.watch_parts import decode_part

numbers = st.integers(0, 2**63 - 1)
text = st.text(max_size=12)
operations = st.one_of(
    st.builds(lambda key, value: Put(key=key, value=value, lease=LeaseId(3)), text, st.binary(max_size=20)),
    st.builds(lambda key, prefix: Delete(key=key, prefix=prefix), text, st.booleans()),
    st.builds(lambda key: Get(key=key), text),
)
compares = st.builds(
    lambda key, field, op, operand: Compare(key=key, field=field, op=op, operand=operand),
    text,
    st.sampled_from(("create_revision", "mod_revision", "version", "value")),
    st.sampled_from(("==", "!=", "<", ">")),
    st.one_of(numbers, st.binary(max_size=9)),
)
batches = st.lists(operations, max_size=4).map(tuple)
store_commands = st.one_of(
    st.builds(c.Txn, st.lists(compares, max_size=3).map(tuple), batches, batches),
    st.builds(c.Grant, numbers),
    st.builds(c.KeepAlive, numbers.map(LeaseId)),
    st.builds(c.Revoke, numbers.map(LeaseId)),
    st.builds(c.OpenSession),
    st.builds(c.Compact, numbers.map(Revision)),
    st.builds(c.Tick, numbers),
    st.builds(c.Lead, text),
    st.builds(c.Check, text),
)
envelopes = st.builds(c.Envelope, store_commands, numbers, numbers, numbers)
entries = st.lists(st.tuples(st.binary(max_size=20), numbers, numbers), max_size=3)
messages = st.one_of(
    st.builds(m.Append, numbers, numbers, numbers, entries, numbers),
    st.builds(m.Appended, numbers, st.booleans(), numbers),
    st.builds(m.Install, numbers, numbers, numbers, st.binary(max_size=30), st.booleans()),
    st.builds(m.Installing, numbers, numbers, numbers),
    st.builds(m.PreVote, numbers, numbers, numbers),
    st.builds(m.PreVoted, numbers),
    st.builds(m.RequestVote, numbers, numbers, numbers, st.booleans()),
    st.builds(m.Voted, numbers, st.booleans()),
    st.builds(m.Contacts, st.dictionaries(text, text, max_size=3)),
    st.builds(m.TimeoutNow, numbers),
    st.builds(m.Probe, numbers, numbers),
    st.builds(m.Confirmed, numbers, numbers),
)

DECODERS: dict[str, tuple[Callable[[bytes], object], type[Exception], bytes]] = {
    "command": (c.decode, msgspec.DecodeError, b""),
    "get": (w.decode_get, msgspec.DecodeError, b""),
    "range": (w.decode_range, msgspec.DecodeError, b""),
    "watch": (w.decode_watch, msgspec.DecodeError, b""),
    "member": (w.decode_member, msgspec.DecodeError, b""),
    "batch": (decode_part, msgspec.DecodeError, b""),
    "envelope": (w.decode_command, msgspec.DecodeError, b""),
    "members": (w.decode_members, msgspec.DecodeError, b""),
    "got": (w.decode_got, msgspec.DecodeError, b""),
    "page": (w.decode_page, msgspec.DecodeError, b""),
    "applied": (w.decode_applied, msgspec.DecodeError, b""),
    "status": (w.decode_status, msgspec.DecodeError, b""),
    "digest request": (ow.decode_digest_request, msgspec.DecodeError, b""),
    "snapshot request": (ow.decode_snapshot_request, msgspec.DecodeError, b""),
    "snapshot begins": (ow.decode_snapshot_begins, msgspec.DecodeError, b""),
    "figures": (ow.decode_figures, msgspec.DecodeError, b""),
    "digest": (ow.decode_digest, msgspec.DecodeError, b""),
    "leadership": (w.decode_leadership, msgspec.DecodeError, b""),
    "raft message": (m.decode, m.MessageUnreadable, m.encode(m.PreVoted(1))[:1]),
}
NASTY = {
    "text that is no utf-8": b"\x94\x92\xa1l\xa2\xff\xfe\x00\x00\x00",
    "a list that says it is long": b"\x92\xa1t\xdd\xff\xff\xff\xff",
    "bytes that say they are long": b"\x95\xa1i\x01\x01\x01\xc6\xff\xff\xff\xff",
    "nesting without end": b"\x99\xa1k\x01" + b"\x91" * 100_000,
    "a key that is no utf-8": b"\x91\xa2\xff\xfe",
    "a map key that is no utf-8": b"\x92\xa1o\x81\xa2\xff\xfe\xa1x",
    "nothing": b"",
}


def test_every_decoder_of_the_wire_is_among_them() -> None:
    known = {decode for decode, *_ in DECODERS.values()}
    named = [(each, name) for each in (w, ow) for name in vars(each) if name.startswith("decode_")]
    assert len(named) > 10
    assert [name for module, name in named if getattr(module, name) not in known] == []


def read(name: str, raw: bytes) -> None:
    decode, error, head = DECODERS[name]
    with contextlib.suppress(error):
        decode(head + raw)


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=30)
@given(st.one_of(st.binary(max_size=120), envelopes.map(c.encode), messages.map(lambda each: m.encode(each)[1:])))
def test_a_decoder_reads_or_raises_its_own_error(name: str, raw: bytes) -> None:
    """Another error would end a connection's task, or the store."""
    read(name, raw)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("kind", NASTY)
def test_a_decoder_bears(name: str, kind: str) -> None:
    read(name, NASTY[kind])


@settings(max_examples=60)
@given(envelopes)
def test_a_command_reads_back(envelope: c.Envelope) -> None:
    assert c.decode(c.encode(envelope)) == envelope


@settings(max_examples=60)
@given(messages)
def test_a_message_reads_back(message: m.Message) -> None:
    assert m.decode(m.encode(message)) == message


@settings(max_examples=60)
@given(messages, st.data())
def test_a_message_with_any_byte_changed_reads_or_is_unreadable(message: m.Message, data: st.DataObject) -> None:
    raw = bytearray(m.encode(message))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(m.MessageUnreadable):
        m.decode(bytes(raw))


@settings(max_examples=40)
@given(st.lists(envelopes, max_size=8), st.lists(st.binary(max_size=60), max_size=3))
def test_members_that_apply_the_same_garbage_stay_equal(good: list[c.Envelope], bad: list[bytes]) -> None:
    """Any command that can be logged has a result, the same on every member."""
    raws = [*map(c.encode, good), *bad, *NASTY.values()]
    one, other = Machine(), Machine()
    assert [one.apply(raw) for raw in raws] == [other.apply(raw) for raw in raws]
    assert one.full_hash() == other.full_hash()


records = st.builds(Record, st.sampled_from((1, 2, 3, 4, 5)), st.just(1), numbers, numbers, st.binary(max_size=30))


@settings(max_examples=40)
@given(st.lists(records, min_size=1, max_size=5), st.binary(max_size=40))
def test_records_read_back_and_what_follows_them_is_cut(batch: list[Record], torn: bytes) -> None:
    raw = pack_batch(batch, 1)
    found = scan(raw + torn, name="log", batch=0, newest=True)
    assert (found.records, found.good, found.batch) == (batch, len(raw), 1)


@settings(max_examples=60)
@given(st.binary(max_size=300), st.booleans())
def test_a_log_of_garbage_is_damaged_or_has_nothing(raw: bytes, newest: bool) -> None:
    try:
        assert scan(raw, name="log", batch=0, newest=newest).good == 0
    except LogDamaged:
        assert raw


def block(packed: bytes) -> bytes:
    return struct.pack(">II", len(packed), crc32c.crc32c(packed)) + packed


@pytest.mark.parametrize("claimed", [BLOCK_BYTES_MAX + 1, 1 << 40, (1 << 64) - 3])
def test_a_block_that_says_it_is_huge_is_refused_before_it_is_unpacked(claimed: int) -> None:
    """zstandard sets aside what the head claims, whatever limit it is given."""
    frame = b"\x28\xb5\x2f\xfd" + b"\xe0" + struct.pack("<Q", claimed) + b"\x01\x00\x00"
    with pytest.raises(SnapshotDamaged, match="the limit is"):
        read_any_snapshot(MAGIC + block(frame))


def test_a_block_that_unpacks_to_more_than_it_may_hold_is_refused() -> None:
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(BLOCK_BYTES_MAX + 1))
    assert len(bomb) < 16_384
    with pytest.raises(SnapshotDamaged, match="the limit is"):
        read_any_snapshot(MAGIC + block(bomb))


@settings(max_examples=40)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(list(NASTY.values()))), max_size=4))
def test_whole_blocks_of_garbage_are_no_snapshot(plains: list[bytes]) -> None:
    """With right checksums: what another program wrote, or a member of ill will."""
    pack = zstandard.ZstdCompressor(level=1).compress
    with pytest.raises(SnapshotDamaged):
        read_any_snapshot(MAGIC + b"".join(block(pack(plain)) for plain in plains))
