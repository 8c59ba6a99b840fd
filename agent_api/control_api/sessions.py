"""Sessions of the console: signed cookies that any node can read, each with a token against forged requests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

import msgspec

from agent_api.control_api.problems import CsrfMissing
from runtime.consensus.store import Revision
from runtime.operations.actor import Actor
from runtime.security.keyring import Keyring
from runtime.security.session_records import SESSION_S, SessionRecords

COOKIE: Final = "aether_session"
CSRF_HEADER: Final = "x-csrf-token"
_COOKIE_CHARS_MAX: Final = 1_024


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What the cookie says, signed. It holds while the key behind it does: `key` is that key's hash, empty where an
    identity provider vouched."""

    principal: str
    key: str = ""
    expires_unix_ms: int
    nonce: str


_decode: Final = msgspec.json.Decoder(Session).decode


class Sessions:
    """Read at any node: what signs them lies in the store, and so do those that were ended before their time."""

    def __init__(self, *, records: SessionRecords, keyring: Keyring) -> None:
        self._records = records
        self._keyring = keyring

    async def begin(self, actor: Actor, *, key: str, now_unix_ms: int, ends_unix_ms: int = 0) -> tuple[str, Session]:
        """The cookie and what it says. Raises StoreFault.

        ends_unix_ms: when the credential itself ends; 0 for never.
        """
        signing = await self._records.signing()
        expires = now_unix_ms + SESSION_S * 1_000
        session = Session(
            principal=actor.id,
            key=key,
            expires_unix_ms=min(expires, ends_unix_ms) if ends_unix_ms else expires,
            nonce=secrets.token_urlsafe(16),
        )
        body = base64.urlsafe_b64encode(msgspec.json.encode(session)).decode().rstrip("=")
        return f"{body}.{_mac(signing.secret, body)}", session

    async def read(self, cookie: str) -> Session | None:
        """Also one that has ended; None for one that no node of this cluster made lately. Raises StoreFault."""
        body, _, mac = cookie.rpartition(".")
        if not body or len(cookie) > _COOKIE_CHARS_MAX or not cookie.isascii():
            return None
        good = [hmac.compare_digest(_mac(each.secret, body), mac) for each in await self._records.generations()]
        if not any(good):
            return None
        return _decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))

    async def end(self, session: Session) -> Revision:
        """At every node, from that revision on. Raises StoreFault."""
        return await self._records.end(session.principal, _digest("session", session.nonce))

    def actor_of(self, session: Session, now_unix_ms: int) -> Actor | None:
        """None once it was ended or its time is over, the key is gone or has ended, or the principal is disabled."""
        if session.expires_unix_ms <= now_unix_ms:
            return None
        if self._records.has_ended(session.principal, _digest("session", session.nonce)):
            return None
        if not session.key:
            return self._keyring.principal(session.principal)
        actor = self._keyring.by_key_hash(session.key, now_unix_ms)
        return actor if actor is not None and actor.id == session.principal else None

    def csrf_of(self, session: Session) -> str:
        """What each change with the cookie must carry as a header: another site cannot know it, since the nonce stands
        in the cookie alone, out of scripts' reach."""
        return _digest("csrf", session.nonce)

    def check_csrf(self, session: Session, given: str) -> None:
        """Raises CsrfMissing."""
        if not hmac.compare_digest(self.csrf_of(session).encode(), given.encode("utf-8", "surrogateescape")):
            raise CsrfMissing(f"a change with a session needs its token as {CSRF_HEADER}")


def _mac(secret: bytes, body: str) -> str:
    return hmac.new(secret, f"session:{body}".encode(), hashlib.sha256).hexdigest()


def _digest(purpose: str, nonce: str) -> str:
    return hashlib.sha256(f"{purpose}:{nonce}".encode()).hexdigest()
