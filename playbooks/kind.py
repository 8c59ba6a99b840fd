"""Playbooks as the kernel knows them: how a definition is read, and which actions its steps have."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from playbooks.actions.action import ActionShelf
from playbooks.actions.checking import CheckAction, PlanAction, VerifyAction
from playbooks.actions.performing import PerformAction
from playbooks.actions.standing import KIND
from playbooks.document.checking import Checker
from playbooks.document.reading import read
from playbooks.errors import PlaybookInvalid
from playbooks.flow import CHECK, PERFORM, PLAN, VERIFY, PlaybookFlow
from playbooks.ports import PlaybookPorts
from runtime.workflow.errors import FlowInvalid
from runtime.workflow.flow import Action, Flow

FLOWS_KEPT: Final = 64


class PlaybookKind:
    """Implements FlowKind. A definition was checked when it was kept: here it is only read."""

    name = KIND

    def __init__(self, ports: PlaybookPorts, actions: ActionShelf) -> None:
        self._checker = Checker(ports.catalogue, actions)
        self._actions: dict[str, Action] = {
            CHECK: CheckAction(ports),
            VERIFY: VerifyAction(ports),
            PLAN: PlanAction(ports, actions),
            PERFORM: PerformAction(ports, actions),
        }
        self.load = lru_cache(FLOWS_KEPT)(self._load)

    def _load(self, definition: bytes) -> Flow:
        """Raises FlowInvalid."""
        try:
            return PlaybookFlow(read(definition), self._checker)
        except PlaybookInvalid as error:
            first = error.problems[0]
            raise FlowInvalid(first.detail, line=first.line, key=first.key, remedy=first.remedy) from error

    def action(self, name: str) -> Action:
        return self._actions[name]
