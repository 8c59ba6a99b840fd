"""The shortener slice: makes links and follows them."""

from __future__ import annotations

from typing import Annotated, Final, Protocol

from infra.cache import Cache
from infra.database import Database
from runtime.sdk import Header, Response, get, idempotent, post, raises, redirect, slice_
from url_shortener.links import (
    AliasInvalid,
    CodeTaken,
    Link,
    LinkUnknown,
    LinkWish,
    UrlInvalid,
    check,
    code_for,
    referrer_site,
)

CODES_TRIED_MAX: Final = 4  # each attempt meets a taken code with a chance below one in a million
HOT_S: Final = 300.0  # links never change, so a stale one cannot be


class Clicked(Protocol):
    """What the shortener asks of analytics."""

    async def clicked(self, code: str, referrer: str) -> None: ...


@slice_(name="shortener", version="1.0.0")
class Shortener:
    """Short codes for long addresses."""

    def __init__(self, database: Database, cache: Cache, analytics: Clicked | None) -> None:
        self._links = database.collection("links", Link)
        self._hot = cache
        self._analytics = analytics

    @idempotent
    @raises(UrlInvalid, AliasInvalid, CodeTaken)
    @post("/links", status=201)
    async def shorten(self, wish: LinkWish) -> Link:
        """The link of that URL. The same wish gives the same link."""
        check(wish)
        for attempt in range(CODES_TRIED_MAX):
            link = Link(code=wish.alias or code_for(wish.url, attempt), url=wish.url)
            if await self._keep(link):
                return link
            if wish.alias:
                break
        raise CodeTaken(wanted=wish.alias or wish.url)

    @idempotent
    @raises(LinkUnknown)
    @get("/links/{code}")
    async def show(self, code: str) -> Link:
        """The link, without following it."""
        return await self._find(code)

    @idempotent
    @raises(LinkUnknown)
    @get("/s/{code}", status=302)
    async def follow(self, code: str, referrer: Annotated[str, Header("referer")] = "") -> Response:
        """Leads to the URL and counts the click; a click that cannot be counted leads there all the same.

        Marked idempotent on purpose: when a node dies, a click counted twice is worth less than a visitor lost.
        """
        link = await self._find(code)
        if self._analytics is not None:
            try:
                await self._analytics.clicked(code, referrer_site(referrer))
            except Exception as error:  # counting is worth less than arriving
                print(f"click on {code} not counted: {error}")
        return redirect(link.url)

    async def _keep(self, link: Link) -> bool:
        """Whether the code now stands for that URL, because it did or because it was free."""
        if await self._links.compare_and_set(link.code, link, revision=0):
            return True
        found = await self._links.get(link.code)
        return found is not None and found.value.url == link.url

    async def _find(self, code: str) -> Link:
        hot = await self._hot.get(code, Link)
        if hot is not None:
            return hot
        found = await self._links.get(code)
        if found is None:
            raise LinkUnknown(asked=code)
        await self._hot.put(code, found.value, ttl_s=HOT_S)
        return found.value
