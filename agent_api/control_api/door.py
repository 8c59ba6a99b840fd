"""Who may come in: finds out who a request is from, and whether that one may call the endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from fastapi import Request, Response

from agent_api.control_api.decoding import check_media
from agent_api.control_api.endpoint import Endpoint, Handler
from agent_api.control_api.lockout import Lockout
from agent_api.control_api.problems import Forbidden, KeyExpired, LockedOut, TooManyRequests, Unauthorized
from agent_api.control_api.rate import RateLimit
from agent_api.control_api.sessions import COOKIE, CSRF_HEADER, Session, Sessions
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.errors import StoreUnavailable
from runtime.operations import subjects
from runtime.operations.actor import Actor, at_least
from runtime.security.keyring import Keyring
from runtime.security.oidc import Holder
from runtime.security.principals import hash_of

CREDENTIAL_CHARS_MAX: Final = 8_192
_SUBJECTS: Final = {"slice": subjects.of_slice, "node": subjects.of_node, "blueprint": subjects.of_blueprint}

ReadToken = Callable[[str], Awaitable[Holder | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`credential` is a hash of what was sent. `session` is set where that was a cookie."""

    actor: Actor
    credential: str
    key_sha256: str = ""
    subject: str = ""
    """Of the identity provider that vouched."""
    expires_unix_ms: int = 0
    """When the credential itself ends; 0 is never, or not known."""
    session: Session | None = None


class Door:
    """`guarded` puts it before an endpoint. tokens: reads bearer tokens of an identity provider, where one is set."""

    def __init__(
        self,
        *,
        keyring: Keyring,
        sessions: Sessions,
        tokens: ReadToken | None,
        clock: Clock,
        per_s: float,
        log: Lines,
    ) -> None:
        self._keyring = keyring
        self._sessions = sessions
        self._tokens = tokens
        self._clock = clock
        self._log = log
        self._rate = RateLimit(per_s)
        self.lockout = Lockout()

    def guarded(self, endpoint: Endpoint) -> Handler:
        async def handle(request: Request) -> Response:
            caller = await self._caller(request)
            self._check(endpoint, request, caller)
            request.state.caller = caller
            if endpoint.body is not None:
                check_media(request, endpoint.takes)
            return await endpoint.handle(request)

        return endpoint.handle if endpoint.role is None else handle

    def _check(self, endpoint: Endpoint, request: Request, caller: Caller) -> None:
        """Raises TooManyRequests, CsrfMissing or Forbidden."""
        actor = caller.actor
        wait_s = self._rate.wait_s(actor.id, self._clock.monotonic_s())
        if wait_s:
            raise TooManyRequests(f"{actor.id} asks more often than it may", wait_s=wait_s)
        if caller.session is not None and request.method not in ("GET", "HEAD"):
            self._sessions.check_csrf(caller.session, request.headers.get(CSRF_HEADER, ""))
        assert endpoint.role is not None
        if endpoint.subjectless and at_least(actor.role, endpoint.role):
            return
        subject = (endpoint.subject or subject_of)(request)
        if not endpoint.gated and not actor.may(endpoint.role, subject):
            raise Forbidden(f"{endpoint.name} needs the role {endpoint.role}, and {actor.id} is {_role_of(actor)}")

    async def _caller(self, request: Request) -> Caller:
        """Raises Unauthorized, KeyExpired or LockedOut."""
        secret = bearer_of(request)
        cookie = "" if secret else request.cookies.get(COOKIE, "")
        if not secret and not cookie:
            raise Unauthorized("this needs a key")
        if not self._keyring.is_known:
            raise StoreUnavailable("this node does not know the cluster's records yet")
        address = request.client.host if request.client is not None else ""
        sha256 = hash_of(secret or cookie)
        wait_s = self.lockout.wait_s(address, sha256, self._clock.monotonic_s())
        if wait_s:
            raise LockedOut("keys from this address were wrong too often", wait_s=wait_s)
        caller = await (self._by_secret(secret, sha256) if secret else self._by_cookie(cookie, sha256))
        if caller is None and secret and self._keyring.has_expired(sha256, self._clock.unix_ms()):
            self.lockout.refused(address, sha256)
            raise KeyExpired("that key's time is over")
        if caller is None:
            self._failed(request, address, sha256)
            raise Unauthorized("that key is not known, or not valid any more")
        self.lockout.accepted(address, sha256)
        return caller

    async def _by_secret(self, secret: str, sha256: str) -> Caller | None:
        actor = self._keyring.by_key_hash(sha256, self._clock.unix_ms())
        if actor is not None:
            return Caller(actor=actor, credential=sha256, key_sha256=sha256)
        if self._tokens is None or secret.count(".") != 2:
            return None
        holder = await self._tokens(secret)
        actor = self._keyring.by_oidc_subject(holder.subject) if holder is not None else None
        if actor is None or holder is None:
            return None
        return Caller(actor=actor, credential=sha256, subject=holder.subject, expires_unix_ms=holder.expires_unix_ms)

    async def _by_cookie(self, cookie: str, sha256: str) -> Caller | None:
        """A session that has ended is nobody's guess: it counts for no lock-out. Raises Unauthorized."""
        session = await self._sessions.read(cookie)
        if session is None:
            return None
        actor = self._sessions.actor_of(session, self._clock.unix_ms())
        if actor is None:
            raise Unauthorized("the session has ended")
        return Caller(actor=actor, credential=sha256, session=session)

    def holds(self, caller: Caller) -> bool:
        """Whether what a caller came with is still good, for the same as then: who follows a stream comes through the
        door but once."""
        now_unix_ms = self._clock.unix_ms()
        if caller.session is not None:
            return self._sessions.actor_of(caller.session, now_unix_ms) == caller.actor
        if caller.key_sha256:
            return self._keyring.by_key_hash(caller.key_sha256, now_unix_ms) == caller.actor
        return now_unix_ms < caller.expires_unix_ms and self._keyring.principal(caller.actor.id) == caller.actor

    def _failed(self, request: Request, address: str, sha256: str) -> None:
        """Told to the node's log alone."""
        self.lockout.refused(address, sha256)
        times = self.lockout.failed(address, self._clock.monotonic_s())
        self._log.warning("authentication_failed", address=address, path=request.url.path[:200], times=times)


def caller_of(request: Request) -> Caller:
    """Who the request was found to come from."""
    found = request.state.caller
    assert isinstance(found, Caller)
    return found


def bearer_of(request: Request) -> str:
    """The secret of an Authorization header; empty without one. Raises Unauthorized for another scheme."""
    header = request.headers.get("authorization", "")
    if not header:
        return ""
    scheme, _, secret = header.partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret or len(secret) > CREDENTIAL_CHARS_MAX:
        raise Unauthorized("the Authorization header is not of the form: Bearer KEY")
    return secret


def subject_of(request: Request) -> str:
    """What the path is about, for roles that hold for some subjects only."""
    for name, subject in _SUBJECTS.items():
        if name in request.path_params:
            return subject(str(request.path_params[name]))
    return ""


def _role_of(actor: Actor) -> str:
    return f"{actor.role} of {', '.join(actor.reads_only)} alone" if actor.reads_only else str(actor.role)
