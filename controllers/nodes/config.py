"""How nodes come and go in this cluster: the defaults, and what the replicated state says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from controllers.nodes.model import NodePolicy
from controllers.scaling.config import ConfigRecord, Reads
from controllers.scaling.errors import ScalingFault
from runtime.operations.plan import Json
from runtime.state import keys

SCOPE: Final = "nodes"
KEY: Final = keys.scaling_config(SCOPE)


class NodePolicyInvalid(ScalingFault):
    code = "node_policy_invalid"
    remedy = "Correct the policy; docs/scaling.md lists its members."


class NodeConfig(NodePolicy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The policy, and who provides."""

    provider: Annotated[str, Meta(max_length=200, pattern=r"^(unix:/[^\x00-\x1f]+)?$")] = ""
    """Where the provider listens, as every core node reaches it: unix:/PATH. Empty: nobody provides nodes."""


def members_of(state: Reads) -> dict[str, Json]:
    """What this version cannot read is left out, as if it were not there."""
    item = state.get(KEY)
    if item is None:
        return {}
    try:
        found = msgspec.json.decode(item.value, type=ConfigRecord).members
    except msgspec.DecodeError:
        return {}
    return {name: value for name, value in found.items() if name in NodeConfig.__struct_fields__}


def config_of(state: Reads) -> NodeConfig:
    """The one in force; words of another version that do not go together are as if they were not there."""
    try:
        return checked(members_of(state))
    except NodePolicyInvalid:
        return NodeConfig()


def checked(members: Mapping[str, Json]) -> NodeConfig:
    """Raises NodePolicyInvalid, naming the member and what it may be."""
    try:
        config = msgspec.convert(dict(members), NodeConfig)
    except msgspec.ValidationError as error:
        raise NodePolicyInvalid(str(error)) from error
    if config.least > config.most:
        raise NodePolicyInvalid(f"least ({config.least}) must not be above most ({config.most})")
    if config.cool_down_in_s < config.out_after_s:
        raise NodePolicyInvalid(
            f"it would oscillate: a node that was added may go after {config.cool_down_in_s} s, and one that is missed"
            f" comes back after {config.out_after_s} s; cool_down_in_s must not be below out_after_s"
        )
    return config
