"""What keeps somebody of an identity provider from being signed in, by where it went wrong."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class ProviderUnreachable(RuntimeFault):
    """It did not answer in time, or with an error of its own."""

    code, retryable = "identity_provider_unreachable", True
    remedy = "Try again in a moment; if it stays so, ask who runs the provider. API keys go on working."


class ProviderUnfit(RuntimeFault):
    """It answers, and not as oidc_issuer and the other settings say."""

    code = "identity_provider_unfit"
    remedy = "An admin compares oidc_issuer, oidc_authorize and oidc_token with the provider's. API keys go on working."


class ClientRefused(RuntimeFault):
    """The provider does not know this cluster's client, or takes another secret from it."""

    code = "oidc_client_refused"
    remedy = "An admin compares oidc_client and the client secret (docs/guides/console.md) with the provider's."


class CodeRefused(RuntimeFault):
    """The provider does not take the code back that it gave: it is old, used, or of another address."""

    code = "sign_in_code_refused"
    remedy = (
        "Sign in again. If it stays so, an admin compares the callback address at the provider with console_address."
    )


class IdTokenInvalid(RuntimeFault):
    """Not signed by the provider's keys, of another issuer, for another sign-in, or not of the form."""

    code = "id_token_invalid"
    remedy = "Sign in again. If it stays so, an admin compares oidc_issuer and oidc_keys with the provider's."


class IdTokenAudience(RuntimeFault):
    """Made for another client."""

    code = "id_token_audience_unknown"
    remedy = "An admin sets oidc_client to the client id that the provider puts into `aud`."


class IdTokenExpired(RuntimeFault):
    """Its time is over, or has not come: as a rule a clock is wrong."""

    code = "id_token_expired"
    remedy = "Sign in again. If it stays so, the clock of the provider or of this node is wrong."
