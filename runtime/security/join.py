"""The join exchange: one request and one answer over plain HTTP, each authenticated by the token's secret.

The joining node's half is here; the cluster's is `runtime.cluster.admission`. Nothing secret travels: the node's key
stays on the node, certificates are public, and the token proves itself by its MAC.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final, Literal

import msgspec

from runtime.errors import RuntimeFault
from runtime.names import NodeId
from runtime.security.errors import JoinAnswerInvalid, JoinRefused
from runtime.security.token import JoinSecret
from runtime.state.values import Addresses

MESSAGE_BYTES_MAX: Final = 64 * 1024
CLOCK_SKEW_MS_MAX: Final = 5 * 60 * 1000


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What travels. `token` is the token's public part; `body` is JSON, signed as the very text it is."""

    token: str
    body: str
    mac: str


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True):
    node: NodeId
    role: Literal["core", "worker"]
    zone: str
    addresses: Addresses
    signing_request: str  # PEM
    nonce: str
    unix_ms: int


class JoinAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`core_nodes` maps the other core nodes to their store addresses."""

    nonce: str
    cluster_id: str
    certificate: str
    authority: str
    core_nodes: dict[str, str]
    unix_ms: int


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    detail: str
    remedy: str = ""


class JoinAttempt:
    """A node's try to join: makes its key, its request, and judges the answer."""

    def __init__(
        self,
        token: JoinSecret,
        *,
        node: NodeId,
        role: Literal["core", "worker"],
        zone: str,
        addresses: Addresses,
        now_unix_ms: int,
    ) -> None:
        from runtime.security.authority import make_request

        self._token = token
        self.key_pem, signing_request = make_request(node)
        self._request = JoinRequest(
            node=node,
            role=role,
            zone=zone,
            addresses=addresses,
            signing_request=signing_request.decode(),
            nonce=secrets.token_hex(16),
            unix_ms=now_unix_ms,
        )

    def request(self) -> bytes:
        """The same bytes each time, so it may be sent again when an answer was lost."""
        return seal(self._token, "join request", msgspec.json.encode(self._request).decode())

    def accept(self, answer: bytes, *, now_unix_ms: int) -> JoinAnswer:
        """Raises JoinAnswerInvalid when it is not from the token's cluster, JoinRefused when a clock is wrong."""
        from runtime.security import authority

        body = unseal(self._token, "join answer", answer)
        if body is None:
            raise JoinAnswerInvalid("it is not signed with the token")
        accepted = msgspec.json.decode(body, type=JoinAnswer)
        if not hmac.compare_digest(accepted.nonce, self._request.nonce):
            raise JoinAnswerInvalid("it answers another request")
        check_clock(there_unix_ms=accepted.unix_ms, here_unix_ms=now_unix_ms)
        try:
            fingerprint = authority.fingerprint_of(accepted.authority.encode())
        except ValueError:
            raise JoinAnswerInvalid("its CA certificate cannot be read") from None
        if not fingerprint.startswith(self._token.fingerprint):
            raise JoinAnswerInvalid("its CA is not the one that the token names")
        return accepted


def refusal(answer: bytes) -> RuntimeFault:
    """The cluster's problem reply as an error."""
    try:
        problem = msgspec.json.decode(answer, type=_Problem)
    except msgspec.DecodeError:
        return JoinAnswerInvalid("it is not from an Aether API")
    return JoinRefused(problem.detail, problem.remedy)


def seal(token: JoinSecret, purpose: str, body: str) -> bytes:
    return msgspec.json.encode(Envelope(token=token.public, body=body, mac=token.mac(purpose, body)))


def unseal(token: JoinSecret, purpose: str, message: bytes) -> str | None:
    """The body, or None when the message is malformed or was not made with the token."""
    try:
        envelope = msgspec.json.decode(message[: MESSAGE_BYTES_MAX + 1], type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return envelope.body if hmac.compare_digest(envelope.mac, token.mac(purpose, envelope.body)) else None


def check_clock(*, there_unix_ms: int, here_unix_ms: int) -> None:
    """Raises JoinRefused: certificates would seem expired or not yet valid, and records would lie."""
    skew_ms = here_unix_ms - there_unix_ms
    if abs(skew_ms) > CLOCK_SKEW_MS_MAX:
        raise JoinRefused(
            f"the clocks of the joining node and the cluster differ by {abs(skew_ms) // 1000} s",
            "Set both machines' clocks (NTP), then join again.",
        )
