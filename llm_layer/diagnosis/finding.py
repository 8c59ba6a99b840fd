"""What a diagnosis finds."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be. `weight`, 0 to 1, says how much it explains; `evidence` are ids."""

    mechanism: str
    root: str
    says: str
    weight: float
    evidence: tuple[str, ...]
    foreign: bool = False
    """Words stand in it that anybody may have written: of logs, failures, or alerts that another system sent."""
