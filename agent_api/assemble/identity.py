"""What a node's settings say of who may come in: through an identity provider, and how often."""

from __future__ import annotations

import os

from agent_api.control_api.ports import ApiSettings
from runtime.cluster.layout import NodeLayout
from runtime.config.settings import NodeSettings
from runtime.security.kept_secret import read_secret
from runtime.security.oidc import OidcSettings
from runtime.security.oidc_provider import SECRET_VARIABLE


def api_settings(settings: NodeSettings, layout: NodeLayout) -> ApiSettings:
    return ApiSettings(
        requests_per_s_max=settings.api_requests_per_s_max,
        oidc=_oidc(settings),
        oidc_secret=lambda: read_secret(SECRET_VARIABLE, layout.oidc_secret, os.environ),
    )


def _oidc(settings: NodeSettings) -> OidcSettings | None:
    if not settings.oidc_issuer:
        return None
    return OidcSettings(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        keys=settings.oidc_keys,
        client=settings.oidc_client,
        name=settings.oidc_name,
        authorize=settings.oidc_authorize,
        token=settings.oidc_token,
        authority=settings.oidc_authority,
        address=settings.console_address,
    )
