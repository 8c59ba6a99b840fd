"""Transactions as etcd's requests: the caller's inside one that applies it once for its session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aetcd.rpc import rpc_pb2 as pb
from aetcd.rpc.kv_pb2 import KeyValue as EtcdKeyValue

from runtime.consensus import commands as c
from runtime.consensus.etcd.names import Names, digits, end_of
from runtime.consensus.keyspace import Keyspace
from runtime.consensus.store import Compare, Delete, Get, KeyValue, LeaseId, Operation, Put, Revision

SUCCEEDED: Final = b"1"
OTHERWISE: Final = b"0"
_RESULTS: Final = {
    "==": pb.Compare.EQUAL,
    "!=": pb.Compare.NOT_EQUAL,
    "<": pb.Compare.LESS,
    ">": pb.Compare.GREATER,
}


def guards(names: Names, txn: c.Txn, here: Keyspace) -> list[pb.Compare]:
    """etcd fails every comparison with the value of an absent key, where ours takes it as empty. Where that matters the
    request says what is expected to be there; it is made again when that is not so."""
    return [
        pb.Compare(
            key=names.key(each.key),
            target=pb.Compare.CREATE,
            result=pb.Compare.GREATER if here.get(each.key) else pb.Compare.EQUAL,
            create_revision=0,
        )
        for each in txn.compare
        if each.field == "value"
    ]


def expected(txn: c.Txn, here: Keyspace) -> c.Txn | None:
    """With comparisons of values of absent keys decided. None: one of them fails, so `otherwise` is what is done."""
    kept = []
    for each in txn.compare:
        if each.field != "value" or here.get(each.key) is not None:
            kept.append(each)
        elif not _holds_for_nothing(each):
            return None
    return c.Txn(tuple(kept), txn.then, txn.otherwise)


def _holds_for_nothing(compare: Compare) -> bool:
    return (compare.op == "==") == (compare.operand == b"") and compare.op != ">"


def plain(inner: pb.TxnRequest, guarded: Sequence[pb.Compare]) -> pb.TxnRequest:
    return pb.TxnRequest(compare=guarded, success=[pb.RequestOp(request_txn=inner)])


def once(names: Names, txn: c.Txn, envelope: c.Envelope, guarded: Sequence[pb.Compare]) -> pb.TxnRequest:
    """Does the transaction only while its session is known, has not settled the sequence, and has no result for it.

    The result is written in the same revision, by a branch that changes anything: one that only reads may be repeated.
    """
    session, result = names.session(envelope.session), names.result(envelope.session, envelope.sequence)
    notes = [
        _note(names, envelope, result, outcome)
        for outcome in (OTHERWISE if txn.then is txn.otherwise and txn.then else SUCCEEDED, OTHERWISE)
    ]
    inner = request(
        names, txn, *(note if _writes(ops) else [] for note, ops in zip(notes, (txn.then, txn.otherwise), strict=True))
    )
    return pb.TxnRequest(
        compare=[
            pb.Compare(key=session, target=pb.Compare.CREATE, result=pb.Compare.GREATER, create_revision=0),
            pb.Compare(
                key=session, target=pb.Compare.VALUE, result=pb.Compare.LESS, value=digits(envelope.sequence + 1)
            ),
            pb.Compare(key=result, target=pb.Compare.CREATE, result=pb.Compare.EQUAL, create_revision=0),
            *guarded,
        ],
        success=[pb.RequestOp(request_txn=inner)],
        failure=[pb.RequestOp(request_range=pb.RangeRequest(key=key)) for key in (result, session)],
    )


def _note(names: Names, envelope: c.Envelope, result: bytes, outcome: bytes) -> list[pb.RequestOp]:
    """The result, under the session's lease; those that are settled go, and stay refused."""
    session = names.session(envelope.session)
    found = [pb.RequestOp(request_put=pb.PutRequest(key=result, value=outcome, lease=envelope.session))]
    if envelope.settled:
        settled = names.result(envelope.session, envelope.settled)
        first = names.result(envelope.session, 0)
        forget = pb.DeleteRangeRequest(key=first, range_end=settled)
        raised = pb.TxnRequest(
            compare=[
                pb.Compare(key=session, target=pb.Compare.VALUE, result=pb.Compare.LESS, value=digits(envelope.settled))
            ],
            success=[
                pb.RequestOp(request_put=pb.PutRequest(key=session, value=digits(envelope.settled), ignore_lease=True)),
                pb.RequestOp(request_delete_range=forget),
            ],
        )
        found.append(pb.RequestOp(request_txn=raised))
    return found


def request(
    names: Names, txn: c.Txn, then: Sequence[pb.RequestOp] = (), otherwise: Sequence[pb.RequestOp] = ()
) -> pb.TxnRequest:
    return pb.TxnRequest(
        compare=[_compare(names, each) for each in txn.compare],
        success=[*(_operation(names, each) for each in txn.then), *then],
        failure=[*(_operation(names, each) for each in txn.otherwise), *otherwise],
    )


def _compare(names: Names, compare: Compare) -> pb.Compare:
    key, result = names.key(compare.key), _RESULTS[compare.op]
    match compare.field:
        case "value":
            return pb.Compare(key=key, result=result, target=pb.Compare.VALUE, value=compare.operand)
        case "version":
            return pb.Compare(key=key, result=result, target=pb.Compare.VERSION, version=compare.operand)
        case "create_revision":
            return pb.Compare(key=key, result=result, target=pb.Compare.CREATE, create_revision=compare.operand)
        case "mod_revision":
            return pb.Compare(key=key, result=result, target=pb.Compare.MOD, mod_revision=compare.operand)


def _operation(names: Names, operation: Operation) -> pb.RequestOp:
    key = names.key(operation.key)
    match operation:
        case Put():
            return pb.RequestOp(request_put=pb.PutRequest(key=key, value=operation.value, lease=operation.lease))
        case Delete():
            end = end_of(key) if operation.prefix else b""
            return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key, range_end=end))
        case Get():
            return pb.RequestOp(request_range=pb.RangeRequest(key=key))


def _writes(operations: Sequence[Operation]) -> bool:
    return any(not isinstance(operation, Get) for operation in operations)


def item_of(names: Names, found: EtcdKeyValue) -> KeyValue:
    """Of a key below the data prefix."""
    return KeyValue(
        key=found.key[len(names.data) :].decode(),
        value=found.value,
        create_revision=Revision(found.create_revision),
        mod_revision=Revision(found.mod_revision),
        version=found.version,
        lease=LeaseId(found.lease),
    )
