"""Settings of the identity provider: whose tokens are taken, and how people of it sign in to the web console."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from runtime.config.model_settings import ModelSettings

RESTART: Final = {"applies": "restart"}
WEB_PATTERN: Final = r"^(https?://[^\s\"'<>\\]{1,500})?$(?!\n)"
ORIGIN_PATTERN: Final = r"^(https?://[A-Za-z0-9.:\[\]-]{1,250})?$(?!\n)"


class IdentitySettings(ModelSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    oidc_issuer: Annotated[
        str,
        Meta(description="The identity provider: `iss` of the tokens that are taken; empty is none.", extra=RESTART),
    ] = ""
    oidc_audience: Annotated[
        str, Meta(description="`aud` that bearer tokens for the API must have.", extra=RESTART)
    ] = "aether"
    oidc_keys: Annotated[
        str,
        Meta(
            description="HTTPS address or file of the issuer's keys (JWKS); empty is what its discovery document says.",
            extra=RESTART,
        ),
    ] = ""
    oidc_client: Annotated[
        str,
        Meta(
            max_length=255,
            description="Client id of the web console at the provider; empty is no sign-in through it.",
            extra=RESTART,
        ),
    ] = ""
    oidc_name: Annotated[
        str,
        Meta(
            max_length=40,
            description="What the console's button calls the provider; empty is its host's name.",
            extra=RESTART,
        ),
    ] = ""
    oidc_authorize: Annotated[
        str,
        Meta(
            pattern=WEB_PATTERN,
            description="Where people sign in; empty is what the issuer's discovery document says.",
            extra=RESTART,
        ),
    ] = ""
    oidc_token: Annotated[
        str,
        Meta(
            pattern=WEB_PATTERN,
            description="Where codes are exchanged; empty is what the issuer's discovery document says.",
            extra=RESTART,
        ),
    ] = ""
    oidc_authority: Annotated[
        str,
        Meta(
            description="File with the CA of the provider's certificates; empty is those that the machine trusts.",
            extra=RESTART,
        ),
    ] = ""
    console_address: Annotated[
        str,
        Meta(
            pattern=ORIGIN_PATTERN,
            description="Where browsers reach the console, as https://aether.example; the provider sends them back"
            " there. Empty is the node where they began.",
            extra=RESTART,
        ),
    ] = ""
