"""Where everything lies in etcd: below one prefix, so that a shared etcd can be used."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

_DIGITS: Final = 20  # numbers sort as text


@dataclass(frozen=True, slots=True)
class Names:
    """`root` ends in a slash. Data keys, sessions, results and markers are watched together."""

    root: bytes

    @property
    def data(self) -> bytes:
        return self.root + b"d/"

    @property
    def marker(self) -> bytes:
        return self.root + b"m"

    def key(self, key: str) -> bytes:
        return self.data + key.encode()

    def session(self, number: int) -> bytes:
        return self.root + b"s/" + digits(number)

    def result(self, session: int, sequence: int) -> bytes:
        return self.root + b"r/" + digits(session) + b"/" + digits(sequence)


def names_of(prefix: str, cluster: str) -> Names:
    return Names(f"{prefix.strip('/')}/{cluster}/".encode())


def digits(number: int) -> bytes:
    return b"%0*d" % (_DIGITS, number)


def lease_number(session: int, sequence: int) -> int:
    """The id of the lease that this change of a session asks for: the same when it is repeated, never 0."""
    digest = hashlib.sha256(digits(session) + digits(sequence)).digest()
    return int.from_bytes(digest[:8], "big") >> 1 or 1


def end_of(prefix: bytes) -> bytes:
    """The first key behind all that begin with `prefix`."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))
