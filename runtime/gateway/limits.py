"""What one gateway takes at most, and how long it waits: every number with its reason."""

from __future__ import annotations

from typing import Final

import msgspec

KIB: Final = 1024
MIB: Final = 1024 * KIB


class GatewayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The defaults keep a gateway under attack below about 150 MiB and answer honest clients within seconds."""

    body_bytes_max: int = 4 * MIB  # one request's body; four times a frame, a quarter of a message
    bodies_bytes_max: int = 64 * MIB  # all unfinished bodies together: 16 of the largest
    head_bytes_max: int = 32 * KIB  # request line and headers; twice what browsers with large cookies send
    target_bytes_max: int = 8 * KIB  # path and query, as RFC 9110 recommends to support at least
    headers_max: int = 100
    connections_max: int = 8_192  # 8 KiB of state each; below the usual 16 Ki descriptors
    requests_in_flight_max: int = 4_096  # about 20 ms of work at 50 µs a call and 200 ms of waiting behind it
    pipelined_max: int = 64  # requests read ahead on one connection before it is no longer read
    head_timeout_s: float = 10.0  # from the first byte of a head to its last
    body_timeout_s: float = 20.0  # between two pieces of a body
    request_timeout_s: float = 120.0  # a whole request, however steadily it drips
    keep_alive_s: float = 75.0  # idle between requests; above the 60 s that load balancers keep
    write_timeout_s: float = 20.0  # a client that reads nothing of its reply
    retry_after_s: int = 1  # what a 503 advises; an instance is back within about this
    drain_s: float = 10.0  # what calls in flight get before a leaving gateway ends them
