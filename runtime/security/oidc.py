"""Tokens of an identity provider (OpenID Connect): signature, issuer, audience and time, then whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.clock import Clock
from runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
"""Asymmetric ones alone: with a shared secret, whoever can check a token could also make one."""
AGAIN_S: Final = 60.0  # for a key that is not known: a flood of such tokens asks the provider once a minute
OLD_S: Final = 3_600.0  # a key that the provider took back is gone here within the hour
LEEWAY_S: Final = 30  # of clocks

Fetch = Callable[[str], Awaitable[bytes]]
"""Gives the provider's keys (JWKS) from where `OidcSettings.keys` says. Raises OSError."""


class OidcSettings(msgspec.Struct, frozen=True, kw_only=True):
    """keys: URL or path of the provider's JWKS; empty for what its discovery document says, as `authorize` and `token`.

    client: this cluster's at the provider, empty where nobody signs in through it. address: where browsers reach the
    console, empty for wherever they began.
    """

    issuer: str
    audience: str
    keys: str
    client: str = ""
    name: str = ""
    authorize: str = ""
    token: str = ""
    authority: str = ""
    address: str = ""


class KeysUnavailable(RuntimeFault):
    """The identity provider's keys cannot be read."""

    code, retryable = "identity_keys_unavailable", True
    remedy = "Check oidc_keys, and that the provider answers; it is asked again after a minute. API keys go on working."


class Flaw(StrEnum):
    """What is wrong with claims whose signature is right."""

    ISSUER = "it is of another issuer"
    AUDIENCE = "it is for another audience"
    FORM = "it lacks a subject or a time"
    EXPIRED = "its time is over"
    EARLY = "its time has not come"


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who a token was given to."""

    subject: str
    expires_unix_ms: int


class TokenReader:
    """The provider's keys are kept; they are read again when they are old or a token names one that is not known."""

    def __init__(self, settings: OidcSettings, *, fetch: Fetch, clock: Clock) -> None:
        self._settings = settings
        self._fetch = fetch
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_s = float("-inf")
        self._fetching = asyncio.Lock()

    async def read(self, token: str) -> Holder | None:
        """None for a token that is not good, whatever the reason. Raises KeysUnavailable."""
        claims = await self.claims(token)
        return holder_of(claims, self._settings, self._clock.unix_ms()) if claims is not None else None

    async def claims(self, token: str) -> dict[str, Any] | None:
        """Of a token that the provider signed, whatever they are. Raises KeysUnavailable."""
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError, JoseError

        for attempt in (OLD_S, AGAIN_S):
            keys = await self._keys_of(attempt)
            try:
                return jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims
            except InvalidKeyIdError:
                continue
            except (JoseError, ValueError):
                return None
        return None

    async def _keys_of(self, age_s_max: float) -> KeySet:
        async with self._fetching:
            now_s = self._clock.monotonic_s()
            if self._keys is None or now_s - self._fetched_s >= age_s_max:
                await self._renew(now_s)
            if self._keys is None:
                raise KeysUnavailable("the identity provider's keys could not be read")
            return self._keys

    async def _renew(self, now_s: float) -> None:
        """Keys that are known stay when new ones cannot be had."""
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        if now_s - self._fetched_s < AGAIN_S:
            return
        self._fetched_s = now_s
        try:
            raw = await self._fetch(self._settings.keys)
            self._keys = KeySet.import_key_set(msgspec.json.decode(raw))
        except (OSError, msgspec.DecodeError, JoseError, KeyError, TypeError, ValueError):
            return


def holder_of(claims: dict[str, Any], settings: OidcSettings, now_unix_ms: int) -> Holder | None:
    """Pure: whose the claims are, if nothing is wrong with them."""
    if flaw_of(claims, settings, now_unix_ms) is not None:
        return None
    return Holder(subject=claims["sub"], expires_unix_ms=int(claims["exp"] * 1_000))


def flaw_of(claims: dict[str, Any], settings: OidcSettings, now_unix_ms: int) -> Flaw | None:
    """Pure: whether the claims are this cluster's provider's, for this cluster, and hold now."""
    now_s = now_unix_ms / 1_000
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    expires, not_before, subject = claims.get("exp"), claims.get("nbf", 0), claims.get("sub")
    if claims.get("iss") != settings.issuer:
        return Flaw.ISSUER
    if settings.audience not in audiences:
        return Flaw.AUDIENCE
    if not isinstance(expires, int | float) or not isinstance(not_before, int | float):
        return Flaw.FORM
    if not isinstance(subject, str) or not subject:
        return Flaw.FORM
    if expires + LEEWAY_S <= now_s:
        return Flaw.EXPIRED
    return Flaw.EARLY if not_before - LEEWAY_S > now_s else None
