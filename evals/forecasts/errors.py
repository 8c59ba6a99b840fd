"""What the judging of forecasts refuses."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class MethodUnknown(RuntimeFault):
    code = "forecast_method_unknown"
    remedy = "`./aether ttm backtest --list` says which there are."

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"there is no method {name!r}; known are {', '.join(known)}")
