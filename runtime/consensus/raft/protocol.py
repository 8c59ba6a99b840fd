"""The version of what members say to each other; by itself, for clients compare it and must not import pysyncobj."""

from __future__ import annotations

from typing import Final

PROTOCOL: Final = 2
