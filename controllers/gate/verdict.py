"""What the gate says of a plan."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

import msgspec

from runtime.operations.actor import Role, at_least


class GateClass(IntEnum):
    """How much consent a change needs; circumstances raise it, nothing lowers it."""

    G0 = 0
    """Act, and tell."""
    G1 = 1
    """One approver."""
    G2 = 2
    """Two distinct approvers."""
    G3 = 3
    """Never by an agent; people need what class 2 needs, unless the policy lets them act up to here."""


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """Who must approve. The requester never counts, nor does the person an agent acts for."""

    approvers: int = 0
    role: Role = Role.OPERATOR
    owner: bool = False
    """One of them must own the subject or be an admin."""

    def words(self) -> str:
        if not self.approvers:
            return "nobody"
        people = "one approver" if self.approvers == 1 else f"{self.approvers} distinct approvers"
        return f"{people} of role {self.role} or higher" + (", one of them owner or admin" if self.owner else "")

    def cover(self, other: Needs) -> bool:
        """Whether consent that met these meets the other's too."""
        return self.approvers >= other.approvers and at_least(self.role, other.role) and (self.owner or not other.owner)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`rule` names what decided, `because` lists everything that raised the class, in words."""

    gate_class: GateClass
    decision: Literal["act", "propose", "refuse"]
    needs: Needs
    rule: str
    because: tuple[str, ...] = ()
    remedy: str = ""
    retryable: bool = False
    """Of a refusal that passes by itself: a limit on how often, or another's turn."""
    asks: Needs = Needs()
    """Who would have to approve if it is to wait for people; the same as `needs` where it must."""
    expires_ms: int = 0
    """For how long it would wait."""

    @property
    def reasons(self) -> str:
        return "; ".join((self.rule, *self.because))
