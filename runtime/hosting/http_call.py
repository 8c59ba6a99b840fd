"""One HTTP call inside a worker: the request's parts into arguments, the result or error into an HTTP reply."""

from __future__ import annotations

from typing import Final

import msgspec

from runtime.hosting.errors import ArgumentsInvalid, BodyMalformed, CallFailed, DependencyUnavailable
from runtime.hosting.http_plan import RoutePlan
from runtime.hosting.instance import Outcome, ServedMethod, outcome_of, run
from runtime.hosting.method_plan import ReplyTypeWrong
from runtime.hosting.problems import domain_reply, fault_reply
from runtime.invocation.errors import DeadlineExceeded
from runtime.invocation.http import HttpReply, HttpRequest
from runtime.sdk.domain import DomainError

_REQUEST: Final = msgspec.msgpack.Decoder(HttpRequest)


async def http_reply(served: ServedMethod, payload: bytes, request_id: str) -> tuple[HttpReply, Outcome]:
    """The reply and how it counts. Raises CancelledError alone: every other failure is a reply."""
    try:
        route, request = _request(served, payload)
        value = await run(served, route.arguments(request))
        return route.reply(value), "ok"
    except (ArgumentsInvalid, BodyMalformed) as fault:
        return fault_reply(fault, request_id), "ok"
    except DomainError as error:
        return domain_reply(error, request_id), outcome_of(error)
    except (CallFailed, DependencyUnavailable, DeadlineExceeded) as fault:
        return fault_reply(fault, request_id), "error"
    except ReplyTypeWrong as error:
        return fault_reply(served.instance.internal(served.plan.reading.name, error), request_id), "error"


def _request(served: ServedMethod, payload: bytes) -> tuple[RoutePlan, HttpRequest]:
    """Raises ArgumentsInvalid for what no gateway with this slice's contract sends."""
    try:
        request = _REQUEST.decode(payload)
    except msgspec.DecodeError as error:
        raise ArgumentsInvalid(f"the request is malformed: {error}") from None
    if not 0 <= request.route < len(served.routes):
        raise ArgumentsInvalid(f"{served.plan.reading.name} has no route {request.route}")
    route = served.routes[request.route]
    if len(request.path) != route.path_count:
        raise ArgumentsInvalid(f"the route has {route.path_count} path parameters, not {len(request.path)}")
    return route, request
