"""Who may speak to the cluster: people and automation keys, as records of the store. Keys themselves are never kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from runtime.operations.actor import Actor, ActorKind, Role, at_least
from runtime.state.values import Value

ADMIN: Final = "admin"
"""The principal behind the key that the first node printed."""
KEY_PREFIX: Final = "ae_"
KEY_ID_CHARS: Final = 16  # 64 bits: no two of some hundred keys begin alike


class PrincipalRecord(Value, frozen=True, kw_only=True):
    """`owns` are subjects; `only` cuts the role down to some subjects; `disabled` ends it without forgetting it."""

    id: str
    kind: Literal["person", "automation"]
    role: Role
    owns: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    is_agent: bool = False
    acts_for: str = ""
    """The person on whose behalf an automation asks: who does not approve what it asks for, nor may it do more."""
    disabled: bool = False
    oidc_subject: str = ""
    created_unix_ms: int = 0


class KeyRecord(Value, frozen=True, kw_only=True):
    """A key of a principal; it is found by the hash of its secret. `expires_unix_ms` 0 is never. It may do no more than
    its principal: `role` and `only` can make it less."""

    principal: str
    name: str
    sha256: str
    created_unix_ms: int
    expires_unix_ms: int = 0
    role: Role = Role.ADMIN
    only: tuple[str, ...] = ()


Secret = Annotated[str, Meta(description="Shown once; only its hash is kept.")]


def new_secret() -> str:
    """32 random bytes: no salt is needed to hash it."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def key_id(sha256: str) -> str:
    """Names a key without telling it, nor all of its hash."""
    return sha256[:KEY_ID_CHARS]


def actor_of(record: PrincipalRecord) -> Actor | None:
    """None for one that is disabled."""
    if record.disabled:
        return None
    return Actor(
        kind=ActorKind(record.kind),
        id=record.id,
        role=record.role,
        owns=record.owns,
        reads_only=record.only,
        is_agent=record.is_agent,
    )


def actor_behind(record: PrincipalRecord, find: Callable[[str], PrincipalRecord | None]) -> Actor | None:
    """With the person it acts for; None also when that is no active person any more. find: a principal's record."""
    actor = actor_of(record)
    if actor is None or not record.acts_for:
        return actor
    found = find(record.acts_for)
    person = actor_of(found) if found is not None else bootstrap_admin() if record.acts_for == ADMIN else None
    if person is None or not person.is_human:
        return None
    return msgspec.structs.replace(actor, behind=person)


def cut_to(actor: Actor, key: KeyRecord) -> Actor | None:
    """What may be done with that key: what both it and its principal may. None for nothing."""
    role = actor.role if at_least(key.role, actor.role) else key.role
    only = key.only or actor.reads_only
    if key.only and actor.reads_only:
        only = tuple(each for each in key.only if each in actor.reads_only)
        if not only:
            return None
    return msgspec.structs.replace(actor, role=role, reads_only=only)


def bootstrap_admin() -> Actor:
    return Actor(kind=ActorKind.PERSON, id=ADMIN, role=Role.ADMIN)


def decode_principal(raw: bytes) -> PrincipalRecord:
    return msgspec.json.decode(raw, type=PrincipalRecord)


def decode_key(raw: bytes) -> KeyRecord:
    return msgspec.json.decode(raw, type=KeyRecord)
