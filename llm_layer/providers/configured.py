"""What a provider needs to be one: where it is, the key, and its two models."""

from __future__ import annotations

import msgspec

from llm_layer.providers.limits import USUAL, Limits
from llm_layer.providers.messages import Tier
from runtime.telemetry.log import Secret


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """`url`: empty is the maker's own."""

    name: str
    key: Secret
    strong: str
    cheap: str
    url: str = ""
    limits: Limits = USUAL

    def model(self, tier: Tier) -> str:
        return self.cheap if tier == "cheap" else self.strong
