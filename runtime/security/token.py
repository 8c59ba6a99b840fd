"""Join tokens: who holds one may join once (or a stated number of times) until it expires.

A token is `id-expiry-uses-secret-fingerprint`, all hexadecimal. The secret is derived from the CA's key, so only the
node that signs can check it and nothing needs to be stored to make one; it authenticates the join exchange in both
directions and never travels itself. The fingerprint tells the joining node which CA to believe.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runtime.security.errors import JoinRefused

if TYPE_CHECKING:
    from runtime.security.authority import Authority

FINGERPRINT_DIGITS: Final = 32  # 128 bits of the CA certificate's SHA-256
SECRET_DIGITS: Final = 32
USES_MAX: Final = 1000
_TOKEN: Final = re.compile(r"([0-9a-f]{8}-[0-9a-f]{1,12}-[0-9a-f]{1,3})-([0-9a-f]{32})-([0-9a-f]{32})")


@dataclass(frozen=True, slots=True, repr=False)
class JoinSecret:
    """`public` is the part that travels: id, expiry in seconds since 1970, uses."""

    public: str
    secret: str
    fingerprint: str = ""

    @property
    def id(self) -> str:
        return self.public.split("-")[0]

    @property
    def expires_unix_ms(self) -> int:
        return int(self.public.split("-")[1], 16) * 1000

    @property
    def uses(self) -> int:
        return int(self.public.split("-")[2], 16)

    def text(self) -> str:
        """As people pass it on."""
        return f"{self.public}-{self.secret}-{self.fingerprint}"

    def mac(self, purpose: str, body: str) -> str:
        """Authenticates one message; `purpose` keeps requests from being taken for answers."""
        key = hashlib.sha256(b"aether join\0" + self.secret.encode()).digest()
        return hmac.digest(key, f"{purpose}\0{body}".encode(), "sha256").hex()

    def __repr__(self) -> str:
        return f"JoinSecret({self.public!r}, ***)"


def make_token(authority: Authority, *, now_unix_ms: int, valid_s: int, uses: int) -> JoinSecret:
    """A token that only this authority can have made."""
    public = f"{secrets.token_hex(4)}-{now_unix_ms // 1000 + valid_s:x}-{min(uses, USES_MAX):x}"
    return recall(authority, public)


def recall(authority: Authority, public: str) -> JoinSecret:
    """The whole token for its public part, which may have been made up: the MAC of the request decides."""
    secret = authority.secret(f"join token {public}".encode()).hex()[:SECRET_DIGITS]
    return JoinSecret(public, secret, authority.fingerprint[:FINGERPRINT_DIGITS])


def read_token(text: str) -> JoinSecret:
    """Raises JoinRefused."""
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise JoinRefused(
            "that is no join token", "Copy the whole token that `aether cluster token DIR` printed; it ends before @."
        )
    return JoinSecret(match[1], match[2], match[3])


def is_public_part(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{1,12}-[0-9a-f]{1,3}", text) is not None
