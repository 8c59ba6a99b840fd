"""Signing in through the identity provider: the button's address, the way there, and the way back into a session.

Authorization code with PKCE (RFC 6749, 7636, 9700). The browser is sent; the code is exchanged by the node.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from fastapi import Request, Response

from agent_api.control_api import sessions as session_cookie
from agent_api.control_api import sign_in_flow as flow_cookie
from agent_api.control_api import sign_in_refused as refusals
from agent_api.control_api.changes import answer
from agent_api.control_api.endpoint import Endpoint, Told
from agent_api.control_api.provided import Provided
from agent_api.control_api.rate import RateLimit
from agent_api.control_api.sealed import Seals
from agent_api.control_api.sessions import Sessions
from agent_api.control_api.sign_in_errors import (
    ProviderNotSet,
    SignInDenied,
    SignInUnknown,
    SubjectUnknown,
    TooManySignIns,
)
from agent_api.control_api.sign_in_flow import PATH, Begun, Flows, back_of, check
from agent_api.control_api.sign_in_refused import Refused
from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.errors import StoreUnavailable
from runtime.errors import RuntimeFault
from runtime.operations.actor import Actor
from runtime.security.kept_secret import SecretUnfit
from runtime.security.keyring import Keyring
from runtime.security.oidc import OidcSettings
from runtime.security.oidc_errors import ClientRefused
from runtime.security.oidc_provider import authorize_url

BEGIN: Final = f"{PATH}/begin"
CALLBACK: Final = f"{PATH}/callback"
SIGNED_IN: Final = "#signed-in"
"""Behind the page that somebody comes back to, for its script: the cookie itself is out of its reach."""
PER_S: Final = 10.0  # of one address, which may be a whole office's; each may make a question to the provider
CODE_CHARS_MAX: Final = 4_096
_ERROR: Final = re.compile(r"[a-z_]{1,60}")


class Ways(msgspec.Struct, frozen=True, kw_only=True):
    """How one may sign in. `name` and `begin`, the provider and where to go, are empty where none is set. `refused`:
    why the sign-in that this browser came back from failed; told once."""

    name: str
    begin: str
    refused: Refused | None


class BeginWords(msgspec.Struct, frozen=True, kw_only=True):
    """back: the page of the console to come back to. Others are left aside."""

    back: str = ""


class CallbackWords(msgspec.Struct, frozen=True, kw_only=True):
    """As RFC 6749 and 9207 name them; providers add words of their own."""

    code: str = ""
    state: str = ""
    iss: str = ""
    error: str = ""


class SigningIn:
    """provided: None where nobody signs in so."""

    def __init__(
        self,
        *,
        provided: Provided | None,
        keyring: Keyring,
        sessions: Sessions,
        seals: Seals,
        clock: Clock,
        log: Lines,
    ) -> None:
        self._provided = provided
        self._keyring = keyring
        self._sessions = sessions
        self._seals = seals
        self._flows = Flows(seals)
        self._clock = clock
        self._log = log
        self._rate = RateLimit(PER_S)

    def endpoints(self) -> list[Endpoint]:
        sent_on = Told(status=303, says="To the next page.", media=(), headers=("Location", "Set-Cookie"))
        return [
            Endpoint(
                name="sign_in.show",
                summary="How one may sign in to the console, and why the last sign-in failed.",
                method="GET",
                path=PATH,
                handle=self._show,
                role=None,
                open_because="who signs in has nothing to show yet; it tells the provider's name alone",
                answers=(Told(status=200, says="The ways.", model=Ways),),
            ),
            Endpoint(
                name="sign_in.begin",
                summary="Send a browser to the identity provider.",
                method="GET",
                path=BEGIN,
                handle=self._begin,
                role=None,
                open_because="who signs in has nothing to show yet; how often an address may is limited",
                words=BeginWords,
                answers=(sent_on,),
            ),
            Endpoint(
                name="sign_in.finish",
                summary="Where the identity provider sends a browser back: begins its session.",
                method="GET",
                path=CALLBACK,
                handle=self._finish,
                role=None,
                open_because="the provider vouches, for a sign-in that this browser's cookie began",
                words=CallbackWords,
                answers=(sent_on,),
            ),
        ]

    async def _show(self, request: Request) -> Response:
        provided = self._provided
        try:
            refused = await refusals.read(request, self._seals)
        except RuntimeFault:
            refused = None  # the page is of use without it
        ways = Ways(
            name=name_of(provided.settings) if provided is not None else "",
            begin=f"{provided.settings.address}{BEGIN}" if provided is not None else "",
            refused=refused,
        )
        response = answer(ways)
        if refusals.COOKIE in request.cookies:
            refusals.forget(response)
        return response

    async def _begin(self, request: Request) -> Response:
        back = back_of(request.query_params.get("back", ""))
        try:
            provided = self._admitted(request)
            endpoints = await provided.provider.endpoints()
            begun, cookie = await self._flows.begin(back, self._clock.unix_ms())
        except RuntimeFault as fault:
            return await self._refuse(request, fault, back)
        words = {
            "response_type": "code",
            "client_id": provided.settings.client,
            "redirect_uri": self._callback(request),
            "scope": "openid",
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": begun.challenge,
            "code_challenge_method": "S256",
        }
        response = _sent_to(authorize_url(endpoints, words))
        flow_cookie.keep(response, cookie, secure=self._is_secure(request))
        return response

    async def _finish(self, request: Request) -> Response:
        back = back_of("")
        try:
            provided = self._admitted(request)
            began = await self._flows.resume(request)
            back = began.flow.back if began is not None else back
            words = CallbackWords(
                **{name: request.query_params.get(name, "") for name in CallbackWords.__struct_fields__}
            )
            begun = check(began, words.state, self._clock.unix_ms())
            actor, subject = await self._vouched(request, provided, words, begun)
            now_unix_ms = self._clock.unix_ms()
            cookie, session = await self._sessions.begin(actor, subject=subject, now_unix_ms=now_unix_ms)
        except RuntimeFault as fault:
            return await self._refuse(request, fault, back)
        self._log.info("signed_in", actor=actor.id, by="identity provider")
        response = _sent_to(f"{back}{SIGNED_IN}")
        flow_cookie.keep(response, "", secure=self._is_secure(request))
        age_s = (session.expires_unix_ms - now_unix_ms) // 1_000
        session_cookie.keep(response, cookie, age_s, secure=self._is_secure(request))
        return response

    async def _vouched(
        self, request: Request, provided: Provided, words: CallbackWords, begun: Begun
    ) -> tuple[Actor, str]:
        """Who has signed in, and the provider's subject. Raises SignInDenied, SignInUnknown, SubjectUnknown, and what
        the exchange and the id token's checks raise."""
        if words.iss and words.iss != provided.settings.issuer:
            raise SignInUnknown("the answer names another identity provider than the one that was asked")
        if words.error or not words.code or len(words.code) > CODE_CHARS_MAX:
            said = words.error if _ERROR.fullmatch(words.error) else "no code"
            raise SignInDenied(f"the identity provider signed nobody in: {said}")
        token = await self._exchanged(request, provided, words.code, begun)
        holder = await provided.tokens.read(token, nonce=begun.nonce)
        actor = self._keyring.by_oidc_subject(holder.subject)
        if actor is None:
            raise SubjectUnknown(holder.subject)
        return actor, holder.subject

    async def _exchanged(self, request: Request, provided: Provided, code: str, begun: Begun) -> str:
        try:
            return await provided.provider.exchange(
                code=code, verifier=begun.verifier, redirect=self._callback(request)
            )
        except SecretUnfit as fault:  # its sentence names a path of this machine, which strangers need not know
            self._log.warning("client_secret_unfit", why=str(fault))
            raise ClientRefused("this node's client secret cannot be used; its log says why") from fault

    def _admitted(self, request: Request) -> Provided:
        """Raises ProviderNotSet, TooManySignIns or StoreUnavailable."""
        if self._provided is None:
            raise ProviderNotSet("no identity provider is set for signing in")
        address = request.client.host if request.client is not None else ""
        wait_s = self._rate.wait_s(address, self._clock.monotonic_s())
        if wait_s:
            raise TooManySignIns("sign-ins from this address come too often", wait_s=wait_s)
        if not self._keyring.is_known:
            raise StoreUnavailable("this node does not know the cluster's records yet")
        return self._provided

    async def _refuse(self, request: Request, fault: RuntimeFault, back: str) -> Response:
        self._log.warning("sign_in_refused", code=fault.code, path=request.url.path)
        response = _sent_to(back)
        flow_cookie.keep(response, "", secure=self._is_secure(request))
        await refusals.keep(response, fault, self._seals, secure=self._is_secure(request))
        return response

    def _callback(self, request: Request) -> str:
        """The same at the way there and back: the provider compares them."""
        given = self._provided.settings.address if self._provided is not None else ""
        return f"{given or _origin(request)}{CALLBACK}"

    def _is_secure(self, request: Request) -> bool:
        return self._callback(request).startswith("https:")


def name_of(settings: OidcSettings) -> str:
    return settings.name or settings.issuer.partition("://")[2].partition("/")[0] or settings.issuer


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _sent_to(location: str) -> Response:
    headers = {"location": location, "cache-control": "no-store", "referrer-policy": "no-referrer"}
    return Response(status_code=303, headers=headers)
