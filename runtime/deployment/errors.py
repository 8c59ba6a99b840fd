"""What deployment refuses."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class DeploymentFault(RuntimeFault):
    code = "deployment_fault"


class BlueprintInvalid(DeploymentFault):
    """Says where: line (0 when the whole text is meant) and key."""

    code = "blueprint_invalid"

    def __init__(self, problem: str, *, line: int = 0, key: str = "", remedy: str = "") -> None:
        where = f"line {line}: " if line else ""
        named = f"{key}: " if key else ""
        super().__init__(f"{where}{named}{problem}")
        self.line = line
        self.key = key
        self._remedy = remedy or "Correct the blueprint; docs/guides/blueprints.md lists all keys."

    def problem(self) -> dict[str, object]:
        return {**super().problem(), "remedy": self._remedy, "line": self.line, "key": self.key}


class BlueprintRequired(DeploymentFault):
    """Slices of other blueprints require what would go."""

    code = "blueprint_required"
    remedy = "Delete or change the blueprints that require it first, or make the dependency optional there."


class ChangedMeanwhile(DeploymentFault):
    """Somebody else changed the same state between reading and writing."""

    code, retryable = "changed_meanwhile", True
    remedy = "Try again."
