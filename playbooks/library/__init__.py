"""The playbooks that come with the package: one file each, known by their hashes like uploaded ones."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from playbooks.document.reading import Source, read


@cache
def library() -> tuple[Source, ...]:
    """Read once, when somebody first asks."""
    files = sorted(Path(__file__).parent.glob("*.toml"))
    return tuple(read(each.read_bytes()) for each in files)
