"""What an offline eval of scaling refuses."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class EvalFault(RuntimeFault):
    code = "eval_fault"


class TracesUnusable(EvalFault):
    """A directory of traces that cannot be read; the sentence names the file."""

    code = "traces_unusable"
    remedy = (
        "A trace is a CSV file with the columns timestamp (unix seconds, in even steps) and value; see docs/scaling.md."
    )


class PolicyUnknown(EvalFault):
    code = "policy_unknown"
    remedy = "`./aether eval scaling --list` names all policies."


class ScenarioUnknown(EvalFault):
    code = "scenario_unknown"
    remedy = "`./aether eval scaling --list` names all scenarios."


class DecisionsUnusable(EvalFault):
    """Recorded decisions, or the policy to replay them under, that cannot be read; the sentence says where."""

    code = "decisions_unusable"
    remedy = "`./aether controller decisions --json` writes them; docs/scaling.md names the members of a policy."
