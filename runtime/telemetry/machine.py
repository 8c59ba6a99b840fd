"""What a node's machine and certificate say: how full memory and disk are, and how long the node may still speak."""

from __future__ import annotations

import calendar
import re
import shutil
import ssl
import time
from pathlib import Path
from typing import Final

from runtime.clock import Clock
from runtime.telemetry.figures import MachineFigures

MEMINFO: Final = Path("/proc/meminfo")
DAY_S: Final = 86_400
_PEM_HEADER: Final = "-----BEGIN CERTIFICATE-----"
_PEM_FOOTER: Final = "-----END CERTIFICATE-----"
_LINE: Final = re.compile(rb"^(MemTotal|MemAvailable):\s+(\d+) kB$", re.MULTILINE)
_TIME: Final = rb"(?:\x17\x0d(\d{12}Z)|\x18\x0f(\d{14}Z))"
_VALIDITY: Final = re.compile(rb"\x30." + _TIME + _TIME, re.DOTALL)
"""Two times in a sequence: of X.509's fields only `validity` is so (RFC 5280, 4.1). The package that reads certificates
takes 10 MB, and this process does not need it otherwise."""


class Machine:
    """Of the node that this process runs on. A file that cannot be read leaves its figure unknown."""

    def __init__(self, *, data: Path, certificate: Path, clock: Clock, meminfo: Path = MEMINFO) -> None:
        self._data = data
        self._certificate = certificate
        self._clock = clock
        self._meminfo = meminfo
        self._ends: tuple[int, int | None] = (0, None)  # the file's time of change, and when its certificate ends

    def figures(self) -> MachineFigures:
        ends_s = self._certificate_ends_s()
        left_s = ends_s - self._clock.unix_ms() / 1_000 if ends_s is not None else None
        return MachineFigures(
            memory_share=self._memory_share(),
            disk_share=self._disk_share(),
            certificate_left_days=left_s / DAY_S if left_s is not None else None,
        )

    def _memory_share(self) -> float | None:
        try:
            found = dict(_LINE.findall(self._meminfo.read_bytes()))
            return 1.0 - int(found[b"MemAvailable"]) / int(found[b"MemTotal"])
        except (OSError, KeyError, ZeroDivisionError):
            return None

    def _disk_share(self) -> float | None:
        try:
            usage = shutil.disk_usage(self._data)
        except OSError:
            return None
        room = usage.used + usage.free  # without what is kept for root: the node never gets it
        return usage.used / room if room else None

    def _certificate_ends_s(self) -> int | None:
        try:
            changed = self._certificate.stat().st_mtime_ns
            if changed != self._ends[0]:
                self._ends = (changed, ends_of(self._certificate.read_text()))
        except (OSError, ValueError):
            return None
        return self._ends[1]


def ends_of(pem: str) -> int | None:
    """Unix seconds at which the first certificate of the text ends. Raises ValueError if there is none."""
    end = pem.find(_PEM_FOOTER) + len(_PEM_FOOTER)
    found = _VALIDITY.search(ssl.PEM_cert_to_DER_cert(pem[pem.find(_PEM_HEADER) : end]))
    if found is None:
        return None
    short, long = found[3], found[4]
    if short is not None:  # of years until 2049
        return calendar.timegm(time.strptime(f"20{short.decode()}", "%Y%m%d%H%M%SZ"))
    return calendar.timegm(time.strptime(long.decode(), "%Y%m%d%H%M%SZ"))
