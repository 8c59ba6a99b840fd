"""What the campaign finds."""

from __future__ import annotations

from evals.forge.errors import ForgeFault


class RetrainingPromiseBroken(ForgeFault):
    """Drift trained nobody, a challenger was crowned that is no better, a minute was missed while the model changed, or
    a model that did worse stayed."""

    code = "retraining_promise_broken"
    remedy = "`aether log list --event forecast_training_began` and the events beside it say how far it came."
