"""Bearer tokens of an identity provider (OpenID Connect): signature, issuer, audience and time, then whose they are."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from runtime.clock import Clock
from runtime.errors import RuntimeFault

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
"""Asymmetric ones alone: with a shared secret, whoever can check a token could also make one."""
KEYS_BYTES_MAX: Final = 256 * 1024
FETCH_S: Final = 5.0
AGAIN_S: Final = 60.0  # for a key that is not known: a flood of such tokens asks the provider once a minute
OLD_S: Final = 3_600.0  # a key that the provider took back is gone here within the hour
LEEWAY_S: Final = 30  # of clocks

Fetch = Callable[[str], Awaitable[bytes]]
"""Gives the provider's keys (JWKS) from where `OidcSettings.keys` says. Raises OSError."""


class OidcSettings(msgspec.Struct, frozen=True, kw_only=True):
    """keys: URL or path of the provider's JWKS."""

    issuer: str
    audience: str
    keys: str


class KeysUnavailable(RuntimeFault):
    """The identity provider's keys cannot be read."""

    code, retryable = "identity_keys_unavailable", True
    remedy = "Check oidc_keys in the node's config.toml, and that the provider answers. API keys go on working."


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
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError, JoseError

        for attempt in (OLD_S, AGAIN_S):
            keys = await self._keys_of(attempt)
            try:
                claims = jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims
            except InvalidKeyIdError:
                continue
            except (JoseError, ValueError):
                return None
            return holder_of(claims, self._settings, self._clock.unix_ms())
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
    """Pure: whether the claims are this cluster's provider's, for this cluster, and hold now."""
    now_s = now_unix_ms / 1_000
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    expires, not_before, subject = claims.get("exp"), claims.get("nbf", 0), claims.get("sub")
    if claims.get("iss") != settings.issuer or settings.audience not in audiences:
        return None
    if not isinstance(expires, int | float) or not isinstance(not_before, int | float):
        return None
    if not isinstance(subject, str) or not subject:
        return None
    if expires + LEEWAY_S <= now_s or not_before - LEEWAY_S > now_s:
        return None
    return Holder(subject=subject, expires_unix_ms=int(expires * 1_000))


async def fetch_keys(where: str) -> bytes:
    """From a file, or over HTTPS (plain HTTP from this machine alone). Raises OSError."""
    return await asyncio.to_thread(_read_keys, where)


def _read_keys(where: str) -> bytes:
    parts = urlsplit(where)
    if parts.scheme not in ("http", "https"):
        return Path(where).read_bytes()[:KEYS_BYTES_MAX]
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise OSError("keys come over HTTPS, or from this machine")
    with urllib.request.urlopen(where, timeout=FETCH_S) as answer:  # noqa: S310  the scheme was checked above
        return bytes(answer.read(KEYS_BYTES_MAX))
