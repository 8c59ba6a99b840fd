"""Operations on receivers: whom alerts are told to. Records name where secrets are; secrets are in no record."""

from __future__ import annotations

import re
import urllib.parse
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runtime.operations import subjects
from runtime.operations.actor import Role
from runtime.operations.alerts.fields import MadeField, NamedField, SignedField, names_below
from runtime.operations.operation import Change, Convergence, Effect, Request, Result, Risk, Route
from runtime.operations.plan import Call, Json, KeyChange, Plan, Refusal
from runtime.operations.state import PlanState
from runtime.spelling import nearest
from runtime.state import keys
from runtime.state.values import decode, encode
from runtime.telemetry.alerts.records import Receiver, ReceiverTest
from runtime.telemetry.alerts.references import is_reference

RECEIVERS_MAX: Final = 100
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SERVER: Final = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")
_ADDRESS: Final = re.compile(r"[^@\s<>,;:\"]{1,64}@[A-Za-z0-9.\-]{1,190}")

ReferenceField = Annotated[str, Meta(max_length=120)]
AddressField = Annotated[str, Meta(max_length=254)]


class ReceiverRequest(Request, frozen=True, kw_only=True):
    """The whole receiver: what is not given is as it is by default."""

    name: Annotated[NamedField, Meta(description="Of the receiver.")]
    kind: Annotated[Literal["webhook", "email"], Meta(description="How it is told.")]
    state: Annotated[Literal["on", "off"], Meta(description="Whether it is told anything.")] = "on"
    ends: Annotated[Literal["told", "untold"], Meta(description="Whether it is told of alerts' ends.")] = "told"
    url: Annotated[
        str,
        Meta(
            max_length=1_000,
            description="Of a webhook; where the address is a secret itself, file:NAME or env:AETHER_ALERT_….",
        ),
    ] = ""
    format: Annotated[
        Literal["aether", "alertmanager"], Meta(description="Of the body: Aether's own, or Alertmanager's version 4.")
    ] = "aether"
    auth: Annotated[
        Literal["none", "bearer", "hmac"], Meta(description="A bearer token, or a signature of each body.")
    ] = "none"
    secret: Annotated[
        ReferenceField, Meta(description="Where the token or the key is: file:NAME or env:AETHER_ALERT_….")
    ] = ""
    server: Annotated[str, Meta(max_length=260, description="Of e-mail: host:port of the mail server.")] = ""
    tls: Annotated[Literal["starttls", "tls", "none"], Meta(description="How the mail server is spoken to.")] = (
        "starttls"
    )
    username: Annotated[str, Meta(max_length=200, description="To log in at the mail server with.")] = ""
    password: Annotated[ReferenceField, Meta(description="Where its password is.")] = ""
    sender: Annotated[AddressField, Meta(description="Whom mail is from.")] = ""
    to: Annotated[tuple[AddressField, ...], Meta(max_length=20, description="Whom mail goes to.")] = ()
    authority: Annotated[ReferenceField, Meta(description="file:NAME of a CA to trust instead of the system's.")] = ""


class RemoveRequest(Request, frozen=True, kw_only=True):
    name: Annotated[NamedField, Meta(description="Of the receiver.")]


class TrialRequest(Request, frozen=True, kw_only=True):
    name: Annotated[NamedField, Meta(description="Of the receiver.")]
    created_unix_ms: MadeField = 0
    signed_by: SignedField = ""


class ReceiverTried(Result, frozen=True, kw_only=True):
    name: str


class ReceiverSet(Result, frozen=True, kw_only=True):
    name: str
    kind: str


class ReceiverRemoved(Result, frozen=True, kw_only=True):
    name: str


def plan_set(state: PlanState, request: ReceiverRequest) -> Plan | Refusal:
    problem = _webhook_problem(request) if request.kind == "webhook" else _mail_problem(request)
    if problem:
        remedy = "docs/guides/alerts.md says what each kind of receiver needs."
        return Refusal(code="receiver_invalid", detail=problem, remedy=remedy)
    key = keys.alert_receiver(request.name)
    before, after = state.value(key), encode(_record(request))
    if before is None and len(names_below(state, keys.ALERT_RECEIVERS)) >= RECEIVERS_MAX:
        return Refusal(code="receiver_invalid", detail=f"there are {RECEIVERS_MAX} receivers already")
    where = f"by mail to {', '.join(request.to)}" if request.kind == "email" else f"at {_shown(request.url)}"
    return Plan(
        operation="alert.set-receiver",
        subject=subjects.CLUSTER,
        summary=f"alerts are told to {request.name} {where}",
        changes=() if before == after else (KeyChange(key=key, before=before, after=after),),
        reads=state.reads,
        inverse=_before(request.name, before),
        result={"name": request.name, "kind": request.kind},
    )


def _shown(url: str) -> str:
    """Without what may be secret: some services take a token in the path."""
    return url if is_reference(url) else f"{urllib.parse.urlsplit(url).scheme}://{urllib.parse.urlsplit(url).netloc}"


def _record(request: ReceiverRequest) -> Receiver:
    members = msgspec.structs.asdict(request)
    enabled, ends = members.pop("state") == "on", members.pop("ends") == "told"
    members.pop("name")
    return Receiver(enabled=enabled, tells_ends=ends, **members)


def _webhook_problem(request: ReceiverRequest) -> str:
    if request.auth != "none" and not is_reference(request.secret):
        return "secret says where the secret is, as file:NAME or env:AETHER_ALERT_NAME, and never is the secret"
    if request.authority and not request.authority.startswith("file:"):
        return "authority is file:NAME"
    return "" if is_reference(request.url) else url_problem(request.url, with_token=request.auth == "bearer")


def url_problem(url: str, *, with_token: bool) -> str:
    """What is wrong with a webhook's address; empty if nothing is. It is not told: it may hold a secret."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "url is no address"
    if parts.scheme not in ("http", "https") or not host or any(ord(each) <= 32 or ord(each) > 126 for each in url):
        return "url is an address that begins with http:// or https://"
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "url holds a user, a password or a fragment: name a secret instead"
    if with_token and parts.scheme == "http" and host not in LOOPBACK:
        return "a bearer token goes over https alone"
    return ""


def _mail_problem(request: ReceiverRequest) -> str:
    found = _SERVER.fullmatch(request.server)
    if found is None or not 0 < int(found[2]) < 65_536:
        return "server is host:port of a mail server"
    if not request.to or not all(_ADDRESS.fullmatch(each) for each in (request.sender, *request.to)):
        return "e-mail needs a sender and at least one address in `to`, each as name@host"
    if bool(request.username) != bool(request.password):
        return "username and password go together"
    if request.password and not is_reference(request.password):
        return "password says where the password is, as file:NAME or env:AETHER_ALERT_NAME, and never is the password"
    if request.password and request.tls == "none" and found[1] not in LOOPBACK:
        return "a password goes over TLS alone"
    return "authority is file:NAME" if request.authority and not request.authority.startswith("file:") else ""


def plan_remove(state: PlanState, request: RemoveRequest) -> Plan | Refusal:
    key = keys.alert_receiver(request.name)
    before = state.value(key)
    if before is None:
        return _unknown(state, request.name)
    return Plan(
        operation="alert.remove-receiver",
        subject=subjects.CLUSTER,
        summary=f"alerts are not told to {request.name} any more",
        changes=(KeyChange(key=key, before=before, after=None),),
        reads=state.reads,
        inverse=_before(request.name, before),
        result={"name": request.name},
    )


def _unknown(state: PlanState, name: str) -> Refusal:
    near = nearest(name, names_below(state, keys.ALERT_RECEIVERS))
    return Refusal(
        code="receiver_not_found",
        detail=f"there is no receiver {name!r}{near}",
        remedy="List them: aether alert receivers.",
    )


def plan_trial(state: PlanState, request: TrialRequest) -> Plan | Refusal:
    """The leader sends, and notes what came of it: whoever waits for that knows."""
    if state.value(keys.alert_receiver(request.name)) is None:
        return _unknown(state, request.name)
    key = keys.alert_test(request.name)
    before = state.value(key)
    after = encode(ReceiverTest(at_unix_ms=request.created_unix_ms, by=request.signed_by))
    return Plan(
        operation="alert.test-receiver",
        subject=subjects.CLUSTER,
        summary=f"{request.name} is sent an alert that is none",
        changes=() if before == after else (KeyChange(key=key, before=before, after=after),),
        reads=state.reads,
        result={"name": request.name},
    )


def tried(state: PlanState, request: TrialRequest) -> Convergence:
    raw = state.value(keys.alert_test(request.name))
    test = decode(raw, ReceiverTest) if raw is not None else None
    if test is None or test.state == "taken":
        return Convergence(done=True)
    return Convergence(done=False, waits_for=test.error or f"{request.name} has not answered yet")


def _before(name: str, raw: bytes | None) -> Call:
    if raw is None:
        return Call(operation="alert.remove-receiver", request={"name": name})
    members: dict[str, Json] = msgspec.to_builtins(decode(raw, Receiver))
    members["state"] = "on" if members.pop("enabled") else "off"
    members["ends"] = "told" if members.pop("tells_ends") else "untold"
    return Call(operation="alert.set-receiver", request={"name": name, **members})


OPERATIONS: Final = (
    Change(
        name="alert.set-receiver",
        summary="Tell alerts to a webhook, or by e-mail.",
        request=ReceiverRequest,
        result=ReceiverSet,
        route=Route(method="PUT", path="/v1/alert-receivers/{name}"),
        role=Role.ADMIN,
        risk=Risk.MEDIUM,
        effect=Effect.IDEMPOTENT,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_set,
        errors=("receiver_invalid",),
    ),
    Change(
        name="alert.remove-receiver",
        summary="Tell alerts to a receiver no more.",
        request=RemoveRequest,
        result=ReceiverRemoved,
        route=Route(method="DELETE", path="/v1/alert-receivers/{name}"),
        role=Role.ADMIN,
        risk=Risk.MEDIUM,
        effect=Effect.IDEMPOTENT,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_remove,
        errors=("receiver_not_found",),
    ),
    Change(
        name="alert.test-receiver",
        summary="Send a receiver an alert that is none.",
        request=TrialRequest,
        result=ReceiverTried,
        route=Route(method="POST", path="/v1/alert-receivers/{name}/test"),
        role=Role.OPERATOR,
        risk=Risk.LOW,
        effect=Effect.ONCE,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_trial,
        converged=tried,
        errors=("receiver_not_found",),
        heeds_freeze=False,
    ),
)
