"""Admitting nodes: the cluster's half of the join exchange. Mounted by control at POST /v1/join."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from runtime.clock import Clock
from runtime.consensus.store import Operation, Put, Revision, Store, absent, unchanged
from runtime.names import NodeId, Sha256, is_name
from runtime.security.errors import JoinRefused
from runtime.security.join import (
    MESSAGE_BYTES_MAX,
    Envelope,
    JoinAnswer,
    JoinRequest,
    check_clock,
    seal,
    unseal,
)
from runtime.security.token import JoinSecret, is_public_part, recall
from runtime.state import keys
from runtime.state.values import Addresses, ClusterRecord, JoinGrant, JoinToken, NodeRecord, decode, encode

AddMember = Callable[[NodeId, str], Awaitable[None]]
"""(node, store address) → done when the store's group counts the node as a member."""

CONFLICTS_MAX: Final = 8  # simultaneous joins with one token; each loses to at most the others
MAKE_ANOTHER: Final = "Make a new one on the node that began the cluster: aether cluster token DIR"


async def handle_join(message: bytes, *, tls: Path, store: Store, add_member: AddMember, clock: Clock) -> bytes:
    """The signed answer for a node that may join. Raises SecurityFault (JoinRefused, NoAuthority, …) or StoreFault.

    A node whose answer was lost may send the same request again. A core node is also added to the store's group.
    """
    from runtime.security.authority import Authority

    authority = Authority.load(tls)
    token, request = _authenticated(message, lambda public: recall(authority, public))
    now_unix_ms = clock.unix_ms()
    if token.expires_unix_ms < now_unix_ms:
        raise JoinRefused("the join token has expired", MAKE_ANOTHER)
    check_clock(there_unix_ms=request.unix_ms, here_unix_ms=now_unix_ms)
    _check(request)
    certificate = authority.sign(request.signing_request.encode(), request.node, now_unix_ms=now_unix_ms)
    nodes = await _admit(store, token, request)
    answer = JoinAnswer(
        nonce=request.nonce,
        cluster_id=await _cluster_id(store),
        certificate=certificate.decode(),
        authority=authority.certificate_pem.decode(),
        core_nodes={record.node: record.addresses.store for record in nodes if record.role == "core"},
        unix_ms=now_unix_ms,
    )
    if request.role == "core":
        # Last of all: a group of one that becomes two decides nothing more until the new member runs.
        await add_member(request.node, request.addresses.store)
    return seal(token, "join answer", msgspec.json.encode(answer).decode())


def _authenticated(message: bytes, recalled: Callable[[str], JoinSecret]) -> tuple[JoinSecret, JoinRequest]:
    wrong = JoinRefused("the join token is wrong", MAKE_ANOTHER)
    try:
        if len(message) > MESSAGE_BYTES_MAX:
            raise JoinRefused("the join request is too long", "Use `aether node start --join`, which makes it.")
        envelope = msgspec.json.decode(message, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise JoinRefused("that is no join request", "Use `aether node start --join`, which makes it.") from None
    if not is_public_part(envelope.token):
        raise wrong
    token = recalled(envelope.token)
    body = unseal(token, "join request", message)
    if body is None:
        raise wrong
    try:
        return token, msgspec.json.decode(body, type=JoinRequest)
    except msgspec.DecodeError as error:
        raise JoinRefused(
            f"the join request cannot be read: {error}", "Run the same version of Aether on both nodes."
        ) from None


def _check(request: JoinRequest) -> None:
    for what, text in (("node id", request.node), ("zone", request.zone)):
        if not is_name(text):
            raise JoinRefused(
                f"{text!r} cannot be a {what}", "Use lower-case letters, digits and inner hyphens, at most 63."
            )
    if (request.role == "core") != bool(request.addresses.store):
        raise JoinRefused("a core node has a store address and a worker has none", "Start the node with --role again.")


async def _admit(store: Store, token: JoinSecret, request: JoinRequest) -> tuple[NodeRecord, ...]:
    """Records the node and the use of the token in one transaction. Returns the other nodes."""
    grant = JoinGrant(
        node=request.node, request_sha256=Sha256(hashlib.sha256(request.signing_request.encode()).hexdigest())
    )
    for _ in range(CONFLICTS_MAX):
        nodes = await _nodes(store)
        others = tuple(record for record in nodes if record.node != request.node)
        if len(others) < len(nodes):
            await _check_same(store, token, grant)
            return others
        _check_addresses(request.addresses, others)
        uses_left, revision = await _uses_left(store, token)
        if uses_left < 1:
            raise JoinRefused("the join token has been used up", MAKE_ANOTHER)
        record = NodeRecord(node=request.node, role=request.role, zone=request.zone, addresses=request.addresses)
        writes: list[Operation] = [
            Put(key=keys.node(request.node), value=encode(record)),
            Put(key=keys.join_token(token.id), value=encode(JoinToken(uses_left=uses_left - 1))),
            Put(key=keys.join_grant(token.id, request.node), value=encode(grant)),
        ]
        conditions = [absent(keys.node(request.node)), unchanged(keys.join_token(token.id), revision)]
        if (await store.txn(conditions, writes)).succeeded:
            return others
    raise JoinRefused("too many nodes join at once", "Try again in a moment.")


async def _check_same(store: Store, token: JoinSecret, grant: JoinGrant) -> None:
    """Passes when it is the same node asking again."""
    found = (await store.get(keys.join_grant(token.id, grant.node))).item
    if found is None or decode(found.value, JoinGrant) != grant:
        raise JoinRefused(f"the cluster already has a node {grant.node!r}", "Choose another id: --name ID.")


def _check_addresses(addresses: Addresses, others: tuple[NodeRecord, ...]) -> None:
    wanted = {addresses.http, addresses.api, addresses.peer, addresses.control, addresses.store} - {""}
    for record in others:
        theirs = record.addresses
        both = wanted & {theirs.http, theirs.api, theirs.peer, theirs.control, theirs.store}
        if both:
            raise JoinRefused(
                f"node {record.node!r} already has the address {min(both)}", "Choose other ports: --listen HOST:PORT."
            )


async def _nodes(store: Store) -> tuple[NodeRecord, ...]:
    found: list[NodeRecord] = []
    after = ""
    while True:
        page = await store.range(keys.NODES, after=after)
        found += [decode(item.value, NodeRecord) for item in page.items]
        if not page.more:
            return tuple(found)
        after = page.items[-1].key


async def _uses_left(store: Store, token: JoinSecret) -> tuple[int, Revision]:
    item = (await store.get(keys.join_token(token.id))).item
    return (token.uses, Revision(0)) if item is None else (decode(item.value, JoinToken).uses_left, item.mod_revision)


async def _cluster_id(store: Store) -> str:
    item = (await store.get(keys.CLUSTER)).item
    if item is None:
        raise JoinRefused("this cluster has not been recorded yet", "Wait until its first node is ready, then retry.")
    return decode(item.value, ClusterRecord).cluster_id
