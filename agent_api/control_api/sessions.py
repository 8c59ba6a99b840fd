"""Sessions of the console: signed cookies that any node can read, each with a token against forged requests."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

import msgspec
from fastapi import Response

from agent_api.control_api.problems import CsrfMissing
from agent_api.control_api.sealed import Seals
from runtime.consensus.store import Revision
from runtime.operations.actor import Actor
from runtime.security.keyring import Keyring
from runtime.security.principals import hash_of
from runtime.security.session_records import SESSION_S, SessionRecords

COOKIE: Final = "aether_session"
CSRF_HEADER: Final = "x-csrf-token"
PURPOSE: Final = "session"
_COOKIE_CHARS_MAX: Final = 1_024


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What the cookie says, signed. It holds while what is behind it does: `key` is that key's hash, or `subject` that
    of whom an identity provider vouched for."""

    principal: str
    key: str = ""
    subject: str = ""
    expires_unix_ms: int
    nonce: str


_decode: Final = msgspec.json.Decoder(Session).decode


class Sessions:
    """Read at any node: what signs them lies in the store, and so do those that were ended before their time."""

    def __init__(self, *, records: SessionRecords, keyring: Keyring, seals: Seals) -> None:
        self._records = records
        self._keyring = keyring
        self._seals = seals

    async def begin(
        self, actor: Actor, *, key: str = "", subject: str = "", now_unix_ms: int, ends_unix_ms: int = 0
    ) -> tuple[str, Session]:
        """The cookie and what it says. Raises StoreFault.

        key: its hash. subject: of the identity provider's. ends_unix_ms: when the credential itself ends; 0 for never.
        """
        expires = now_unix_ms + SESSION_S * 1_000
        session = Session(
            principal=actor.id,
            key=key,
            subject=hash_of(subject) if subject else "",
            expires_unix_ms=min(expires, ends_unix_ms) if ends_unix_ms else expires,
            nonce=secrets.token_urlsafe(16),
        )
        return (await self._seals.seal(PURPOSE, msgspec.json.encode(session))).text, session

    async def read(self, cookie: str) -> Session | None:
        """Also one that has ended; None for one that no node of this cluster made lately. Raises StoreFault."""
        opened = await self._seals.open(PURPOSE, cookie, chars_max=_COOKIE_CHARS_MAX)
        return _decode(opened.content) if opened is not None else None

    async def end(self, session: Session) -> Revision:
        """At every node, from that revision on. Raises StoreFault."""
        return await self._records.end(session.principal, _digest("session", session.nonce))

    def actor_of(self, session: Session, now_unix_ms: int) -> Actor | None:
        """None once it was ended or its time is over, the key is gone or has ended, or the principal is disabled."""
        if session.expires_unix_ms <= now_unix_ms:
            return None
        if self._records.has_ended(session.principal, _digest("session", session.nonce)):
            return None
        if session.subject:
            return self._keyring.by_subject_hash(session.principal, session.subject)
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


def keep(response: Response, cookie: str, age_s: int, *, secure: bool) -> None:
    """Out of scripts' reach, and never sent from another site's page."""
    response.set_cookie(COOKIE, cookie, max_age=age_s, path="/", secure=secure, httponly=True, samesite="strict")


def _digest(purpose: str, nonce: str) -> str:
    return hashlib.sha256(f"{purpose}:{nonce}".encode()).hexdigest()
