"""Addresses that sent wrong keys wait, longer each time. Of this node alone: nothing of it reaches the store."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

FREE_FAILURES: Final = 5
WAIT_S_MIN: Final = 1.0
WAIT_S_MAX: Final = 300.0
FORGOTTEN_S: Final = 900.0
ADDRESSES_MAX: Final = 10_000  # about 3 MB; the one that was seen longest ago goes
ACCEPTED_MAX: Final = 16  # credentials of one address that a lock-out does not keep out


@dataclass(slots=True)
class _Seen:
    failures: int = 0
    until_s: float = 0.0
    last_s: float = 0.0
    accepted: OrderedDict[str, None] = field(default_factory=OrderedDict)


class Lockout:
    """A credential that was right from an address lately is heard there also during a lock-out, so that nobody is kept
    out by who shares the address."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self.failures_total = 0

    def wait_s(self, address: str, credential: str, now_s: float) -> float:
        """For how long the credential is not even looked at; 0 is not at all. credential: a hash, never the key."""
        seen = self._seen.get(_network(address))
        if seen is None or credential in seen.accepted:
            return 0.0
        return max(0.0, seen.until_s - now_s)

    def failed(self, address: str, now_s: float) -> int:
        """How many times in a row that is."""
        seen = self._of(address)
        if now_s - seen.last_s > FORGOTTEN_S:
            seen.failures = 0
        seen.failures += 1
        seen.last_s = now_s
        self.failures_total += 1
        beyond = seen.failures - FREE_FAILURES
        if beyond >= 0:
            seen.until_s = now_s + min(WAIT_S_MAX, WAIT_S_MIN * 2.0 ** min(beyond, 20))
        return seen.failures

    def accepted(self, address: str, credential: str) -> None:
        seen = self._seen.get(_network(address))
        if seen is not None and credential in seen.accepted:
            return
        seen = self._of(address)
        seen.accepted[credential] = None
        if len(seen.accepted) > ACCEPTED_MAX:
            seen.accepted.popitem(last=False)

    def refused(self, address: str, credential: str) -> None:
        """A credential that was right once and is not any more."""
        seen = self._seen.get(_network(address))
        if seen is not None:
            seen.accepted.pop(credential, None)

    def _of(self, address: str) -> _Seen:
        name = _network(address)
        seen = self._seen.get(name)
        if seen is None:
            seen = self._seen[name] = _Seen()
            if len(self._seen) > ADDRESSES_MAX:
                self._seen.popitem(last=False)
        self._seen.move_to_end(name)
        return seen


@lru_cache(maxsize=1_024)
def _network(address: str) -> str:
    """Of IPv6 the /64: a host has as many addresses there as it likes."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(IPv6Address(int(found) >> 64 << 64))
    return address
