"""What control says to its node's gateway, and what it hears back: the messages of the `_gateway/*` verbs."""

from __future__ import annotations

from typing import Final

import msgspec

from runtime.errors import RuntimeFault
from runtime.gateway.routes import Conflict
from runtime.invocation.table import InstanceRow

TABLE: Final = "_gateway/table"
"""RoutingTable → TableApplied. Returns once the table is in force and connections to its local workers stand."""
DRAIN: Final = "_gateway/drain"
"""DrainRequest → DrainReply. The gateway stays, but nothing new comes to it."""
STATS: Final = "_gateway/stats"
"""The log level in force → ProcessReport."""


class TableApplied(msgspec.Struct, frozen=True, array_like=True):
    """`unreachable` are local rows whose worker did not answer; they are tried again, and get no calls until then."""

    revision: int
    unreachable: tuple[InstanceRow, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


class DrainRequest(msgspec.Struct, frozen=True, array_like=True):
    limit_ms: int


class DrainReply(msgspec.Struct, frozen=True, array_like=True):
    finished: bool  # False: the limit came first, and what was in progress then was ended


class TableStale(RuntimeFault):
    """A table older than the one in force, from a control that has been replaced."""

    code = "table_stale"
    remedy = "read the state again and push the table as of now"


class TableMisdirected(RuntimeFault):
    """A table made for another node."""

    code = "table_misdirected"
    remedy = "push each node's table to that node's own gateway"


class RequestUnreadable(RuntimeFault):
    """Bytes that are not the verb's request."""

    code = "request_unreadable"
    remedy = "send the verb's request as msgpack; control and gateway must be of one version"
