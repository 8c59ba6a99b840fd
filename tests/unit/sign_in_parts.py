"""Browsers that sign in through a real identity provider, at the API of nodes in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio
import httpx

from agent_api.control_api.app import ControlApi
from agent_api.control_api.ports import ApiSettings
from runtime.consensus.cache import StoreCache
from runtime.operations.actor import Role
from runtime.security.oidc import OidcSettings
from runtime.security.oidc_provider import ReadSecret
from runtime.security.principals import PrincipalRecord
from runtime.telemetry.log import Secret
from tests.identity_provider import CLIENT, SECRET, IdentityProvider
from tests.unit.api_parts import ApiOnHand, api_on_hand


def settings_for(provider: IdentityProvider, **more: str) -> OidcSettings:
    return OidcSettings(**{"issuer": provider.issuer, "audience": "aether", "keys": "", "client": CLIENT} | more)


@dataclass
class SignIns:
    """`node` has the provider set."""

    api: ApiOnHand
    provider: IdentityProvider
    settings: ApiSettings
    node: ControlApi
    caches: list[StoreCache]

    async def another(self, name: str) -> ControlApi:
        """One more such node, once it knows what is written."""
        node, cache = self.api.another(name, settings=self.settings)
        self.caches.append(cache)
        await self.seen()
        return node

    async def seen(self) -> None:
        """Until every node knows what is written."""
        with anyio.fail_after(5):
            for cache in self.caches:
                await cache.ready()
                await cache.wait_for(self.api.hand.state.revision)

    def browser(self, node: ControlApi | None = None, *, like: httpx.AsyncClient | None = None) -> httpx.AsyncClient:
        """like: the same browser, which a load balancer leads to another node."""
        found = self.api.client(api=node or self.node)
        if like is not None:
            found.cookies = like.cookies
        return found

    async def refused(self, browser: httpx.AsyncClient) -> dict[str, Any]:
        told: dict[str, Any] = (await browser.get("/v1/sign-in")).json()["refused"]
        return told


@asynccontextmanager
async def sign_ins(
    provider: IdentityProvider, *, secret: ReadSecret = lambda: Secret(SECRET), **more: str
) -> AsyncIterator[SignIns]:
    """Olga has a role; whoever else the provider knows has none."""
    settings = ApiSettings(oidc=settings_for(provider, **more), oidc_secret=secret)
    async with api_on_hand() as api:
        provider.now_s = lambda: api.hand.clock.unix_ms() / 1_000
        await api.hand.principal(PrincipalRecord(id="olga", kind="person", role=Role.OPERATOR, oidc_subject="u-olga"))

        node, cache = api.another("n2", settings=settings)
        world = SignIns(api, provider, settings, node, [api.cache, cache])
        await world.seen()
        yield world


async def begun(browser: httpx.AsyncClient, provider: IdentityProvider, back: str = "/console/approvals") -> str:
    """Where the browser was sent; the provider's page was shown, and somebody can say who they are."""
    sent = await browser.get("/v1/sign-in/begin", params={"back": back})
    assert sent.status_code == 303, sent.text
    location = urlsplit(sent.headers["location"])
    assert location.netloc == f"127.0.0.1:{provider.port}"
    status, page = provider.get(location.path, dict(parse_qsl(location.query)))
    assert status == 200, page
    return location.geturl()


async def back(browser: httpx.AsyncClient, provider: IdentityProvider, person: str = "u-olga") -> httpx.Response:
    """The callback's answer, once that person has signed in at the provider."""
    return await browser.get(provider.sent_back(person))
