"""What the supervisor tells a process that it starts: `--name value`, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import zip_longest


def words_told(process: str, argv: Sequence[str] | None, **defaults: str | None) -> Mapping[str, str]:
    """The values by name (`snapshot_every` for --snapshot-every). None as a default: it has to be told. What is wrong
    ends the process with 2 and a line. argparse would do so too, and cost every process of a node 0.6 MB for good."""
    words = list(sys.argv[1:] if argv is None else argv)
    told: dict[str, str | None] = dict(defaults)
    for flag, value in zip_longest(words[::2], words[1::2]):
        name = flag.removeprefix("--").replace("-", "_")
        if name not in defaults or not flag.startswith("--") or value is None:
            trouble = f"wants a value behind {flag}" if value is None else f"does not know {flag}"
            raise SystemExit(_usage(process, defaults, trouble))
        told[name] = value
    missing = [name for name, value in told.items() if value is None]
    if missing:
        raise SystemExit(_usage(process, defaults, f"wants {_flag(missing[0])}"))
    return {name: value for name, value in told.items() if value is not None}


def _usage(process: str, defaults: Mapping[str, str | None], trouble: str) -> int:
    known = " ".join(f"{_flag(name)} …" if value is None else f"[{_flag(name)} …]" for name, value in defaults.items())
    print(f"{process} {trouble}; it takes {known}", file=sys.stderr)
    return 2


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
