"""What browsers keep for the cluster: signed, so that any node can tell that a node of the cluster made it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import NamedTuple

from runtime.security.session_records import SessionRecords


class Sealed(NamedTuple):
    """secret: what it was signed with; more can be derived from it that no browser need keep."""

    text: str
    secret: bytes


class Opened(NamedTuple):
    content: bytes
    secret: bytes


class Seals:
    """What signs lies in the store, is made anew each day, and the one before stays good."""

    def __init__(self, records: SessionRecords) -> None:
        self._records = records

    async def seal(self, purpose: str, content: bytes) -> Sealed:
        """Raises StoreFault."""
        secret = (await self._records.signing()).secret
        body = base64.urlsafe_b64encode(content).decode().rstrip("=")
        return Sealed(f"{body}.{mac(secret, f'{purpose}:{body}')}", secret)

    async def open(self, purpose: str, text: str, *, chars_max: int) -> Opened | None:
        """None for what no node of this cluster sealed lately, or for another purpose. Raises StoreFault."""
        body, _, given = text.rpartition(".")
        if not body or len(text) > chars_max or not text.isascii():
            return None
        good = [
            each.secret
            for each in await self._records.generations()
            if hmac.compare_digest(mac(each.secret, f"{purpose}:{body}"), given)
        ]
        if not good:
            return None
        try:
            return Opened(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), good[0])
        except binascii.Error:
            return None


def mac(secret: bytes, text: str) -> str:
    """In hexadecimal: 64 letters that fit a cookie, an address, and RFC 7636's verifier."""
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
