"""What the judging of forecasts refuses."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class MethodUnknown(RuntimeFault):
    code = "forecast_method_unknown"
    remedy = "Name some of those with commas between, or none for all."

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"there is no method {name!r}; known are {', '.join(known)}")
