"""The gate's policy: versioned data, readable as TOML, checked before it takes effect."""

from __future__ import annotations

import re
import tomllib
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from controllers.gate.circumstances import RECENT_MAX
from controllers.gate.errors import PolicyInvalid
from runtime.operations.actor import Role
from runtime.spelling import nearest

TEXT_BYTES_MAX: Final = 32 * 1024

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
ClassNumber = Annotated[int, Meta(ge=0, le=3)]
Minutes = Annotated[int, Meta(ge=1, le=24 * 60)]
Count = Annotated[int, Meta(ge=0, le=1_000)]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the policy's tables."""


class Approval(_Table, frozen=True, kw_only=True):
    """What a class asks for."""

    approvers: Annotated[int, Meta(ge=1, le=9)]
    role: Role
    owner: bool = False
    expires_min: Minutes


class Kinds(_Table, frozen=True, kw_only=True):
    """The class that each risk begins at, and up to which class this kind of actor acts at once."""

    low: ClassNumber
    medium: ClassNumber
    high: ClassNumber
    critical: ClassNumber
    acts_up_to: ClassNumber


class Raises(_Table, frozen=True, kw_only=True):
    """Circumstances that raise the class, and to what."""

    capacity_share_g1: Share
    capacity_share_g2: Share
    nodes_g2: Count
    budget_exceeded: ClassNumber
    dependants_lose_all: ClassNumber
    freeze: ClassNumber
    incident: ClassNumber
    tainted: ClassNumber
    flapping: ClassNumber
    rate: ClassNumber


class Limits(_Table, frozen=True, kw_only=True):
    """The first, `window_min` and `one_at_a_time_per_domain` hold for agents: models, and keys marked as an agent's."""

    changes_per_subject: Annotated[int, Meta(ge=0, le=RECENT_MAX)]
    changes_unattended: Annotated[int, Meta(ge=1, le=RECENT_MAX)]
    """Of one subject within `window_min`, by whomever; one more by anybody but a person is raised."""
    window_min: Minutes
    flapping_min: Minutes
    one_at_a_time_per_domain: bool
    step_share: Annotated[float, Meta(ge=0.0, le=10.0)]
    """Largest step of a controller's scaling in that stays G0, as a part of the instances before; one may always go."""
    step_out_share: Annotated[float, Meta(ge=0.0, le=100.0)] = 10.0
    """The same of its scaling out; four may always come. Too few is what hurts at once."""
    turns: Count = 6
    """How often a controller's scaling may change its direction within `flapping_min` and still take away."""
    pending: Count
    """Proposals that one requester may have waiting."""


class Policy(_Table, frozen=True, kw_only=True):
    version: Annotated[int, Meta(ge=1)]
    g1: Approval
    g2: Approval
    people: Kinds
    automation: Kinds
    controllers: Kinds
    agents: Kinds
    raises: Raises
    limits: Limits
    operations: dict[str, ClassNumber] = {}
    """The least class of single operations, whoever asks."""


_NAMES: Final = sorted(
    {name for table in (Policy, Approval, Kinds, Raises, Limits) for name in table.__struct_fields__}
)
_UNKNOWN: Final = re.compile(r"unknown field `([^`]*)`")


def parse_policy(text: str) -> Policy:
    """Raises PolicyInvalid, naming what is wrong and where."""
    if len(text.encode()) > TEXT_BYTES_MAX:
        raise PolicyInvalid(f"a policy has at most {TEXT_BYTES_MAX} bytes")
    try:
        policy = msgspec.convert(tomllib.loads(text), Policy)
    except tomllib.TOMLDecodeError as error:
        raise PolicyInvalid(f"no TOML: {error}") from error
    except msgspec.ValidationError as error:
        unknown = _UNKNOWN.search(str(error))
        hint = nearest(unknown[1], _NAMES) if unknown else ""
        raise PolicyInvalid(f"{error}{hint}") from error
    except RecursionError as error:
        raise PolicyInvalid("no TOML: nested too deeply") from error
    except ValueError as error:  # from int(), which takes 4300 digits at most
        raise PolicyInvalid("no TOML: a number is too long") from error
    _check(policy)
    return policy


def default_text() -> str:
    from importlib import resources  # here: it takes the command line longer to load than all of the policy

    return resources.files(__package__).joinpath("default_policy.toml").read_text()


def default_policy() -> Policy:
    return parse_policy(default_text())


def cautious_policy() -> Policy:
    """In force while the one in the store cannot be read: every change needs two people, so that one can be set."""
    two = Kinds(low=2, medium=2, high=2, critical=2, acts_up_to=0)
    policy = default_policy()
    agents = msgspec.structs.replace(policy.agents, low=2, medium=2, high=2)
    return msgspec.structs.replace(policy, people=two, automation=two, controllers=two, agents=agents)


def _check(policy: Policy) -> None:
    """What no policy may say."""
    agents = policy.agents
    if min(agents.low, agents.medium, agents.high) < 1 or agents.acts_up_to > 0:
        raise PolicyInvalid("agents: an agent's change is never below class 1, and never at once")
    if agents.critical < 3:
        raise PolicyInvalid("agents.critical must be 3: who may do what is never an agent's affair")
    if policy.g2.approvers < 2:
        raise PolicyInvalid("g2.approvers must be at least 2")
    if policy.raises.capacity_share_g1 > policy.raises.capacity_share_g2:
        raise PolicyInvalid("raises.capacity_share_g1 must not be above capacity_share_g2")
