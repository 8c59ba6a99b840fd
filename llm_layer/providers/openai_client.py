"""OpenAI's client, for its own service and for whatever is compatible with it."""

from __future__ import annotations

from llm_layer.providers.configured import Configured
from llm_layer.providers.vendor_client import Opened


def opened(configured: Configured) -> Opened:
    import openai

    limits = configured.limits
    client = openai.AsyncOpenAI(
        api_key=configured.key.reveal(),
        base_url=configured.url or None,
        timeout=openai.Timeout(limits.total_s, connect=limits.connect_s),
        max_retries=0,  # ours say how often, and how long is waited
    )
    return client, (openai.OpenAIError,)
