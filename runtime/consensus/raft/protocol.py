"""The version of what members say to each other. By itself, for clients compare it too and must not import pysyncobj."""

from __future__ import annotations

from typing import Final

PROTOCOL: Final = 2
