"""The Store protocol's messages between a client and a store process."""

from __future__ import annotations

from typing import Final

import msgspec

from runtime.consensus.commands import Applied, Envelope
from runtime.consensus.decoding import decoder
from runtime.consensus.store import (
    NOW,
    RANGE_LIMIT_MAX,
    GetResult,
    Leadership,
    RangeResult,
    Revision,
    StoreStatus,
)

GET: Final = "store/get"
RANGE: Final = "store/range"
COMMAND: Final = "store/command"
WATCH: Final = "store/watch"
LEADERSHIP: Final = "store/leadership"
STATUS: Final = "store/status"
ADD_MEMBER: Final = "store/add-member"
REMOVE_MEMBER: Final = "store/remove-member"
MEMBERS: Final = "store/members"
RAFT: Final = "raft/message"

FORWARDED: Final = "forwarded"
"""The principal of a request that one store handed to another: it is not handed on again."""


class GetRequest(msgspec.Struct, frozen=True, array_like=True):
    key: str
    stale_ok: bool = False
    at_revision: Revision = NOW


class RangeRequest(msgspec.Struct, frozen=True, array_like=True):
    prefix: str
    after: str = ""
    limit: int = RANGE_LIMIT_MAX
    stale_ok: bool = False
    at_revision: Revision = NOW


class WatchRequest(msgspec.Struct, frozen=True, array_like=True):
    prefixes: tuple[str, ...]
    from_revision: Revision


class MemberRequest(msgspec.Struct, frozen=True, array_like=True):
    """`address` is where the member's store listens, needed only to add one. With `rises` it gets a vote by itself."""

    node: str
    address: str = ""
    rises: bool = True


class Members(msgspec.Struct, frozen=True, array_like=True):
    """Node id → store address of every member."""

    addresses: dict[str, str]


encode: Final = msgspec.msgpack.Encoder().encode
decode_get: Final = decoder(GetRequest)
decode_range: Final = decoder(RangeRequest)
decode_command: Final = decoder(Envelope)
decode_watch: Final = decoder(WatchRequest)
decode_member: Final = decoder(MemberRequest)
decode_members: Final = decoder(Members)
decode_got: Final = decoder(GetResult)
decode_page: Final = decoder(RangeResult)
decode_applied: Final = decoder(Applied)
decode_status: Final = decoder(StoreStatus)
decode_leadership: Final = decoder(Leadership)
