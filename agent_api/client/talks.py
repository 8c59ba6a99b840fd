"""What one can do with the API, each as a sequence of steps; the sync and the async client carry them out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from agent_api.catalogue import make_catalogue
from agent_api.client.answers import AppliedChange, ShownProposal, body_of, decoded, outcome_of, proposal_of
from agent_api.client.errors import ApiRefused, ApiUnreachable, KeyUnusable, WaitedInVain
from agent_api.client.exchange import AddressBook, Pause, Retry, Talk, exchange
from agent_api.client.message import CHANGE_TIMEOUT_S, JSON, HttpReply, HttpRequest
from agent_api.client.requests import (
    ChangeOptions,
    Members,
    change_request,
    checked,
    new_key,
    query_request,
    submission,
)
from agent_api.client.uploads import Wheel, model_request, upload_request
from controllers.gate.proposals import Proposal
from runtime.operations.catalogue import Catalogue, OperationUnknown
from runtime.operations.dispatch import Planned, Proposed
from runtime.operations.operation import AnyQuery, Query, Result

WAIT_S_MAX: Final = 30.0  # of one request; a longer wait is several, under one idempotency key
LOOKS_S: Final = (0.1, 0.2, 0.4, 0.8, 1.0)  # between looks at a proposal; the last one over and over

Outcome = AppliedChange | Planned | Proposed
Verb = Literal["approve", "reject", "withdraw"]


class Talks:
    """`catalogue` is what operations are looked up in; `key` is a principal's API key, or empty. Raises KeyUnusable, or
    ApiUnreachable where no address is given."""

    def __init__(
        self, addresses: Iterable[str], *, key: str = "", retry: Retry | None = None, catalogue: Catalogue | None = None
    ) -> None:
        if not (key.isascii() and key.isprintable()):
            raise KeyUnusable("the key has characters that no key has, such as a line's end")
        self.book = AddressBook(addresses)
        self.catalogue = catalogue or make_catalogue()
        self.retry = retry or Retry()
        self._key = key

    # requests

    def submit(self, operation: str, members: Members, options: ChangeOptions) -> Talk[Outcome]:
        change = self.catalogue.change(operation)
        plain = checked(change, members)
        return (yield from self._submitted(partial(change_request, change, plain), options))

    def _submitted(self, request: Callable[..., HttpRequest], options: ChangeOptions) -> Talk[Outcome]:
        """Again under the same key while there is time left to wait in, and it has not taken hold."""
        asked, left_s = replace(options, idempotency_key=options.idempotency_key or new_key()), options.wait_s
        while True:
            wait_s = min(left_s, WAIT_S_MAX)
            outcome = outcome_of((yield from self.send(request(asked, wait_s=wait_s))))
            left_s -= wait_s
            if left_s <= 0 or not isinstance(outcome, AppliedChange) or outcome.converged is not False:
                return outcome

    def ask(self, operation: str, members: Members) -> Talk[Result]:
        return decoded((yield from self.answer(operation, members)), self.query(operation).result)

    def answer(self, operation: str, members: Members) -> Talk[bytes]:
        """What a question was answered, as JSON."""
        query = self.query(operation)
        return body_of((yield from self.send(query_request(query, checked(query, members)))))

    def page(self, operation: str, members: Members) -> Talk[tuple[Result, str]]:
        """One page of a list, and the cursor of the next; empty on the last."""
        result = yield from self.ask(operation, members)
        return result, cursor_behind(members, getattr(result, "next", ""))

    def document(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Talk[dict[str, object]]:
        """Of a route by its address; only a GET is repeated."""
        headers, raw = ({"content-type": JSON}, msgspec.json.encode(body)) if body is not None else ({}, b"")
        request = HttpRequest(method=method, path=path, body=raw, headers=headers, repeatable=method == "GET")
        return decoded(body_of((yield from self.send(request))), dict[str, object])

    def send(self, request: HttpRequest) -> Talk[HttpReply]:
        return (yield from exchange(self.book, self.with_key(request), self.retry))

    def with_key(self, request: HttpRequest) -> HttpRequest:
        if not self._key:
            return request
        return replace(request, headers={**request.headers, "authorization": f"Bearer {self._key}"})

    def query(self, operation: str) -> AnyQuery:
        """Raises OperationUnknown."""
        found = self.catalogue.find(operation)
        if not isinstance(found, Query):
            raise OperationUnknown(f"{operation} is a change: submit it")
        return found

    def stream_pause_s(self, rounds: int, fault: ApiUnreachable | ApiRefused) -> float | None:
        """Before a stream is asked for again that broke so often in a row; None to give up."""
        passes = isinstance(fault, ApiUnreachable) or fault.retryable
        if not passes or rounds > len(self.retry.pauses_s) * len(self.book):
            return None
        return self.retry.pauses_s[(rounds - 1) // len(self.book)] * (1 - self.retry.chance() / 2)

    # proposals

    def proposal(self, identity: str) -> Talk[Proposal]:
        return proposal_of((yield from self.send(_get(_proposal(identity)))))

    def decide(self, identity: str, verb: Verb, reason: str) -> Talk[Proposal]:
        """A repeated vote replaces the first one; where that ended the proposal already, its end is the answer."""
        request = _post(_proposal(identity, verb), {"reason": reason}, repeatable=True)
        reply = yield from self.send(request)
        fault = reply.fault()
        if fault is not None and fault.code == "proposal_ended" and reply.repeated:
            return (yield from self.proposal(identity))
        return proposal_of(reply)

    def rollback(self, identity: str, options: ChangeOptions) -> Talk[Outcome]:
        path, body = _proposal(identity, "rollback"), {"reason": options.reason}
        return (yield from self._submitted(partial(submission, "POST", path, body), options))

    def undo(self, audit: str, options: ChangeOptions) -> Talk[Outcome]:
        path, body = f"/v1/audit/{quote(audit, safe='')}/rollback", {"reason": options.reason}
        return (yield from self._submitted(partial(submission, "POST", path, body), options))

    def shown(self, identity: str) -> Talk[ShownProposal]:
        return decoded(body_of((yield from self.send(_get(_proposal(identity))))), ShownProposal)

    def decided(self, identity: str, timeout_s: float) -> Talk[Proposal]:
        """The proposal once it waits no more. Raises WaitedInVain."""
        return (yield from self._until(identity, timeout_s, lambda shown: not shown.proposal.waits))

    def settled(self, identity: str, timeout_s: float) -> Talk[Proposal]:
        """The proposal once it has ended, and what was applied has taken hold. Raises WaitedInVain."""
        return (yield from self._until(identity, timeout_s, lambda shown: shown.is_settled))

    def _until(self, identity: str, timeout_s: float, done: Callable[[ShownProposal], bool]) -> Talk[Proposal]:
        waited_s, looks = 0.0, 0
        while True:
            shown = yield from self.shown(identity)
            if done(shown):
                return shown.proposal
            if waited_s >= timeout_s:
                missing = f": {shown.waits_for}" if shown.waits_for else ""
                state = f"still {shown.proposal.state}" if shown.proposal.waits else "applied, but has not taken hold"
                raise WaitedInVain(f"proposal {identity} is {state} after {timeout_s:g} s{missing}")
            pause_s = min(LOOKS_S[min(looks, len(LOOKS_S) - 1)], timeout_s - waited_s)
            yield Pause(seconds=pause_s)
            waited_s, looks = waited_s + pause_s, looks + 1

    # the cluster

    def upload(self, wheel: Wheel, options: ChangeOptions) -> Talk[Outcome]:
        return (yield from self._submitted(partial(upload_request, wheel), options))

    def upload_model(self, model: Wheel, options: ChangeOptions) -> Talk[Outcome]:
        return (yield from self._submitted(partial(model_request, model), options))

    def learn(self) -> Talk[tuple[str, ...]]:
        """All nodes' API addresses, asked from now on when those known before do not answer."""
        document = yield from self.document("GET", "/v1/nodes")
        rows = document.get("nodes", document.get("items"))
        nodes = msgspec.convert(rows, list[_Node])
        self.book.learn(node.addresses.api for node in nodes if node.addresses.api)
        return tuple(self.book)


class _Addresses(msgspec.Struct):
    api: str = ""


class _Node(msgspec.Struct):
    addresses: _Addresses = msgspec.field(default_factory=_Addresses)


def cursor_behind(asked: Members, told: object) -> str:
    """Of the page behind one that was asked for; empty on the last. A list that grows (events) always tells where it
    ends, so that it can be asked again later: what leads nowhere on is its end for now."""
    return "" if not told or told == asked.get("cursor") else str(told)


def _proposal(identity: str, *verb: str) -> str:
    return "/".join(("/v1/proposals", quote(identity, safe=""), *verb))


def _get(path: str) -> HttpRequest:
    return HttpRequest(method="GET", path=path, repeatable=True)


def _post(path: str, body: Mapping[str, object], *, repeatable: bool) -> HttpRequest:
    return HttpRequest(
        method="POST",
        path=path,
        body=msgspec.json.encode(body),
        headers={"content-type": JSON},
        timeout_s=CHANGE_TIMEOUT_S,
        repeatable=repeatable,
    )
