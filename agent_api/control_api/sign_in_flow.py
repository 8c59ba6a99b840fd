"""One sign-in at the identity provider, from the button to the way back: what this browser alone can bring along.

The cookie holds a random id, signed. State, nonce and the verifier of PKCE are derived from it, the last two with what
signed it: any node can go on with the sign-in, and nothing that the browser keeps is of use without the cluster.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import Final

import msgspec
from fastapi import Request, Response

from agent_api.control_api.console_files import PAGE
from agent_api.control_api.sealed import Seals, mac
from agent_api.control_api.sign_in_errors import SignInExpired, SignInUnknown

COOKIE: Final = "aether_sign_in"
PATH: Final = "/v1/sign-in"
PURPOSE: Final = "sign-in"
FLOW_MS: Final = 10 * 60 * 1_000  # for a password, a second factor, and finding the telephone
KEPT_S: Final = 60 * 60  # longer, so that who comes back late is told so
CHARS_MAX: Final = 1_024
_BACK: Final = re.compile(r"/console/[A-Za-z0-9._~%?&=+:,@/-]{0,400}")


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """back: the page that it began at."""

    id: str
    begun_unix_ms: int
    back: str


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A flow with what is derived from it."""

    flow: Flow
    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """S256 of RFC 7636."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class Flows:
    def __init__(self, seals: Seals) -> None:
        self._seals = seals

    async def begin(self, back: str, now_unix_ms: int) -> tuple[Begun, str]:
        """With its cookie. Raises StoreFault."""
        flow = Flow(id=secrets.token_urlsafe(24), begun_unix_ms=now_unix_ms, back=back)
        sealed = await self._seals.seal(PURPOSE, msgspec.json.encode(flow))
        return derived(flow, sealed.secret), sealed.text

    async def resume(self, request: Request) -> Begun | None:
        """What this browser began; None for nothing. Raises StoreFault."""
        opened = await self._seals.open(PURPOSE, request.cookies.get(COOKIE, ""), chars_max=CHARS_MAX)
        if opened is None:
            return None
        try:
            return derived(msgspec.json.decode(opened.content, type=Flow), opened.secret)
        except msgspec.DecodeError:  # of a node of another version
            return None


def derived(flow: Flow, secret: bytes) -> Begun:
    """Pure. The state tells nothing of the id: it stands in addresses, and the cookie must not be made from these."""
    return Begun(
        flow=flow,
        state=hashlib.sha256(f"sign-in-state:{flow.id}".encode()).hexdigest(),
        nonce=mac(secret, f"sign-in-nonce:{flow.id}"),
        verifier=mac(secret, f"sign-in-verifier:{flow.id}"),
    )


def check(begun: Begun | None, state: str, now_unix_ms: int) -> Begun:
    """Pure: that an answer is to what this browser began, and in time. Raises SignInUnknown or SignInExpired."""
    if begun is None:
        raise SignInUnknown("this browser began no sign-in, or finished it already")
    if not hmac.compare_digest(begun.state.encode(), state.encode("utf-8", "surrogatepass")):
        raise SignInUnknown("the identity provider's answer is to another sign-in than this browser began last")
    if now_unix_ms - begun.flow.begun_unix_ms > FLOW_MS:
        raise SignInExpired(f"the sign-in took longer than {FLOW_MS // 60_000} minutes")
    return begun


def keep(response: Response, cookie: str, *, secure: bool) -> None:
    """Out of scripts' reach. It must come along when another site, the provider, sends the browser back: lax. An empty
    one forgets it."""
    age_s = KEPT_S if cookie else 0
    response.set_cookie(COOKIE, cookie, max_age=age_s, path=PATH, secure=secure, httponly=True, samesite="lax")


def back_of(text: str) -> str:
    """A page of this console, whatever was asked for: nobody is sent elsewhere."""
    return text if _BACK.fullmatch(text) and "//" not in text and "/../" not in text else PAGE
