"""Both slices in this process, called as the cluster would call them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from url_shortener.analytics import REFERRERS_MAX, Analytics, Config, add_clicks
from url_shortener.links import (
    ALPHABET,
    CODE_LENGTH,
    AliasInvalid,
    Clicks,
    CodeTaken,
    LinkUnknown,
    LinkWish,
    UrlInvalid,
    code_for,
    referrer_site,
)
from url_shortener.shortener import Shortener

from infra.cache.memory import MemoryCache
from infra.database.memory import MemoryDatabase
from runtime.sdk.testing import http, running

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


URL = "https://example.com/a/long/path?with=query"


@asynccontextmanager
async def shortener(analytics: object = None, cache: MemoryCache | None = None) -> AsyncIterator[Shortener]:
    async with running(
        Shortener, database=MemoryDatabase(), cache=cache or MemoryCache(), analytics=analytics
    ) as slice_:
        yield slice_


async def test_a_url_is_shortened_and_resolved() -> None:
    async with shortener() as slice_:
        made = await http(slice_, "POST", "/links", json={"url": URL})
        assert made.status == 201
        code = made.json()["code"]  # type: ignore[index]  # an object
        followed = await http(slice_, "GET", f"/s/{code}")
        assert (followed.status, followed.headers["location"]) == (302, URL)


async def test_the_same_url_gets_the_same_code() -> None:
    """Else a retry would leave a link that nobody knows."""
    async with shortener() as slice_:
        assert await slice_.shorten(LinkWish(url=URL)) == await slice_.shorten(LinkWish(url=URL))


async def test_an_alias_stands_for_one_url_only() -> None:
    async with shortener() as slice_:
        await slice_.shorten(LinkWish(url=URL, alias="mine"))
        await slice_.shorten(LinkWish(url=URL, alias="mine"))
        with pytest.raises(CodeTaken):
            await slice_.shorten(LinkWish(url="https://example.com/other", alias="mine"))


@pytest.mark.parametrize(
    "url",
    ["", "ftp://example.com", "https://", "javascript:alert(1)", "https://a b", "http://[", "https://x/" + "y" * 3000],
)
async def test_what_is_no_web_address_is_refused(url: str) -> None:
    async with shortener() as slice_:
        with pytest.raises(UrlInvalid):
            await slice_.shorten(LinkWish(url=url))


@pytest.mark.parametrize("alias", ["ab", "a/b", "ä" * 5, "x" * 33, "a b c"])
async def test_an_alias_that_fits_no_path_is_refused(alias: str) -> None:
    async with shortener() as slice_:
        with pytest.raises(AliasInvalid):
            await slice_.shorten(LinkWish(url=URL, alias=alias))


async def test_an_unknown_code_is_a_problem_with_its_code() -> None:
    async with shortener() as slice_:
        with pytest.raises(LinkUnknown):
            await slice_.show("nothing")
        answer = await http(slice_, "GET", "/s/nothing")
        assert answer.status == 404
        assert answer.json()["fields"] == {"asked": "nothing"}  # type: ignore[index]  # an object


async def test_a_hot_link_needs_no_database() -> None:
    database = MemoryDatabase()
    async with running(Shortener, database=database, cache=MemoryCache(), analytics=None) as slice_:
        await slice_.shorten(LinkWish(url=URL, alias="hot"))
        await slice_.show("hot")
        database.store.engine.quorum = False
        assert (await slice_.show("hot")).url == URL


async def test_a_redirect_stands_although_nobody_counts() -> None:
    class Away:
        async def clicked(self, code: str, referrer: str) -> None:
            raise RuntimeError("away")

    async with shortener(Away()) as slice_:
        await slice_.shorten(LinkWish(url=URL, alias="mine"))
        assert (await http(slice_, "GET", "/s/mine")).status == 302


async def test_clicks_are_counted_with_where_they_came_from() -> None:
    database = MemoryDatabase()
    async with running(Analytics, database=database, config=Config(flush_s=0.001)) as counting:
        async with shortener(counting) as slice_:
            await slice_.shorten(LinkWish(url=URL, alias="mine"))
            for referrer in ("https://a.example/x", "https://a.example/y", ""):
                await http(slice_, "GET", "/s/mine", headers={"referer": referrer})
        async with asyncio.timeout(5):
            while (clicks := await counting.clicks("mine")).total < 3:  # noqa: ASYNC110  it counts by its own clock
                await asyncio.sleep(0)
    assert clicks.by_referrer == {"a.example": 2, "direct": 1}


async def test_what_waits_is_written_before_an_instance_stops() -> None:
    database = MemoryDatabase()
    async with running(Analytics, database=database, config=Config(flush_s=3600)) as counting:
        await counting.clicked("mine", "direct")
    async with running(Analytics, database=database) as counting:
        assert (await counting.clicks("mine")).total == 1


async def test_two_instances_lose_no_click_of_each_other() -> None:
    database = MemoryDatabase()
    seldom = Config(flush_s=3600)
    async with (
        running(Analytics, database=database, config=seldom) as one,
        running(Analytics, database=database, config=seldom) as other,
    ):
        for _ in range(50):
            await one.clicked("mine", "direct")
            await other.clicked("mine", "direct")
    async with running(Analytics, database=database) as counting:
        assert (await counting.clicks("mine")).total == 100


@given(st.text(), st.integers(0, 3))
def test_a_code_fits_a_path_and_depends_on_the_url_alone(url: str, attempt: int) -> None:
    code = code_for(url, attempt)
    assert len(code) == CODE_LENGTH
    assert set(code) <= set(ALPHABET)
    assert code == code_for(url, attempt)


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers(1, 9), max_size=80), max_size=5))
def test_no_click_is_lost_when_referrers_become_many(rounds: list[dict[str, int]]) -> None:
    clicks = Clicks(code="c", total=0)
    for counted in rounds:
        clicks = add_clicks(clicks, Counter(counted))
    assert clicks.total == sum(clicks.by_referrer.values()) == sum(sum(counted.values()) for counted in rounds)
    assert len(clicks.by_referrer) <= REFERRERS_MAX + 1


@given(st.text())
def test_any_referrer_header_has_a_site(referrer: str) -> None:
    assert referrer_site(referrer)
