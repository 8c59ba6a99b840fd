"""What one change of a key is told as: the event's name and data, or nothing."""

from __future__ import annotations

Values = dict[str, object] | None
"""A record as JSON says it, before or after the change; None is absent."""
Made = tuple[str, dict[str, object]] | None
