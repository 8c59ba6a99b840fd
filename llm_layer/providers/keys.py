"""Keys of providers: from the node's environment, or a file of its data directory. Nowhere else, and told to nobody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from llm_layer.errors import LlmFault
from runtime.security.kept_secret import SecretUnfit, read_secret
from runtime.telemetry.log import Secret

VARIABLES: Final = {
    "anthropic": "ANTHROPIC_API_KEY",
    "openai": "OPENAI_API_KEY",
    "compatible": "AETHER_COMPATIBLE_API_KEY",
}


class KeyAbsent(LlmFault):
    """There is no key that may be used. The sentence names the place, never what is in it."""

    code = "model_key_absent"
    remedy = "docs/guides/llm.md says where keys are put."


def read_key(provider: str, directory: Path, environment: Mapping[str, str]) -> Secret:
    """The variable's before the file's. Raises KeyAbsent."""
    variable, path = VARIABLES[provider], directory / provider
    try:
        found = read_secret(variable, path, environment)
    except SecretUnfit as fault:
        raise KeyAbsent(str(fault)) from None
    if found is None:
        raise KeyAbsent(f"neither the variable {variable} nor the file {path} is there")
    return found
