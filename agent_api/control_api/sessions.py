"""Sessions of the console: signed cookies that any node can read, each with a token against forged requests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

import msgspec

from agent_api.control_api.problems import CsrfMissing
from runtime.consensus.store import Put, Store, absent
from runtime.operations.actor import Actor
from runtime.security.keyring import Keyring
from runtime.state import keys

COOKIE: Final = "aether_session"
CSRF_HEADER: Final = "x-csrf-token"
SESSION_S: Final = 8 * 60 * 60
_SECRET_BYTES: Final = 32
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
    """The secret that signs them is made once and kept in the store, so that a cookie is good at every node."""

    def __init__(self, *, store: Store, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring
        self._secret = b""

    async def begin(self, actor: Actor, *, key: str, now_unix_ms: int, ends_unix_ms: int = 0) -> tuple[str, Session]:
        """The cookie and what it says. Raises StoreFault.

        ends_unix_ms: when the credential itself ends; 0 for never.
        """
        await self._ready()
        expires = now_unix_ms + SESSION_S * 1_000
        session = Session(
            principal=actor.id,
            key=key,
            expires_unix_ms=min(expires, ends_unix_ms) if ends_unix_ms else expires,
            nonce=secrets.token_urlsafe(16),
        )
        body = base64.urlsafe_b64encode(msgspec.json.encode(session)).decode().rstrip("=")
        return f"{body}.{self._mac('session', body)}", session

    async def read(self, cookie: str) -> Session | None:
        """Also one that has ended; None for one that no node of this cluster made. Raises StoreFault."""
        body, _, mac = cookie.rpartition(".")
        if not body or len(cookie) > _COOKIE_CHARS_MAX or not cookie.isascii():
            return None
        await self._ready()
        if not hmac.compare_digest(self._mac("session", body), mac):
            return None
        return _decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))

    def actor_of(self, session: Session, now_unix_ms: int) -> Actor | None:
        """None once its time is over, the key is gone or has ended, or the principal is disabled."""
        if session.expires_unix_ms <= now_unix_ms:
            return None
        if not session.key:
            return self._keyring.principal(session.principal)
        actor = self._keyring.by_key_hash(session.key, now_unix_ms)
        return actor if actor is not None and actor.id == session.principal else None

    def csrf_of(self, session: Session) -> str:
        """What each change with the cookie must carry as a header: another site cannot know it."""
        return self._mac("csrf", session.nonce)

    def check_csrf(self, session: Session, given: str) -> None:
        """Raises CsrfMissing."""
        if not hmac.compare_digest(self.csrf_of(session).encode(), given.encode("utf-8", "surrogateescape")):
            raise CsrfMissing(f"a change with a session needs its token as {CSRF_HEADER}")

    def _mac(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()

    async def _ready(self) -> None:
        """The first node to need the secret makes it; all others read that one."""
        if self._secret:
            return
        fresh = secrets.token_bytes(_SECRET_BYTES)
        await self._store.txn([absent(keys.SESSION_SIGNING)], [Put(key=keys.SESSION_SIGNING, value=fresh)])
        item = (await self._store.get(keys.SESSION_SIGNING)).item
        assert item is not None, "the secret was written or was there"
        self._secret = item.value
