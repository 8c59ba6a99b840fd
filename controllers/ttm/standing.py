"""How a model stands that was crowned a while ago."""

from __future__ import annotations

from enum import StrEnum


class Standing(StrEnum):
    """Of a model that was crowned, beside the one before."""

    ON_PROBATION = "on_probation"
    KEPT = "kept"
    BACK = "back"
    """The one before did better, and forecasts again."""
