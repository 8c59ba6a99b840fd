"""The providers that settings and keys make, and why others are none."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import anyio
import msgspec

from controllers.model_budget.records import ProviderStanding
from llm_layer.errors import LlmFault
from llm_layer.providers.anthropic_messages import AnthropicMessages
from llm_layer.providers.breaker import Breakers
from llm_layer.providers.configured import Configured
from llm_layer.providers.keys import KeyAbsent, read_key
from llm_layer.providers.limits import Limits
from llm_layer.providers.openai_chat import OpenAiChat
from llm_layer.providers.openai_responses import OpenAiResponses
from llm_layer.providers.provider import Provider
from runtime.clock import Clock
from runtime.telemetry.log import Secret

MAKES: Final[dict[str, Callable[[Configured], Provider]]] = {
    "anthropic": AnthropicMessages,
    "openai": OpenAiResponses,
    "compatible": OpenAiChat,
}
CLOSE_S: Final = 2.0  # a maker's client that cannot end its connections by then is let go as it is
NO_KEY: Final = Secret("no-key-is-set")
"""Servers of one's own seldom want one, and the client wants something. No word, as keys are taken out of what a server
says."""


class ProviderAbsent(LlmFault):
    """Something that the provider needs is not set."""

    code = "provider_absent"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as the settings want it. url: empty is its maker's own."""

    name: str
    strong: str
    cheap: str
    url: str


class Fleet:
    """Kept up with the settings: a provider whose own have not changed stays as it is, with its connections. One that
    was replaced is closed when the last turn that has it ends."""

    def __init__(self, *, keys: Path, environment: Mapping[str, str], clock: Clock) -> None:
        self._keys = keys
        self._environment = environment
        self._clock = clock
        self._made: dict[str, tuple[Configured, Provider]] = {}
        self._absent: dict[str, str] = {}
        self._order: tuple[str, ...] = ()
        self._held: Counter[Provider] = Counter()
        """By how many turns."""
        self._replaced: list[Provider] = []
        self.breakers = Breakers(clock)

    def follow(self, wanted: Sequence[Wanted], limits: Limits) -> None:
        """From now on providers are these, in their order, with the keys as they lie there now."""
        self._order = tuple(each.name for each in wanted)
        self._absent = {}
        made: dict[str, tuple[Configured, Provider]] = {}
        for each in wanted:
            name = each.name
            try:
                configured = self._configured(each, limits)
            except (KeyAbsent, ProviderAbsent) as fault:
                self._absent[name] = str(fault)
                continue
            before = self._made.get(name)
            if before is not None and _same(before[0], configured):
                made[name] = before
            else:
                made[name] = (configured, MAKES[name](configured))
                self.breakers.forget(name)
        kept = {id(provider) for _, provider in made.values()}
        self._replaced += [provider for _, provider in self._made.values() if id(provider) not in kept]
        self._made = made

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[tuple[Provider, ...]]:
        """Those of now, for one turn, which has them to its end whatever is set meanwhile."""
        lent = self.providers
        self._held.update(lent)
        try:
            yield lent
        finally:
            self._held.subtract(lent)
            await self._close_replaced()

    async def _close_replaced(self) -> None:
        unused = [each for each in self._replaced if not self._held[each]]
        self._replaced = [each for each in self._replaced if self._held[each]]
        for each in unused:
            del self._held[each]
            with anyio.move_on_after(CLOSE_S, shield=True):
                await each.close()

    @property
    def providers(self) -> tuple[Provider, ...]:
        return tuple(self._made[name][1] for name in self._order if name in self._made)

    def standing(self) -> tuple[ProviderStanding, ...]:
        return tuple(self._standing(name) for name in self._order)

    def _standing(self, name: str) -> ProviderStanding:
        if name not in self._made:
            return ProviderStanding(name=name, state="absent", why=self._absent[name][:300])
        configured = self._made[name][0]
        breaker = self.breakers.of(name)
        if breaker.open_for_s > 0:
            return ProviderStanding(
                name=name,
                state="open",
                why=f"it failed {breaker.failures} times: {breaker.why}"[:300],
                strong=configured.strong,
                cheap=configured.cheap,
                open_until_unix_ms=self._clock.unix_ms() // 1_000 * 1_000 + int(breaker.open_for_s) * 1_000,
            )
        return ProviderStanding(name=name, state="ready", strong=configured.strong, cheap=configured.cheap)

    def _configured(self, wanted: Wanted, limits: Limits) -> Configured:
        """Raises KeyAbsent, ProviderAbsent."""
        name = wanted.name
        if not wanted.strong:
            raise ProviderAbsent(f"the setting model_{name}_strong names no model")
        if name == "compatible" and not wanted.url:
            raise ProviderAbsent("the setting model_compatible_url names no server")
        try:
            key = read_key(name, self._keys, self._environment)
        except KeyAbsent:
            if name != "compatible":
                raise
            key = NO_KEY
        _check_url(f"model_{name}_url", wanted.url, keeps_key=key is NO_KEY)
        cheap = wanted.cheap or wanted.strong
        return Configured(name=name, key=key, strong=wanted.strong, cheap=cheap, url=wanted.url, limits=limits)


def _same(one: Configured, other: Configured) -> bool:
    """Secrets are equal to nobody but themselves."""
    alike = (one.strong, one.cheap, one.url, one.limits) == (other.strong, other.cheap, other.url, other.limits)
    return alike and one.key.reveal() == other.key.reveal()


def _check_url(setting: str, url: str, *, keeps_key: bool) -> None:
    """Raises ProviderAbsent for what is no address, or would send a key over a network for everybody to read."""
    if not url:
        return
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise ProviderAbsent(f"the setting {setting} is no address") from None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise ProviderAbsent(f"the setting {setting} is no address as https://host/path")
    if parts.scheme == "http" and not keeps_key and not _is_here(host):
        raise ProviderAbsent(f"the setting {setting} would send the key over a network unencrypted: https:// is wanted")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
