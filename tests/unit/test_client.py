"""The client's promises, over real sockets: what is sent again, where, under which key, and what is not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from typing import Final

import pytest

from agent_api.client import AsyncClient, Client
from agent_api.client.answers import AppliedChange, body_of
from agent_api.client.asynchronous import AsyncPendingChange
from agent_api.client.client import PendingChange
from agent_api.client.errors import ApiRefused, ApiUnreachable, RequestInvalid, WaitedInVain
from agent_api.client.exchange import AddressBook, Pause, Retry, Send, Talk, exchange
from agent_api.client.message import HttpReply, HttpRequest, Unreached
from agent_api.client.requests import ChangeOptions
from agent_api.client.sse import Event
from controllers.gate.proposals import ProposalState
from runtime.operations.catalogue import OperationUnknown
from runtime.operations.dispatch import Planned
from tests.unit.api_stub import Asked, Reply, StubApi, applied, closed_port, problem, proposal, proposed

QUICK: Final = Retry(pauses_s=(0.001,) * 4)
SLICES: Final = Reply({"revision": 3, "stale": False, "slices": [], "next": ""})
SCALE: Final = {"slice": "orders", "instances": 5}


class Either:
    """Runs the same call by the sync and by the async client."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __call__(self, *addresses: str, work: Callable[[Client], object], key: str = "") -> object:
        if self._kind == "sync":
            with Client(*addresses, key=key, retry=QUICK) as client:
                return work(client)

        async def run() -> object:
            client = AsyncClient(*addresses, key=key, retry=QUICK)
            return await work(client)  # type: ignore[arg-type,misc]  # the same names, awaited

        return asyncio.run(run())


@pytest.fixture(params=["sync", "async"])
def either(request: pytest.FixtureRequest) -> Either:
    return Either(request.param)


def test_a_read_goes_on_at_another_address_when_a_node_is_gone(either: Either) -> None:
    with closed_port() as gone, StubApi(SLICES).serving() as api:
        page = either(gone, api.address, work=lambda client: client.slice.list())
        assert page.items == ()  # type: ignore[attr-defined]
        assert [each.path for each in api.asked] == ["/v1/slices"]


def test_a_change_whose_answer_was_lost_is_repeated_under_its_key(either: Either) -> None:
    """Without the key the repetition would change twice; without the repetition the caller would not know."""
    with StubApi(Reply(breaks=True), applied(repeated=True)).serving() as api:
        outcome = either(api.address, work=lambda client: client.slice.scale(slice="orders", instances=5))
    assert isinstance(outcome, AppliedChange)
    assert outcome.repeated
    first, second = api.asked
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] != ""
    assert first.body == second.body == b'{"instances":5}'


def test_two_changes_have_two_keys(either: Either) -> None:
    with StubApi(applied()).serving() as api:
        for _ in range(2):
            either(api.address, work=lambda client: client.submit("slice.scale", SCALE))
    assert len({each.headers["idempotency-key"] for each in api.asked}) == 2


def test_what_may_not_be_repeated_is_sent_once(either: Either) -> None:
    with StubApi(Reply(breaks=True)).serving() as api:
        upload = HttpRequest(method="POST", path="/v1/artifacts", body=b"x")
        with pytest.raises(ApiUnreachable) as raised:
            either(api.address, work=lambda client: client.request(upload))
    assert raised.value.sent
    assert len(api.asked) == 1


def test_a_refusal_that_comes_before_all_was_sent_is_told_as_such(either: Either) -> None:
    """Who may not upload is sent away at once; a broken pipe would not tell why."""
    api = StubApi(problem("unauthorized", status=401), hasty=True)
    with api.serving():
        upload = HttpRequest(
            method="POST",
            path="/v1/artifacts",
            body=[b"x" * 65_536] * 400,
            headers={"content-length": str(400 * 65_536)},
        )
        with pytest.raises(ApiRefused, match="unauthorized"):
            either(api.address, work=lambda client: client.perform(refused_if_any(client, upload)))


def refused_if_any(client: Client, request: HttpRequest) -> Talk[bytes]:
    return body_of((yield from client.talks.send(request)))


def test_what_passes_is_asked_again_and_what_does_not_is_told_at_once(either: Either) -> None:
    with StubApi(problem("not_leader", status=503, retryable=True), applied()).serving() as api:
        either(api.address, work=lambda client: client.submit("slice.scale", SCALE))
        assert len(api.asked) == 2
    refused = problem("out_of_bounds", detail="5 is outside 2 to 4", remedy="Stay within.")
    with StubApi(refused).serving() as api, pytest.raises(ApiRefused) as raised:
        either(api.address, work=lambda client: client.submit("slice.scale", SCALE))
    fault = raised.value
    assert (fault.code, fault.status, fault.retryable, str(fault)) == (
        "out_of_bounds",
        409,
        False,
        "5 is outside 2 to 4",
    )
    assert fault.problem()["remedy"] == "Stay within."
    assert len(api.asked) == 1


def test_it_gives_up_with_the_last_words_of_the_cluster(either: Either) -> None:
    with (
        StubApi(problem("no_quorum", status=503, retryable=True)).serving() as api,
        pytest.raises(ApiRefused) as raised,
    ):
        either(api.address, work=lambda client: client.slice.list())
    assert raised.value.code == "no_quorum"
    assert len(api.asked) == 1 + len(QUICK.pauses_s)


def test_nobody_listening_is_told_soon(either: Either) -> None:
    with closed_port() as gone, pytest.raises(ApiUnreachable) as raised:
        either(gone, work=lambda client: client.slice.list())
    assert not raised.value.sent


def test_options_and_members_are_told_apart(either: Either) -> None:
    plan = {
        "outcome": "planned",
        "operation": "slice.scale",
        "subject": "slice:orders",
        "summary": "orders: 2 -> 5",
        "diff": [],
        "blast": {},
        "inverse": None,
        "estimated_ms": 0,
        "gate_class": "G0",
        "decision": "act",
        "rule": "r",
        "approvers": "nobody",
        "effect": "e",
        "revision": 4,
    }
    with StubApi(Reply(plan)).serving() as api:
        outcome = either(
            api.address,
            key="ae_secret",
            work=lambda client: client.slice.scale(
                slice="orders",
                instances=5,
                dry_run=True,
                reason="peak at 9",
                guard="errors_share>0.05@300",
                evidence=("a", "b"),
                if_match=12,
            ),
        )
    assert isinstance(outcome, Planned)
    (asked,) = api.asked
    assert asked.path == (
        "/v1/slices/orders/scale?dry_run=true&reason=peak+at+9&guard=errors_share%3E0.05%40300&evidence=a&evidence=b"
    )
    assert asked.headers["if-match"] == '"12"'
    assert asked.headers["authorization"] == "Bearer ae_secret"


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda client: client.slice.scale(slice="orders", instanecs=5), "instances"),
        (lambda client: client.slice.scale(slice="orders", instances="five"), "int"),
        (lambda client: client.slice.scale(slice="", instances=5), "slice"),
        (lambda client: client.incident.open(subject="cluster", why="\udcff"), "UTF-8"),
        (lambda client: list(client.say("scale orders to \udcff")), "UTF-8"),
    ],
)
def test_a_wrong_request_is_refused_before_it_is_sent(call: Callable[[Client], object], hint: str) -> None:
    with StubApi(applied()).serving() as api, Client(api.address) as client:
        with pytest.raises(RequestInvalid, match=hint):
            call(client)
        assert api.asked == []


def test_unknown_operations_are_told_with_the_nearest() -> None:
    client = Client("127.0.0.1:1")
    with pytest.raises(OperationUnknown, match=r"slice\.scale"):
        client.slice.scael(slice="orders")  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="slice"):
        client.slices.list()  # type: ignore[attr-defined]


def test_a_long_wait_is_several_under_one_key(either: Either) -> None:
    """The server ends each wait; a fresh key would make the change again."""
    not_yet = applied(converged=False, waits_for="3 of 5 instances of orders serve")
    with StubApi(not_yet, applied(converged=True, repeated=True)).serving() as api:
        outcome = either(
            api.address, work=lambda client: client.submit("slice.scale", SCALE, ChangeOptions(wait_s=45.0))
        )
    assert isinstance(outcome, AppliedChange)
    assert outcome.converged
    assert [each.headers["prefer"] for each in api.asked] == ["wait=30", "wait=15"]
    assert len({each.headers["idempotency-key"] for each in api.asked}) == 1


def test_a_wait_that_was_in_vain_is_told(either: Either) -> None:
    with StubApi(applied(converged=False, waits_for="much")).serving() as api:
        outcome = either(
            api.address, work=lambda client: client.submit("slice.scale", SCALE, ChangeOptions(wait_s=1.0))
        )
    assert isinstance(outcome, AppliedChange)
    assert (outcome.converged, outcome.waits_for) == (False, "much")


def test_a_proposal_is_followed_to_its_end(either: Either, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_api.client.talks.LOOKS_S", (0.001,))
    stages = iter([("pending", None), ("approved", None), ("applied", False), ("applied", True)])

    def answer(asked: Asked) -> Reply:
        if asked.method == "PUT":
            return proposed()
        state, converged = next(stages)
        return Reply({"proposal": proposal(state), "live": True, "converged": converged})

    def work(client: Client) -> object:
        pending = client.submit("slice.scale", SCALE)
        assert isinstance(pending, PendingChange)
        return pending.wait(10.0)

    async def awaited(client: AsyncClient) -> object:
        pending = await client.submit("slice.scale", SCALE)
        assert isinstance(pending, AsyncPendingChange)
        return await pending.wait(10.0)

    with StubApi(answer=answer).serving() as api:
        ended = either(api.address, work=work if either._kind == "sync" else awaited)  # type: ignore[arg-type]
    assert ended.state is ProposalState.APPLIED  # type: ignore[attr-defined]
    assert next(stages, None) is None, "until it has taken hold"


def test_waiting_for_what_does_not_take_hold_ends_and_says_what_is_missing(either: Either) -> None:
    reply = Reply({"proposal": proposal("applied"), "converged": False, "waits_for": "2 of 5 serve"})
    with (
        StubApi(reply).serving() as api,
        pytest.raises(WaitedInVain, match=r"not taken hold after .*: 2 of 5 serve"),
    ):
        either(api.address, work=lambda client: client.perform(client.talks.settled("p1", 0.01)))


def test_waiting_for_a_decision_ends(either: Either) -> None:
    with (
        StubApi(Reply({"proposal": proposal("pending")})).serving() as api,
        pytest.raises(WaitedInVain, match="pending"),
    ):
        either(api.address, work=lambda client: client.perform(client.talks.decided("p1", 0.01)))


def test_a_vote_whose_answer_was_lost_is_not_told_as_refused(either: Either) -> None:
    """The first one was counted and ended the proposal; the repeated one finds it ended."""

    def answer(asked: Asked) -> Reply:
        if asked.method == "GET":
            return Reply({"proposal": proposal("applied", votes=1)})
        return Reply(breaks=True) if len(api.asked) == 1 else problem("proposal_ended")

    api = StubApi(answer=answer)
    with api.serving():
        voted = either(api.address, work=lambda client: client.approve("p1", "fine"))
    assert voted.state is ProposalState.APPLIED  # type: ignore[attr-defined]
    with StubApi(problem("proposal_ended")).serving() as ended, pytest.raises(ApiRefused):
        either(ended.address, work=lambda client: client.approve("p1"))


def test_other_addresses_are_learnt_from_the_cluster(either: Either) -> None:
    nodes = {"nodes": [{"node": "n2", "addresses": {"api": "127.0.0.1:9"}}, {"node": "n3", "addresses": {}}]}
    with StubApi(Reply(nodes)).serving() as api:
        known = either(api.address, work=lambda client: client.learn())
    assert known == (api.address, "127.0.0.1:9")


def test_pages_are_walked_to_the_last() -> None:
    page = {"revision": 1, "slices": [], "next": "c2"}
    with StubApi(Reply(page), Reply({**page, "next": ""})).serving() as api, Client(api.address) as client:
        assert len(list(client.pages("slice.list", {"limit": 1}))) == 2
    assert [each.path for each in api.asked] == ["/v1/slices?limit=1", "/v1/slices?cursor=c2&limit=1"]


def test_the_walk_ends_where_a_list_that_grows_ends_for_now() -> None:
    """Of events `next` is never empty: it is where to ask again later."""
    page = {"revision": 9, "events": [{"id": "9.0", "event": "NodeJoined", "data": {}}], "next": "9.0"}
    with StubApi(Reply(page), Reply({**page, "events": []})).serving() as api, Client(api.address) as client:
        assert [len(each.items) for each in client.pages("event.list", {})] == [1, 0]  # type: ignore[attr-defined]
    assert [each.path for each in api.asked] == ["/v1/events", "/v1/events?cursor=9.0"]


def stream(*pieces: bytes) -> Reply:
    """An answer in chunks, cut where the pieces end, and broken off behind the last."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in pieces)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return Reply(raw=head + chunks)


@contextmanager
def followed(kind: str, address: str, other: str, count: int) -> Iterator[list[Event]]:
    found: list[Event] = []
    if kind == "sync":
        with ExitStack() as stack:
            client = stack.enter_context(Client(address, other, retry=QUICK))
            events = client.events(after="1.0")
            stack.callback(events.close)  # type: ignore[attr-defined]  # a generator's
            found += [next(events) for _ in range(count)]
            yield found
        return

    async def run() -> None:
        async with AsyncExitStack() as stack:
            events = AsyncClient(address, other, retry=QUICK).events(after="1.0")
            stack.push_async_callback(events.aclose)  # type: ignore[attr-defined]
            found.extend([await anext(events) for _ in range(count)])

    asyncio.run(run())
    yield found


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_stream_that_breaks_goes_on_behind_the_last_event_on_another_node(kind: str) -> None:
    """What was told half is told again; nothing is told twice, and nothing is left out."""
    first = stream(
        b"id: 2.0\neve", b'nt: A\ndata: {"x": 1}\n', b'\n: still here\n\nid: 3.0\nevent: B\ndata: {"x": 2}\n'
    )
    second = stream(b'id: 3.0\nevent: B\ndata: {"x": 2}\n\nid: 9.0\nevent: reset\ndata: {"revision": 9}\n\n')
    with StubApi(first).serving() as api, StubApi(second).serving() as other:
        with followed(kind, api.address, other.address, 3) as events:
            assert [(each.id, each.name, each.data) for each in events] == [
                ("2.0", "A", {"x": 1}),
                ("3.0", "B", {"x": 2}),
                ("9.0", "reset", {"revision": 9}),
            ]
        assert api.asked[0].headers["last-event-id"] == "1.0"
        assert other.asked[0].headers["last-event-id"] == "2.0"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_stream_that_is_refused_says_so(kind: str) -> None:
    with StubApi(problem("unauthorized", status=401)).serving() as api:  # noqa: SIM117
        with pytest.raises(ApiRefused, match="unauthorized"), followed(kind, api.address, api.address, 1):
            pass


@pytest.mark.parametrize("head", [b"content-length: 90\r\n", b""])
def test_an_answer_that_is_too_long_is_no_shorter_one(
    either: Either, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export of the audit that was cut off looked like the whole."""
    for wire in ("sync_wire", "async_wire"):
        monkeypatch.setattr(f"agent_api.client.{wire}.ANSWER_BYTES_MAX", 64)
    raw = b"HTTP/1.1 200 OK\r\n" + head + b"connection: close\r\n\r\n" + b"{" + b" " * 89
    with StubApi(Reply(raw=raw)).serving() as api:  # noqa: SIM117
        with pytest.raises(ApiUnreachable, match="64"):
            either(api.address, work=lambda client: client.slice.list())


def test_pauses_grow_and_are_jittered_and_end() -> None:
    """Without jitter all clients of a leader that died come back together."""
    low, high = (Retry(pauses_s=(0.1, 0.4), chance=lambda part=part: part) for part in (1.0, 0.0))  # type: ignore[misc]
    passing = HttpReply(status=503, headers={"retry-after": "2"}, body=b'{"code": "x", "retryable": true}')
    silent = Unreached(cause="x", sent=False)
    assert [low.pause_s(rounds, silent) for rounds in (1, 2)] == [0.05, None]
    assert high.pause_s(1, silent) == 0.1
    assert high.pause_s(1, passing) == 2.0
    assert high.pause_s(3, passing) is None


def test_every_address_is_tried_before_a_pause() -> None:
    book = AddressBook(["http://a:1/", "b:2", "a:1"])
    talk = exchange(book, HttpRequest(method="GET", path="/", repeatable=True), QUICK)
    steps = [next(talk)]
    with pytest.raises(ApiUnreachable):
        while True:
            steps.append(talk.send(None if isinstance(steps[-1], Pause) else Unreached(cause="refused", sent=False)))
    told = [f"{each.address}{each.request.path}" if isinstance(each, Send) else "pause" for each in steps]
    assert told[:2] == ["a:1/health/live", "b:2/health/live"]
    assert told[2:] == ["a:1/", "b:2/", "pause", "a:1/", "b:2/"]


@contextmanager
def hanging() -> Iterator[tuple[str, socket.socket]]:
    """A node that was stopped: its kernel takes connections and what is sent, and nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}", listener


def test_a_node_that_hangs_is_passed_by_and_is_sent_no_change(either: Either) -> None:
    """A change that it took may be made when it goes on, an hour later, and who asked would have waited for nothing."""
    with hanging() as (stopped, listener), StubApi(applied()).serving() as api:
        either(stopped, api.address, work=lambda client: client.slice.scale(slice="orders", instances=5))
        assert [each.path for each in api.asked] == ["/v1/slices/orders/scale"]
        listener.settimeout(1.0)
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(4096).startswith(b"GET /health/live ")
        listener.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_one_that_answered_just_now_is_not_asked_whether_it_does() -> None:
    """Each poll of a run that is followed would be two requests."""
    now_s = [0.0]
    book = AddressBook(["a:1", "b:2"], now_s=lambda: now_s[0])
    asked = []
    for at_s in (0.0, 1.0, 20.0):
        now_s[0] = at_s
        talk = exchange(book, HttpRequest(method="GET", path="/x", repeatable=True), QUICK)
        step = next(talk)
        with suppress(StopIteration):
            while True:
                assert isinstance(step, Send)
                asked.append(step.request.path)
                step = talk.send(HttpReply(status=200))
    assert asked == ["/health/live", "/x", "/x", "/health/live", "/x"]
