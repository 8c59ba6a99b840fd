"""What is refused of artifacts, at build, at upload and when an environment is made."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class ArtifactFault(RuntimeFault):
    """Base of the package's errors. Each carries its own remedy."""

    code = "artifact_fault"

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self._remedy = remedy

    def problem(self) -> dict[str, object]:
        return {**super().problem(), "remedy": self._remedy}


class WheelInvalid(ArtifactFault):
    """The file is no wheel of slices, was altered, or tries to do what no wheel should."""

    code = "wheel_invalid"


class BuildFailed(ArtifactFault):
    """The project cannot become an artifact; the sentence says why, with file and line where there is one."""

    code = "build_failed"


class PinsClash(ArtifactFault):
    """The project asks for other versions of what every worker process shares."""

    code = "pins_clash"


class EnvironmentFailed(ArtifactFault):
    """A dependency set could not be installed; the sentence carries pip's reason."""

    code, retryable = "environment_failed", True


class DiskRefused(ArtifactFault):
    """The node's disk is full or fails while code or an environment is put there."""

    code, retryable = "disk_refused", True
