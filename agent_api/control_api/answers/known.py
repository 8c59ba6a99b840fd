"""Names that are asked for and not there: said so, with the nearest that are."""

from __future__ import annotations

from agent_api.control_api.problems import NodeUnknown, SliceUnknown
from runtime.deployment.records import Records
from runtime.spelling import nearest


def check_slice(records: Records, name: str) -> None:
    """Of one that is deployed, or still has instances. Raises SliceUnknown."""
    known = {str(each.settings.slice) for each in records.targets()}
    if name not in known and not any(each.slice == name for each in records.instance_states()):
        raise SliceUnknown(f"slice {name!r} is not deployed{nearest(name, known)}")


def check_node(records: Records, name: str) -> None:
    """Raises NodeUnknown."""
    if records.node(name) is None:
        known = [str(each.node) for each in records.nodes()]
        raise NodeUnknown(f"there is no node {name!r}{nearest(name, known)}")
