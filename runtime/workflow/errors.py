"""What the kernel refuses, and what actions and flows raise."""

from __future__ import annotations

from runtime.consensus.errors import StoreFault
from runtime.errors import RuntimeFault


class WorkflowFault(RuntimeFault):
    code = "workflow_fault"


class FlowInvalid(WorkflowFault):
    """A definition that its kind cannot read; says where, as far as that is known."""

    code = "flow_invalid"

    def __init__(self, problem: str, *, line: int = 0, key: str = "", remedy: str = "") -> None:
        where = f"line {line}: " if line else ""
        named = f"{key}: " if key else ""
        super().__init__(f"{where}{named}{problem}")
        self.line = line
        self.key = key
        self._remedy = remedy or "Correct the definition and start a new run: a run keeps the one that it began with."

    def problem(self) -> dict[str, object]:
        return {**super().problem(), "remedy": self._remedy, "line": self.line, "key": self.key}


class StepFailed(WorkflowFault):
    """An action says that it did not do its work. `reason` is stable, for flows to branch on; `again` says whether
    another attempt may help, as far as the step's retry policy leaves any."""

    code = "step_failed"

    def __init__(self, reason: str, detail: str, *, again: bool = False) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.again = again


class DefinitionNotFound(WorkflowFault):
    """The bytes that a run is pinned to cannot be had at the moment."""

    code, retryable = "definition_not_found", True
    remedy = "Bring back a node that keeps them: the run goes on by itself."


class Deposed(StoreFault):
    """Another leader, or another engine of this one, has written since: this one lets everything be."""

    code, retryable = "deposed", True
