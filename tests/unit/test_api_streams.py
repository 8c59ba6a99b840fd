"""Streams: from the last id on at any node, a snapshot where history is gone, never a silent gap."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
import pytest

from agent_api.control_api import following
from agent_api.control_api.app import ControlApi
from agent_api.control_api.streams import EventStream, Frame, Hub, Lagging, framed
from runtime.consensus.store import Delete, Put
from runtime.operations.actor import Role
from runtime.security.principals import hash_of
from runtime.state import keys
from tests.unit.api_parts import ApiOnHand, Followed, api_on_hand
from tests.unit.gate_parts import person

pytestmark = pytest.mark.anyio
ANNA = person("anna", Role.OPERATOR)
TARGETS = "/v1/watch/slice-target/"


@pytest.fixture
async def api() -> AsyncIterator[ApiOnHand]:
    async with api_on_hand() as found:
        yield found


class Following:
    """Streams of one test; all end with it."""

    def __init__(self, api: ApiOnHand, tasks: anyio.abc.TaskGroup) -> None:
        self._api = api
        self._tasks = tasks

    def at(self, path: str, *, at: ControlApi | None = None, who: str = "vic", **headers: str) -> Followed:
        client = Followed()
        secret = self._api.secrets[who]
        self._tasks.start_soon(partial(client.run, at or self._api.api, path, secret, **headers))
        return client


@pytest.fixture
async def follow(api: ApiOnHand) -> AsyncIterator[Following]:
    async with anyio.create_task_group() as tasks:
        yield Following(api, tasks)
        tasks.cancel_scope.cancel()


def data(event: dict[str, str]) -> Any:
    return json.loads(event["data"])


async def test_facts_are_told_as_they_happen_and_from_the_last_id_on(api: ApiOnHand, follow: Following) -> None:
    first = follow.at("/v1/events")
    await anyio.wait_all_tasks_blocked()
    await api.hand.scale(5, ANNA)
    (scaled,) = await first.until(lambda events: len(events) == 1)
    assert (scaled["event"], data(scaled)["data"]["wanted"]) == ("SliceScaled", 5)
    first.gone.set()
    await first.ended.wait()
    await api.hand.scale(6, ANNA)
    await api.hand.scale(7, ANNA)
    second = follow.at("/v1/events", last_event_id=scaled["id"])
    told = await second.until(lambda events: len(events) == 2)
    assert [data(each)["data"]["wanted"] for each in told] == [6, 7]
    await api.hand.scale(8, ANNA)
    told = await second.until(lambda events: len(events) == 3)
    assert [data(each)["data"]["wanted"] for each in told] == [6, 7, 8]


async def test_an_id_older_than_history_gets_the_state_and_what_comes_behind_it(
    api: ApiOnHand, follow: Following
) -> None:
    client = follow.at("/v1/events", last_event_id="0.0")
    (reset,) = await client.until(lambda events: len(events) == 1)
    shown = {row["key"]: row["value"] for row in data(reset)["keys"]}
    assert (reset["event"], shown["slice-target/orders/1"]["wanted"]) == ("reset", 4)
    assert reset["id"] == f"{data(reset)['revision']}.999999999"
    await api.hand.scale(5, ANNA)
    events = await client.until(lambda events: len(events) == 2)
    assert data(events[1])["data"]["wanted"] == 5


async def test_a_watch_begins_with_the_keys_and_then_tells_their_changes(api: ApiOnHand, follow: Following) -> None:
    client = follow.at(TARGETS)
    (reset,) = await client.until(lambda events: len(events) == 1)
    assert [row["key"] for row in data(reset)["keys"]] == ["slice-target/orders/1"]
    await api.hand.store.txn((), [Put(key="node/n9", value=b"{}"), Put(key="slice-target/tea/1", value=b'{"a":1}')])
    await api.hand.store.txn((), [Delete(key="slice-target/tea/1")])
    events = await client.until(lambda events: len(events) == 3)
    assert [(each["event"], data(each)["key"]) for each in events[1:]] == [
        ("put", "slice-target/tea/1"),
        ("delete", "slice-target/tea/1"),
    ]
    assert data(events[1])["value"] == {"a": 1}


async def test_a_watch_goes_on_at_another_node_without_a_gap_or_a_repetition(api: ApiOnHand, follow: Following) -> None:
    other, cache = api.another("n2")
    await cache.ready()
    client = follow.at(TARGETS)
    await client.until(lambda events: len(events) == 1)
    await api.hand.scale(5, ANNA)
    last = (await client.until(lambda events: len(events) == 2))[-1]["id"]
    client.gone.set()
    for number in (6, 7):
        await api.hand.scale(number, ANNA)
    await cache.wait_for(api.hand.state.revision)
    second = follow.at(TARGETS, at=other, last_event_id=last)
    await second.until(lambda events: len(events) == 2)
    await api.hand.scale(8, ANNA)
    told = await second.until(lambda events: len(events) == 3)
    assert [(each["event"], data(each)["value"]["wanted"]) for each in told] == [("put", 6), ("put", 7), ("put", 8)]


async def test_a_node_that_began_later_resets_a_watch_that_is_older(api: ApiOnHand, follow: Following) -> None:
    client = follow.at(TARGETS)
    first = (await client.until(lambda events: len(events) == 1))[0]
    await api.hand.scale(5, ANNA)
    other, cache = api.another("n2")
    await cache.ready()
    second = follow.at(TARGETS, at=other, last_event_id=first["id"])
    (reset,) = await second.until(lambda events: len(events) == 1)
    assert (reset["event"], data(reset)["keys"][0]["value"]["wanted"]) == ("reset", 5)


async def test_a_revision_that_a_node_read_anew_is_told_again_rather_than_in_part(
    api: ApiOnHand, follow: Following
) -> None:
    """There its changes are mixed with those before it, so that an index says nothing of what a client has seen."""
    names = ("slice-target/milk/1", "slice-target/tea/1")
    await api.hand.store.txn((), [Put(key=name, value=b"{}") for name in names])
    await api.seen()
    revision = api.hand.state.revision
    await api.hand.scale(5, ANNA)
    await api.seen()
    first = follow.at(TARGETS, last_event_id=f"{revision}.1")
    assert [data(each)["key"] for each in await first.until(lambda events: len(events) == 1)] == [
        "slice-target/orders/1"
    ]
    api.cache._merged.add(revision)
    second = follow.at(TARGETS, last_event_id=f"{revision}.1")
    told = await second.until(lambda events: len(events) == 3)
    assert [data(each)["key"] for each in told] == [*names, "slice-target/orders/1"]


async def test_an_id_that_history_has_let_go_resets_a_watch(api: ApiOnHand, follow: Following) -> None:
    other, cache = api.another("n2", recent_max=4)
    await cache.ready()
    begun = int(cache.revision)
    for number in range(12):
        await api.hand.scale(5 + number % 2, ANNA)
    await cache.wait_for(api.hand.state.revision)
    client = follow.at(TARGETS, at=other, last_event_id=f"{begun}.0")
    (reset,) = await client.until(lambda events: len(events) == 1)
    assert reset["event"] == "reset"


@pytest.mark.parametrize(
    ("who", "prefix", "status"),
    [
        ("vic", "api-key/", 404),
        ("cleo", "api-key/", 404),
        ("cleo", "session-signing", 404),
        ("cleo", "idempotency/", 404),
        ("cleo", "join-token/", 404),
        ("cleo", "", 404),
        ("vic", "guard/", 403),
        ("anna", "principal/", 403),
    ],
)
async def test_what_is_nobodys_business_is_not_watched(api: ApiOnHand, who: str, prefix: str, status: int) -> None:
    answer = await api.ask(who, "GET", f"/v1/watch/{prefix}")
    assert answer.status_code == status
    words = await api.ask(who, "GET", "/v1/watch/node/?after=yesterday")
    assert (words.status_code, words.json()["code"]) == (422, "request_invalid")


async def test_a_client_that_is_too_far_behind_is_let_go_and_goes_on_by_its_last_id(
    api: ApiOnHand, follow: Following
) -> None:
    api.api._following._keys = hub = Hub(frames_max=4)  # type: ignore[attr-defined]
    client = follow.at(TARGETS)
    await client.until(lambda events: len(events) == 1)
    client.reading = anyio.Event()
    for number in range(12):
        await api.hand.scale(5 + number % 2, ANNA)
    await api.cache.wait_for(api.hand.state.revision)
    await anyio.wait_all_tasks_blocked()
    assert hub.place > 4
    client.reading.set()
    with anyio.fail_after(5):
        await client.ended.wait()
    last = client.events()[-1]["id"]
    second = follow.at(TARGETS, last_event_id=last)
    missing = 12 - (len(client.events()) - 1)
    told = await second.until(lambda events: len(events) == missing)
    assert all(each["event"] == "put" for each in told)
    assert data(told[-1])["value"]["wanted"] == api.hand.wanted()


async def test_what_the_snapshot_holds_already_is_not_told_again(api: ApiOnHand, follow: Following) -> None:
    """The ring of frames may be a moment behind the state that a client begins with."""
    api.api._following._keys = hub = Hub()  # type: ignore[attr-defined]
    client = follow.at(TARGETS)
    (reset,) = await client.until(lambda events: len(events) == 1)
    revision = data(reset)["revision"]
    for order in ((revision, 0), (revision + 1, 0)):
        hub.tell(Frame(order, "slice-target/tea/1", framed(order, "put", {})))
    told = await client.until(lambda events: len(events) > 1)
    assert [each["id"] for each in told[1:]] == [f"{revision + 1}.0"]


@pytest.mark.parametrize("path", ["/v1/events", TARGETS])
async def test_an_id_that_is_ahead_of_everything_gets_the_state_and_what_comes_behind_it(
    api: ApiOnHand, follow: Following, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a cluster before it was restored: its client would else hear nothing until the new one has come as far."""
    monkeypatch.setattr(following, "AHEAD_S", 0.0)
    client = follow.at(path, last_event_id="999999999.0")
    (reset,) = await client.until(lambda events: len(events) == 1)
    assert (reset["event"], data(reset)["reason"]) == ("reset", following.AHEAD)
    await api.hand.scale(5, ANNA)
    told = await client.until(lambda events: len(events) == 2)
    assert told[1]["event"] in ("SliceScaled", "put")


async def test_an_id_that_this_node_is_about_to_see_is_waited_for(api: ApiOnHand, follow: Following) -> None:
    """A node a little behind the one that told it must neither tell all of it again nor leave anything out."""
    client = follow.at(TARGETS, last_event_id=f"{api.hand.state.revision + 1}.999999999")
    await anyio.wait_all_tasks_blocked()
    await api.hand.scale(5, ANNA)
    await api.hand.scale(6, ANNA)
    (told,) = await client.until(lambda events: len(events) == 1)
    assert (told["event"], data(told)["value"]["wanted"]) == ("put", 6)


@pytest.mark.parametrize("path", ["/v1/events", TARGETS])
async def test_a_stream_ends_with_the_key_that_it_was_begun_with(
    api: ApiOnHand, follow: Following, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that was revoked would else read on for as long as its connection holds."""
    monkeypatch.setattr(following, "CHECKED_S", 0.0)
    client, other = follow.at(path), follow.at(path, who="ben")
    await anyio.wait_all_tasks_blocked()
    await api.hand.store.txn((), [Delete(key=keys.api_key(hash_of(api.secrets["vic"])))])
    await api.seen()
    before = len(client.events())
    await api.hand.scale(5, ANNA)
    with anyio.fail_after(5):
        await client.ended.wait()
    assert len(client.events()) == before
    await other.until(lambda events: len(events) == before + 1)


async def test_a_client_that_nothing_is_for_hears_that_its_stream_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy cluster there is always something, and never for it: who waits for a sign would take it for dead."""
    monkeypatch.setattr(following, "HEARTBEAT_S", 0.0)
    hub = Hub()
    poured = following._poured(hub, hub.place, (0, 0), lambda frame: frame.about == "mine")
    hub.tell(Frame((1, 0), "another's", b"1"))
    with anyio.fail_after(5):  # the hub's own sign of life takes ten
        assert await anext(poured) == following.HEARTBEAT
    hub.tell(Frame((2, 0), "mine", b"2"))
    assert await anext(poured) == b"2"


async def test_a_client_that_takes_nothing_is_let_go_for_good() -> None:
    """Its place costs nothing, but its connection would."""
    left = []

    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield b"x"

    async def send(message: Any) -> None:
        if message.get("body") == b"x":
            await anyio.sleep_forever()

    stream = EventStream(chunks(), lambda: left.append(True), stuck_s=0.01)
    with anyio.fail_after(5):
        await stream({}, anyio.sleep_forever, send)  # type: ignore[arg-type]
    assert left == [True]


async def test_a_hub_that_lost_its_source_lets_everybody_go() -> None:
    hub = Hub()
    following = hub.follow(hub.place)
    hub.tell(Frame((1, 0), "a", b"1"))
    assert [frame.raw for frame in await anext(following)] == [b"1"]
    hub.lose()
    with pytest.raises(Lagging):
        await anext(following)


async def test_there_are_so_many_seats_and_one_that_leaves_gives_its_own_back() -> None:
    async with api_on_hand(streams_max=1) as api, anyio.create_task_group() as tasks:
        follow = Following(api, tasks)
        first = follow.at("/v1/events")
        await anyio.wait_all_tasks_blocked()
        refused = await api.ask("vic", "GET", "/v1/events", headers={"accept": "text/event-stream"})
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
        first.gone.set()
        await first.ended.wait()
        second = follow.at("/v1/events")
        await anyio.wait_all_tasks_blocked()
        assert second.status == 200
        tasks.cancel_scope.cancel()
