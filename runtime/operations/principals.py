"""Operations on who may speak to the cluster: principals, and the keys they come with."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runtime.operations import results, subjects
from runtime.operations.actor import Role
from runtime.operations.fields import END
from runtime.operations.operation import Change, Effect, Request, Risk, Route
from runtime.operations.plan import Call, Json, KeyChange, Plan, Refusal, turn
from runtime.operations.state import PlanState
from runtime.security.principals import (
    ADMIN,
    KEY_ID_CHARS,
    KeyRecord,
    PrincipalRecord,
    decode_key,
    decode_principal,
    key_id,
)
from runtime.spelling import nearest
from runtime.state import keys
from runtime.state.values import encode

DAY_MS: Final = 24 * 60 * 60 * 1_000
KEYS_MAX: Final = 20  # of one principal: enough for a rotation of each of its uses

PrincipalField = Annotated[
    str,
    Meta(
        pattern=rf"^[A-Za-z0-9][A-Za-z0-9._@-]*{END}",
        max_length=64,
        description="Id of a principal, as anna or ci@shop.",
    ),
]
SubjectsField = Annotated[
    tuple[Annotated[str, Meta(pattern=rf"^(slice|node|blueprint|artifact):[A-Za-z0-9._-]+{END}", max_length=120)], ...],
    Meta(max_length=100),
]
MadeField = Annotated[
    int, Meta(ge=0, description="Filled in when the request is taken; what is given here is not heeded.")
]


class SetPrincipalRequest(Request, frozen=True, kw_only=True):
    """Replaces all of the principal's members."""

    id: PrincipalField
    kind: Literal["person", "automation"]
    role: Role
    owns: Annotated[SubjectsField, Meta(description='Subjects it owns, as "slice:orders" or "blueprint:shop".')] = ()
    only: Annotated[SubjectsField, Meta(description="The only subjects that its role holds for; all if empty.")] = ()
    is_agent: Annotated[bool, Meta(description="An AI agent uses it: held to the limits of models.")] = False
    acts_for: Annotated[
        str,
        Meta(
            max_length=64,
            description="Of an automation: the person it acts for, who does not approve what it asks for, and than whom"
            " it may do no more.",
        ),
    ] = ""
    disabled: bool = False
    oidc_subject: Annotated[str, Meta(max_length=255, description="`sub` of the identity provider's tokens.")] = ""
    created_unix_ms: MadeField = 0


class PrincipalRequest(Request, frozen=True, kw_only=True):
    id: PrincipalField


class CreateKeyRequest(Request, frozen=True, kw_only=True):
    principal: PrincipalField
    name: Annotated[str, Meta(min_length=1, max_length=64, description="What it is for.")]
    role: Annotated[Role, Meta(description="What it may do at most; never more than its principal.")] = Role.ADMIN
    only: Annotated[
        SubjectsField, Meta(description="The only subjects it is for; all of its principal's if empty.")
    ] = ()
    lifetime_days: Annotated[int, Meta(ge=0, le=3_650, description="It ends after so many days; 0 is never.")] = 90
    sha256: Annotated[
        str,
        Meta(
            pattern=rf"^([0-9a-f]{{64}})?{END}",
            description="SHA-256 of a key that you made yourself (32 random bytes or more). If not given, one is made"
            " and shown in the answer, once.",
        ),
    ] = ""
    created_unix_ms: MadeField = 0


class RevokeKeyRequest(Request, frozen=True, kw_only=True):
    id: Annotated[
        str, Meta(pattern=rf"^[0-9a-f]{{{KEY_ID_CHARS}}}{END}", description="Id of a key, as key.list tells it.")
    ]


def of_principal(request: SetPrincipalRequest | PrincipalRequest) -> str:
    return subjects.of_principal(request.id)


def plan_set(state: PlanState, request: SetPrincipalRequest) -> Plan | Refusal:
    key = keys.principal(request.id)
    before = state.value(key)
    was = decode_principal(before) if before is not None else None
    taken = _taken_subject(state, request)
    if taken:
        return Refusal(
            code="oidc_subject_taken", detail=f"that subject is {taken}'s", remedy="Take it from there first."
        )
    nobody = _not_a_person(state, request)
    if nobody is not None:
        return nobody
    record = PrincipalRecord(
        id=request.id,
        kind=request.kind,
        role=request.role,
        owns=request.owns,
        only=request.only,
        is_agent=request.is_agent,
        acts_for=request.acts_for,
        disabled=request.disabled,
        oidc_subject=request.oidc_subject,
        created_unix_ms=was.created_unix_ms if was is not None else request.created_unix_ms,
    )
    was_admin = _is_admin(was) if was is not None else request.id == ADMIN
    if was_admin and not _is_admin(record) and not _another_admin(state, request.id):
        return _last_admin()
    after = encode(record)
    change = KeyChange(key=key, before=before, after=after)
    after_another = (turn(keys.PRINCIPALS_TURN, state),) if request.oidc_subject else ()
    return Plan(
        operation="principal.set",
        subject=of_principal(request),
        summary=f"{request.id} is {'a disabled ' if request.disabled else ''}{request.kind} of role {request.role}",
        changes=() if before == after else (change, *after_another),
        reads=state.reads,
        inverse=_before(request.id, was),
        result={"id": request.id, "role": request.role, "disabled": request.disabled},
    )


def _not_a_person(state: PlanState, request: SetPrincipalRequest) -> Refusal | None:
    """Only automations act for somebody, and for a person that is known."""
    if not request.acts_for:
        return None
    if request.kind != "automation":
        return Refusal(code="request_invalid", detail="only an automation acts for somebody else")
    raw = state.value(keys.principal(request.acts_for))
    if raw is None and request.acts_for != ADMIN:
        return principal_unknown(state, request.acts_for)
    if raw is not None and decode_principal(raw).kind != "person":
        return Refusal(code="request_invalid", detail=f"{request.acts_for} is no person")
    return None


def plan_remove(state: PlanState, request: PrincipalRequest) -> Plan | Refusal:
    """With all of its keys."""
    key = keys.principal(request.id)
    raw = state.value(key)
    if raw is None:
        return principal_unknown(state, request.id)
    if _is_admin(decode_principal(raw)) and not _another_admin(state, request.id):
        return _last_admin()
    held = _keys_of(state, request.id)
    gone = [KeyChange(key=keys.api_key(each.sha256), before=encode(each), after=None) for each in held]
    return Plan(
        operation="principal.remove",
        subject=of_principal(request),
        summary=f"{request.id} is no principal any more, and its {len(held)} keys end",
        changes=(KeyChange(key=key, before=raw, after=None), *gone),
        reads=state.reads,
        inverse=_before(request.id, decode_principal(raw)) if not held else None,
        result={"id": request.id, "keys": len(held)},
    )


def plan_create_key(state: PlanState, request: CreateKeyRequest) -> Plan | Refusal:
    """The key itself was made before: what is planned knows its hash alone."""
    whose = keys.principal(request.principal)
    owner = state.value(whose)
    if owner is None and request.principal != ADMIN:
        return principal_unknown(state, request.principal)
    if not request.sha256:
        return Refusal(code="request_invalid", detail="key.create needs the hash of a key", remedy="Give `sha256`.")
    key = keys.api_key(request.sha256)
    held = _keys_of(state, request.principal)
    if any(each.name == request.name for each in held) or state.value(key) is not None:
        return Refusal(
            code="key_exists",
            detail=f"{request.principal} has a key named {request.name} already",
            remedy="Give the new one another name, then revoke the old one.",
        )
    if len(held) >= KEYS_MAX:
        return Refusal(
            code="quota_exceeded",
            detail=f"{request.principal} has {KEYS_MAX} keys already",
            remedy="Revoke one that is not needed: aether key revoke ID.",
        )
    expires = request.created_unix_ms + request.lifetime_days * DAY_MS if request.lifetime_days else 0
    record = KeyRecord(
        principal=request.principal,
        name=request.name,
        sha256=request.sha256,
        created_unix_ms=request.created_unix_ms,
        expires_unix_ms=expires,
        role=request.role,
        only=request.only,
    )
    identity = key_id(request.sha256)
    same = [KeyChange(key=whose, before=owner, after=owner)] if owner is not None else []  # no removal meanwhile
    ends = f"ends after {request.lifetime_days} days" if request.lifetime_days else "does not end by itself"
    return Plan(
        operation="key.create",
        subject=subjects.of_principal(request.principal),
        summary=f"{request.principal} gets the key {identity} ({request.name}), which {ends}",
        changes=(KeyChange(key=key, before=None, after=encode(record)), *same),
        reads=state.reads,
        inverse=Call(operation="key.revoke", request={"id": identity}),
        result={"id": identity, "principal": request.principal, "name": request.name, "expires_unix_ms": expires},
    )


def plan_revoke_key(state: PlanState, request: RevokeKeyRequest) -> Plan | Refusal:
    found = next((each for each in _all_keys(state) if key_id(each.sha256) == request.id), None)
    if found is None:
        known = [key_id(each.sha256) for each in _all_keys(state)]
        detail = f"there is no key {request.id}{nearest(request.id, known)}"
        return Refusal(code="key_not_found", detail=detail, remedy="List them: aether key list.")
    key = keys.api_key(found.sha256)
    return Plan(
        operation="key.revoke",
        subject=subjects.of_principal(found.principal),
        summary=f"the key {request.id} ({found.name}) of {found.principal} ends",
        changes=(KeyChange(key=key, before=state.value(key), after=None),),
        reads=state.reads,
        result={"id": request.id, "principal": found.principal, "name": found.name},
    )


def principal_unknown(state: PlanState, name: str) -> Refusal:
    known = [each.id for each in _principals(state)]
    detail = f"there is no principal {name[:64]!r}{nearest(name, known)}"
    return Refusal(code="principal_not_found", detail=detail, remedy="List them: aether principal list.")


def _principals(state: PlanState) -> list[PrincipalRecord]:
    return [decode_principal(item.value) for item in state.all_items(keys.PRINCIPALS)]


def _all_keys(state: PlanState) -> list[KeyRecord]:
    return [decode_key(item.value) for item in state.all_items(keys.API_KEYS)]


def _keys_of(state: PlanState, principal: str) -> list[KeyRecord]:
    """Each noted."""
    found = [each for each in _all_keys(state) if each.principal == principal]
    return [each for each in found if state.get(keys.api_key(each.sha256)) is not None]


def _taken_subject(state: PlanState, request: SetPrincipalRequest) -> str:
    """Who else has the same subject of the identity provider: a token must be one principal's."""
    if not request.oidc_subject:
        return ""
    state.get(keys.PRINCIPALS_TURN)
    others = (each for each in _principals(state) if each.id != request.id)
    return next((each.id for each in others if each.oidc_subject == request.oidc_subject), "")


def _is_admin(record: PrincipalRecord) -> bool:
    return record.role is Role.ADMIN and record.kind == "person" and not record.disabled


def _another_admin(state: PlanState, but: str = ADMIN) -> bool:
    """Somebody else could still make admins: the first node's key counts until its principal is changed."""
    if but != ADMIN and state.value(keys.principal(ADMIN)) is None:
        return True
    other = next((each for each in _principals(state) if each.id != but and _is_admin(each)), None)
    return other is not None and state.get(keys.principal(other.id)) is not None


def _last_admin() -> Refusal:
    return Refusal(
        code="last_admin",
        detail="nobody would be left who is an admin in person",
        remedy="Make somebody else an admin first: aether principal set.",
    )


def _before(identity: str, was: PrincipalRecord | None) -> Call:
    if was is None:
        return Call(operation="principal.remove", request={"id": identity})
    members: dict[str, Json] = msgspec.to_builtins(was)
    return Call(operation="principal.set", request=members)


_UNKNOWN: Final = "principal_not_found"

OPERATIONS: Final = (
    Change(
        name="principal.set",
        summary="Say who may speak to the cluster, and what they may do.",
        request=SetPrincipalRequest,
        result=results.PrincipalSet,
        route=Route(method="PUT", path="/v1/principals/{id}"),
        role=Role.ADMIN,
        risk=Risk.CRITICAL,
        effect=Effect.IDEMPOTENT,
        subject=of_principal,
        plan=plan_set,
        errors=(_UNKNOWN, "oidc_subject_taken", "last_admin"),
    ),
    Change(
        name="principal.remove",
        summary="Let somebody speak to the cluster no more.",
        request=PrincipalRequest,
        result=results.PrincipalRemoved,
        route=Route(method="DELETE", path="/v1/principals/{id}"),
        role=Role.ADMIN,
        risk=Risk.CRITICAL,
        effect=Effect.IDEMPOTENT,
        subject=of_principal,
        plan=plan_remove,
        errors=(_UNKNOWN, "last_admin"),
    ),
    Change(
        name="key.create",
        summary="Give a principal an API key; it is shown once. To rotate one: create another, then revoke it.",
        request=CreateKeyRequest,
        result=results.KeyCreated,
        route=Route(method="POST", path="/v1/principals/{principal}/keys"),
        role=Role.ADMIN,
        risk=Risk.CRITICAL,
        effect=Effect.ONCE,
        subject=lambda request: subjects.of_principal(request.principal),
        plan=plan_create_key,
        errors=(_UNKNOWN, "key_exists", "quota_exceeded"),
    ),
    Change(
        name="key.revoke",
        summary="End an API key at once.",
        request=RevokeKeyRequest,
        result=results.KeyRevoked,
        route=Route(method="DELETE", path="/v1/keys/{id}"),
        role=Role.ADMIN,
        risk=Risk.CRITICAL,
        effect=Effect.IDEMPOTENT,
        subject=lambda _request: subjects.CLUSTER,
        plan=plan_revoke_key,
        errors=("key_not_found",),
    ),
)
