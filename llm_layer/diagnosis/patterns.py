"""What lines and reasons say in words that everybody's software uses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

PATTERNS: Final = {
    "out_of_memory": (r"out of memory|oom[- ]?kill|memoryerror|cannot allocate memory", "memory runs out"),
    "disk_full": (r"no space left|disk (is )?full|enospc|quota exceeded", "a disk or a quota is full"),
    "connection_refused": (r"connection refused|econnrefused|cannot connect|connect call failed",
                           "something that it connects to does not listen"),
    "certificate": (r"certificate (has )?expired|certificate verify failed|tls handshake", "a certificate is not good"),
    "pool_exhausted": (r"pool (is )?exhausted|too many connections|queuepool limit|remaining connection slots",
                       "connections to a database run out"),
    "timeout": (r"timed? ?out|deadline exceeded|deadline_exceeded", "something does not answer in time"),
    "missing_setting": (r"keyerror|missing (required )?(setting|config|environment)|variable .* (not|un)set",
                        "a setting is missing"),
    "import_failed": (r"modulenotfounderror|importerror|no module named", "a module is missing"),
    "permission": (r"permission denied|access denied|forbidden|unauthori[sz]ed", "a right is missing"),
}  # fmt: skip
"""Pattern and what it means; the first that fits a line counts."""
_COMPILED: Final = {name: (re.compile(pattern), words) for name, (pattern, words) in PATTERNS.items()}


def patterns_in(texts: Iterable[str]) -> list[tuple[str, str, int]]:
    """(name, meaning, how many texts), the most frequent first."""
    counts = Counter(name for each in texts if (name := _pattern_of(each.lower())))
    return [(name, _COMPILED[name][1], count) for name, count in counts.most_common()]


def _pattern_of(text: str) -> str:
    return next((name for name, (pattern, _) in _COMPILED.items() if pattern.search(text)), "")
