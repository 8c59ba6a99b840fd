"""Id tokens: what a provider says of somebody who has just signed in, for this client and this one sign-in."""

from __future__ import annotations

import hmac
from typing import Any, Final

import msgspec

from runtime.clock import Clock
from runtime.security.oidc import Flaw, Holder, OidcSettings, TokenReader, flaw_of, holder_of
from runtime.security.oidc_errors import IdTokenAudience, IdTokenExpired, IdTokenInvalid

TOKEN_CHARS_MAX: Final = 64 * 1024  # of providers that put every group of a person into it
_KINDS: Final = {Flaw.AUDIENCE: IdTokenAudience, Flaw.EXPIRED: IdTokenExpired, Flaw.EARLY: IdTokenExpired}


class IdTokens:
    """Checked as bearer tokens are, but for another audience: the client."""

    def __init__(self, settings: OidcSettings, *, reader: TokenReader, clock: Clock) -> None:
        self._settings = msgspec.structs.replace(settings, audience=settings.client)
        self._reader = reader
        self._clock = clock

    async def read(self, token: str, *, nonce: str) -> Holder:
        """Raises IdTokenInvalid, IdTokenAudience, IdTokenExpired or KeysUnavailable."""
        claims = await self._reader.claims(token) if len(token) <= TOKEN_CHARS_MAX else None
        if claims is None:
            raise IdTokenInvalid("the id token is not signed by a key of the identity provider")
        return id_holder_of(claims, self._settings, nonce, self._clock.unix_ms())


def id_holder_of(claims: dict[str, Any], settings: OidcSettings, nonce: str, now_unix_ms: int) -> Holder:
    """Pure (OpenID Connect Core, 3.1.3.7). Raises IdTokenInvalid, IdTokenAudience or IdTokenExpired."""
    flaw = flaw_of(claims, settings, now_unix_ms)
    if flaw is not None:
        raise _KINDS.get(flaw, IdTokenInvalid)(f"the id token is not taken: {flaw}")
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), nonce.encode()):
        raise IdTokenInvalid("the id token is not taken: it is of another sign-in")
    if claims.get("azp", settings.client) != settings.client:
        raise IdTokenAudience("the id token is not taken: it was made for another client")
    holder = holder_of(claims, settings, now_unix_ms)
    assert holder is not None, "nothing is wrong with it"
    return holder
