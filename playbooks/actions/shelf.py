"""The actions that come with this version."""

from __future__ import annotations

from playbooks.actions.action import ActionShelf
from playbooks.actions.assertion import Assert
from playbooks.actions.backing_up import ProveBackup, WriteBackup
from playbooks.actions.child import StartPlaybook
from playbooks.actions.evidence import Collect
from playbooks.actions.probing import Probe
from playbooks.actions.restoring import RestoreState
from playbooks.actions.undoing import UndoLast
from playbooks.actions.wait import Wait
from playbooks.offline.node import NoLocalNode, local_actions


def builtin_actions() -> ActionShelf:
    return ActionShelf(
        [
            Assert(),
            Collect(),
            Probe(),
            ProveBackup(),
            RestoreState(),
            StartPlaybook(),
            UndoLast(),
            Wait(),
            WriteBackup(),
            *local_actions(NoLocalNode()),
        ]
    )
