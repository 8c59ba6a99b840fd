"""Who belongs to the group: voters and learners, as the log says. One change at a time, learners first."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from runtime.consensus.errors import InvalidRequest
from runtime.consensus.raft.core import MEMBERSHIP, EntryT

MEMBERS_MAX: Final = 9  # five or seven voters are the most that make sense; the rest is room for replacing them


class Peer(msgspec.Struct, frozen=True):
    """A learner receives the log and counts for nothing; with `rises` it gets a vote once it has caught up."""

    address: str
    votes: bool = True
    rises: bool = True


Members = dict[str, Peer]


class Change(msgspec.Struct, frozen=True, array_like=True):
    """`add` makes a learner, `promote` gives it a vote, `remove` ends its membership."""

    kind: Literal["add", "promote", "remove"]
    node: str
    address: str = ""
    rises: bool = True


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Change).decode


def encode_change(change: Change) -> bytes:
    return _encode(change)


def change_of(entry: EntryT) -> Change | None:
    """The change that an entry makes; None for every other entry."""
    return _decode(entry[0][1:]) if entry[0][:1] == bytes((MEMBERSHIP,)) else None


def changed(members: Members, change: Change) -> Members:
    """What the members are after it. A change that changes nothing is no error: logs are replayed."""
    after = dict(members)
    if change.kind == "add" and change.node not in after:
        after[change.node] = Peer(change.address, votes=False, rises=change.rises)
    elif change.kind == "promote" and change.node in after:
        after[change.node] = Peer(after[change.node].address, votes=True)
    elif change.kind == "remove":
        after.pop(change.node, None)
    return after


def check_change(members: Members, change: Change) -> None:
    """Raises InvalidRequest for what a group must not do to itself."""
    known = members.get(change.node)
    if change.kind == "add":
        if known is not None and known.address != change.address:
            raise InvalidRequest(f"{change.node} is a member at {known.address}; remove it first")
        if known is None and len(members) >= MEMBERS_MAX:
            raise InvalidRequest(f"the group has {MEMBERS_MAX} members, which is the most")
        if known is None and any(peer.address == change.address for peer in members.values()):
            raise InvalidRequest(f"another member has the address {change.address}")
    elif known is None:
        raise InvalidRequest(f"{change.node} is not a member; there are {', '.join(sorted(members))}")
    elif change.kind == "remove" and known.votes and voters(members) == {change.node}:
        raise InvalidRequest(f"{change.node} is the only voter; without it there is no group")


def voters(members: Members) -> set[str]:
    return {node for node, peer in members.items() if peer.votes}


def quorum(members: Members) -> int:
    """How many voters decide."""
    return len(voters(members)) // 2 + 1
