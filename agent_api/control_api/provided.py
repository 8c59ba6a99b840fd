"""What an identity provider is asked by, where one is set: bearer tokens and id tokens share its keys."""

from __future__ import annotations

from dataclasses import dataclass

from agent_api.control_api.ports import ApiSettings
from runtime.clock import Clock
from runtime.security.id_token import IdTokens
from runtime.security.oidc import OidcSettings, TokenReader
from runtime.security.oidc_provider import IdentityProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class Provided:
    """Of one node. bearers: tokens that the API takes. tokens: of those who come back from signing in."""

    settings: OidcSettings
    provider: IdentityProvider
    bearers: TokenReader
    tokens: IdTokens


def provided_by(settings: ApiSettings, clock: Clock) -> Provided | None:
    oidc = settings.oidc
    if oidc is None:
        return None
    provider = IdentityProvider(oidc, secret=settings.oidc_secret, clock=clock)
    bearers = TokenReader(oidc, fetch=provider.keys, clock=clock)
    tokens = IdTokens(oidc, reader=bearers, clock=clock)
    return Provided(settings=oidc, provider=provider, bearers=bearers, tokens=tokens)
