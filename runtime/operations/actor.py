"""Who asks for something: a person, a key, a controller, a playbook or a model, and who stands behind it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec


class Role(StrEnum):
    """What a principal may do cluster-wide; each includes those before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class ActorKind(StrEnum):
    PERSON = "person"
    AUTOMATION = "automation"
    CONTROLLER = "controller"
    PLAYBOOK = "playbook"
    MODEL = "model"


_RANK: Final = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """`behind` is who it acts for: the person of a model, the starter of a playbook."""

    kind: ActorKind
    id: str
    role: Role
    owns: tuple[str, ...] = ()
    """Subjects it is the owner of, as "slice:orders" or "blueprint:shop"; it may operate these whatever its role."""
    reads_only: tuple[str, ...] = ()
    """Where not empty: the only subjects that its role holds for, as a key that was cut to some slices has it."""
    is_agent: bool = False
    """An automation key that an AI agent uses: held to the limits of models."""
    behind: Actor | None = None

    @property
    def acts_as_agent(self) -> bool:
        return self.is_agent or self.kind is ActorKind.MODEL or (self.behind is not None and self.behind.acts_as_agent)

    @property
    def is_human(self) -> bool:
        """A person, with nobody in between."""
        return self.kind is ActorKind.PERSON

    def chain(self) -> Iterator[Actor]:
        """From who acts to who stands behind it all."""
        each: Actor | None = self
        while each is not None:
            yield each
            each = each.behind

    def may(self, role: Role, subject: str = "") -> bool:
        """Whether the role suffices, cluster-wide or as the subject's owner."""
        if self.reads_only and subject not in self.reads_only:
            return False
        if _RANK[self.role] >= _RANK[role]:
            return True
        return role is not Role.ADMIN and bool(subject) and subject in self.owns


def at_least(role: Role, wanted: Role) -> bool:
    return _RANK[role] >= _RANK[wanted]
