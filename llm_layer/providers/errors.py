"""Why no language model answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from controllers.model_budget.records import Denied
from llm_layer.errors import LlmFault

Trouble = Literal["unreachable", "slow", "limited", "failing", "cut", "denied", "rejected", "garbled"]
"""unreachable: no connection · slow: no first token, or no end, in time · limited: 429 · failing: 5xx ·
cut: the stream ended in its middle · denied: the key is refused · rejected: 4xx, so the same would be again ·
garbled: what came is no answer of its API."""

AGAIN: frozenset[Trouble] = frozenset({"unreachable", "limited", "failing", "cut"})
"""May be otherwise in a moment. What was slow once is not waited for again: the next provider is asked."""

FREE: frozenset[Trouble] = frozenset({"unreachable", "limited", "failing", "denied", "rejected"})
"""Nobody takes money for these. Of the others nobody tells us what was written meanwhile."""


class ProviderFault(LlmFault):
    """One provider did not answer. The text is ours: nothing of the request or the vendor's exception is in it."""

    code = "provider_fault"

    def __init__(
        self, trouble: Trouble, detail: str, *, retry_after_s: float | None = None, amid_call: bool = False
    ) -> None:
        super().__init__(detail)
        self.trouble = trouble
        self.retry_after_s = retry_after_s
        self.amid_call = amid_call
        """The stream was cut while a tool call was being written: asked again, it is not streamed."""

    @property
    def again(self) -> bool:
        return self.trouble in AGAIN

    @property
    def free(self) -> bool:
        return self.trouble in FREE

    @property
    def counts(self) -> bool:
        """Against the provider. A request that it rejects is ours."""
        return self.trouble != "rejected"


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that was asked in vain, or left out because it kept failing."""

    provider: str
    trouble: str
    detail: str


class ModelsAbsent(LlmFault):
    """No provider is configured. The embedded rules answer alone."""

    code = "models_absent"
    remedy = "docs/guides/llm.md says how to configure a model; everything but free conversation works without."


class ModelsExhausted(LlmFault):
    """Every provider was asked in vain."""

    code, retryable = "models_exhausted", True
    remedy = "aether model status says how each provider stands; rules answer meanwhile."

    def __init__(self, tried: Sequence[Tried]) -> None:
        super().__init__("; ".join(_in_words(tried)))
        self.tried = tuple(tried)


def _in_words(tried: Sequence[Tried]) -> list[str]:
    """What came several times is told once, with how often."""
    told = Counter(f"{each.provider}: {each.detail}" for each in tried)
    return [f"{words} ({times} times)" if times > 1 else words for words, times in told.items()]


class BudgetEmpty(ModelsExhausted):
    """What the cluster may spend on models is spent, or reserved by others who ask at the same time."""

    code = "model_budget_empty"
    remedy = "aether model budget says what is spent and when that ends; model_usd_per_hour and others are settings."

    def __init__(self, denied: Denied) -> None:
        what = (
            "too many questions are under way" if denied.window == "open" else f"the {denied.window}'s budget is spent"
        )
        detail = f"{what}; there is more in {denied.resets_in_s} s"
        super().__init__([Tried(provider="budget", trouble=denied.window, detail=detail)])
        self.resets_in_s = denied.resets_in_s
