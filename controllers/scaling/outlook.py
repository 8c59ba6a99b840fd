"""What is known of the minutes to come: handed in by whoever forecasts."""

from __future__ import annotations

from typing import Protocol

from controllers.scaling.model import Forecast


class Outlook(Protocol):
    def forecast(self, slice_name: str) -> Forecast | None:
        """None while there is none, or none that can be trusted."""
        ...
