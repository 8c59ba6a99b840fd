"""What scaling refuses."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class ScalingFault(RuntimeFault):
    code = "scaling_fault"


class RulesInvalid(ScalingFault):
    """A tree of rules that cannot be used; the sentence says where."""

    code = "rules_invalid"
    remedy = "`./aether controller rules` prints the ones in force; `./aether eval rules` makes them anew."


class BoostedInvalid(ScalingFault):
    """A boosted model that cannot be used; the sentence says why. The tree of rules decides alone then."""

    code = "boosted_invalid"
    remedy = "The tree of rules decides alone; `./aether eval rules --boosted FILE` makes a boosted model anew."


class ScalingPolicyInvalid(ScalingFault):
    code = "scaling_policy_invalid"
    remedy = "Correct the policy; docs/scaling.md lists its members."


class OwnRulesInvalid(ScalingFault):
    code = "scaling_rules_invalid"
    remedy = "Correct the rules; docs/scaling.md says what they may ask."
