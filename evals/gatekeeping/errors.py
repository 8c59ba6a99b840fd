"""What the campaign finds."""

from __future__ import annotations

from evals.forge.errors import ForgeFault


class GatePromiseBroken(ForgeFault):
    """A proposal was lost or applied twice, an answer differs from the first one, or the audit does not say what was
    done."""

    code = "gate_promise_broken"
    remedy = "The report names the seed that does the same again; the audit's export says what was written."


class NoAnswer(ForgeFault):
    """No node answered in time."""

    code, retryable = "no_answer", True
