"""What the LLM layer refuses or cannot do."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class LlmFault(RuntimeFault):
    """Base of this layer's errors."""

    code = "llm_fault"


class SlashInvalid(LlmFault):
    """A slash command that is none, or lacks something; the sentence says how it is written."""

    code = "slash_invalid"
    remedy = "/operation list tells them all; aether chat completes them behind a slash."
