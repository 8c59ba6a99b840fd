"""The identity provider as this cluster is its client: where it is asked, and codes exchanged for id tokens."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode, urlsplit

import anyio
import anyio.to_thread
import msgspec

from runtime.clock import Clock
from runtime.security.oidc import OidcSettings
from runtime.security.oidc_errors import ClientRefused, CodeRefused, ProviderUnfit, ProviderUnreachable
from runtime.telemetry.log import Secret

if TYPE_CHECKING:
    from runtime.security.provider_http import Answer

DISCOVERY: Final = "/.well-known/openid-configuration"
SECRET_VARIABLE: Final = "AETHER_OIDC_CLIENT_SECRET"  # noqa: S105  the name of the variable
WHOLE_S: Final = 10.0  # of one question: a provider that hangs is told about while people still wait
OLD_S: Final = 3_600.0  # an endpoint that moved is found within the hour
AGAIN_S: Final = 2.0  # between two questions for a document that could not be had
ASKING_MAX: Final = 4  # threads that wait for the provider; more sign-ins wait for one of them
BASIC, POST = "client_secret_basic", "client_secret_post"
_ERROR_CHARS_MAX: Final = 60

ReadSecret = Callable[[], Secret | None]
"""The client secret as it is now, None for a client without one. Raises SecretUnfit."""


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of the provider. auth: how the client proves itself where it has a secret."""

    authorize: str
    token: str
    keys: str
    auth: str = BASIC


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    """Of what the provider says of itself (OpenID Connect Discovery 1.0), what is used here."""

    issuer: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    jwks_uri: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = (BASIC,)


class _Tokens(msgspec.Struct, frozen=True, kw_only=True):
    id_token: str


class _Refusal(msgspec.Struct, frozen=True, kw_only=True):
    error: str = ""


class IdentityProvider:
    """Its document is kept; it is asked for again once it is old, and stays in use while it cannot be had."""

    def __init__(self, settings: OidcSettings, *, secret: ReadSecret, clock: Clock) -> None:
        self._settings = settings
        self._secret = secret
        self._clock = clock
        self._known: Endpoints | None = None
        self._known_s = 0.0
        self._trouble: ProviderUnreachable | ProviderUnfit | None = None
        self._asked_s = float("-inf")
        self._asking = asyncio.Lock()
        self._threads: anyio.CapacityLimiter | None = None

    async def endpoints(self) -> Endpoints:
        """Raises ProviderUnreachable or ProviderUnfit."""
        async with self._asking:
            now_s = self._clock.monotonic_s()
            if self._known is None or now_s - self._known_s >= OLD_S:
                await self._look(now_s)
            if self._known is None:
                assert self._trouble is not None
                raise type(self._trouble)(str(self._trouble))
            return self._known

    async def keys(self, where: str) -> bytes:
        """The provider's keys (JWKS); where: a file or an address, empty for what its document says. Raises OSError."""
        if where and urlsplit(where).scheme not in ("http", "https"):
            return await anyio.to_thread.run_sync(_read_file, where)
        try:
            answer = await self._ask(where or (await self.endpoints()).keys)
        except (ProviderUnreachable, ProviderUnfit) as fault:
            raise OSError(str(fault)) from fault
        if answer.status != 200:
            raise OSError(f"the provider answers {answer.status}")
        return answer.body

    async def exchange(self, *, code: str, verifier: str, redirect: str) -> str:
        """The id token for a code.

        Raises ProviderUnreachable, ProviderUnfit, ClientRefused, CodeRefused or SecretUnfit.
        redirect: the address that the browser was sent back to, as the provider was told it before.
        """
        endpoints = await self.endpoints()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
            "client_id": self._settings.client,
        }
        secret, headers = self._secret(), {}
        if secret is not None and endpoints.auth == POST:
            form["client_secret"] = secret.reveal()
        elif secret is not None:
            headers["Authorization"] = _basic(self._settings.client, secret)
        answer = await self._ask(endpoints.token, form=form, headers=headers)
        if answer.status != 200:
            raise _refusal_of(answer)
        try:
            return msgspec.json.decode(answer.body, type=_Tokens).id_token
        except msgspec.DecodeError:
            raise ProviderUnfit("the identity provider's answer to a code holds no id token") from None

    async def _look(self, now_s: float) -> None:
        if now_s - self._asked_s < AGAIN_S:
            return
        try:
            self._known = await self._described()
            self._known_s = now_s
        except (ProviderUnreachable, ProviderUnfit) as fault:
            self._trouble = fault
            self._asked_s = self._clock.monotonic_s()

    async def _described(self) -> Endpoints:
        """Raises ProviderUnreachable or ProviderUnfit."""
        settings = self._settings
        given = Endpoints(authorize=settings.authorize, token=settings.token, keys=settings.keys)
        if given.authorize and given.token and given.keys:
            return given
        answer = await self._ask(settings.issuer.rstrip("/") + DISCOVERY)
        if answer.status != 200:
            raise _trouble_of(answer, "its discovery document")
        return endpoints_of(answer.body, settings)

    async def _ask(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Raises ProviderUnreachable."""
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(ASKING_MAX)
        try:
            with anyio.fail_after(WHOLE_S):
                asking = partial(_asked, url, self._settings.authority, form, headers)
                return await anyio.to_thread.run_sync(asking, limiter=self._threads, abandon_on_cancel=True)
        except TimeoutError:
            raise ProviderUnreachable(f"the identity provider did not answer within {WHOLE_S:g} s") from None
        except OSError as error:
            raise ProviderUnreachable(f"the identity provider cannot be asked: {error}") from None


def endpoints_of(document: bytes, settings: OidcSettings) -> Endpoints:
    """Pure: what settings name goes before what the provider says. Raises ProviderUnfit."""
    from runtime.security.provider_http import is_safe

    try:
        said = msgspec.json.decode(document, type=_Document)
    except msgspec.DecodeError:
        raise ProviderUnfit("the identity provider's discovery document cannot be read") from None
    if said.issuer != settings.issuer:
        raise ProviderUnfit(f"the discovery document is of the issuer {said.issuer[:200]!r}, and not of oidc_issuer")
    methods = said.token_endpoint_auth_methods_supported
    found = Endpoints(
        authorize=settings.authorize or said.authorization_endpoint,
        token=settings.token or said.token_endpoint,
        keys=settings.keys or said.jwks_uri,
        auth=POST if POST in methods and BASIC not in methods else BASIC,
    )
    for what, url in (("sign-in", found.authorize), ("token", found.token)):
        if not is_safe(url):
            raise ProviderUnfit(f"the identity provider names no {what} endpoint at an HTTPS address")
    return found


def authorize_url(endpoints: Endpoints, words: Mapping[str, str]) -> str:
    """Where the browser is sent. Words that the endpoint's address has itself stay."""
    joint = "&" if urlsplit(endpoints.authorize).query else "?"
    return f"{endpoints.authorize}{joint}{urlencode(words, quote_via=quote)}"


def _asked(url: str, authority: str, form: Mapping[str, str] | None, headers: Mapping[str, str] | None) -> Answer:
    from runtime.security.provider_http import asked  # loads http, email and ssl: few clusters have a provider

    return asked(url, authority=authority, form=form, headers=headers)


def _read_file(where: str) -> bytes:
    from runtime.security.provider_http import ANSWER_BYTES_MAX

    return Path(where).read_bytes()[:ANSWER_BYTES_MAX]


def _basic(client: str, secret: Secret) -> str:
    """RFC 6749, 2.3.1: both are form-encoded first."""
    pair = f"{quote(client, safe='')}:{quote(secret.reveal(), safe='')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _trouble_of(answer: Answer, what: str) -> ProviderUnreachable | ProviderUnfit:
    sentence = f"the identity provider answers {answer.status} where {what} should be"
    return ProviderUnreachable(sentence) if answer.status >= 500 or answer.status == 429 else ProviderUnfit(sentence)


def _refusal_of(answer: Answer) -> ProviderUnreachable | ProviderUnfit | ClientRefused | CodeRefused:
    """Of an exchange that gave no token (RFC 6749, 5.2)."""
    if answer.status >= 500 or answer.status == 429 or answer.status < 400:
        return _trouble_of(answer, "the token")
    try:
        error = msgspec.json.decode(answer.body, type=_Refusal).error
    except msgspec.DecodeError:
        error = ""
    said = "".join(each for each in error if each.isalnum() or each in "_-")[:_ERROR_CHARS_MAX] or str(answer.status)
    if answer.status == 401 or error in ("invalid_client", "unauthorized_client"):
        return ClientRefused(f"the identity provider does not take this cluster as its client: {said}")
    if error in ("", "invalid_grant"):
        return CodeRefused(f"the identity provider does not take its code back: {said}")
    return ProviderUnfit(f"the identity provider does not understand the exchange of its code: {said}")
