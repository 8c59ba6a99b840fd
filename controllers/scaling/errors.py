"""What scaling refuses."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class ScalingFault(RuntimeFault):
    code = "scaling_fault"


class RulesInvalid(ScalingFault):
    """A tree of rules that cannot be used; the sentence says where."""

    code = "rules_invalid"
    remedy = "`./aether controller rules` prints the ones in force; `--train` makes them anew."


class ScalingPolicyInvalid(ScalingFault):
    code = "scaling_policy_invalid"
    remedy = "Correct the policy; docs/scaling.md lists its members."
