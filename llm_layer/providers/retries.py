"""Whether and when a provider is asked once more."""

from __future__ import annotations

from typing import Final

from llm_layer.providers.errors import ProviderFault

RETRIES_MAX: Final = 2
FIRST_S: Final = 0.5  # then twice as long; times 0.5 to 1.5, so that many who fail at once do not come back at once
WAIT_S_MAX: Final = 20.0  # of the 90 s that a question has; who wants more is not waited for


def wait_s(fault: ProviderFault, retry: int, random: float) -> float | None:
    """Before retry number `retry`, from 0. None: the next provider is asked instead. random: 0 to 1."""
    if retry >= RETRIES_MAX or not fault.again:
        return None
    if fault.amid_call:
        return 0.0
    backoff_s = FIRST_S * 2.0**retry * (0.5 + random)
    wanted_s = max(backoff_s, fault.retry_after_s or 0.0)
    return wanted_s if wanted_s <= WAIT_S_MAX else None
