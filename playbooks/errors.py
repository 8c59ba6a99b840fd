"""What playbooks refuse, and how they fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runtime.errors import RuntimeFault


class Problem(NamedTuple):
    """One mistake in a playbook: `line` is 0 where the whole text is meant."""

    line: int
    key: str
    detail: str
    remedy: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        named = f"{self.key}: " if self.key else ""
        return f"{where}{named}{self.detail}"


class PlaybookFault(RuntimeFault):
    code = "playbook_fault"


class PlaybookInvalid(PlaybookFault):
    """Every mistake that was found, in the order of the text; the first one is the sentence."""

    code = "playbook_invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(f"{self.problems[0]}{more}")

    def problem(self) -> dict[str, object]:
        first = self.problems[0]
        told = [dict(zip(Problem._fields, each, strict=True)) for each in self.problems]
        return {**super().problem(), "remedy": first.remedy, "line": first.line, "key": first.key, "problems": told}


class ExpressionInvalid(PlaybookFault):
    """It cannot be an expression at all, or not of this kind: found before anything is evaluated."""

    code = "expression_invalid"
    remedy = "Expressions are CEL: docs/guides/write-a-playbook.md names the variables."


class ExpressionFailed(PlaybookFault):
    """It came to no value on the state as it was, such as by a member that is not there."""

    code = "expression_failed"
    remedy = "Guard what may be missing with has(), or compare types alike; `aether playbook lint` tries expressions."


class ParametersInvalid(PlaybookFault):
    code = "parameters_invalid"
    remedy = "`aether playbook show ID` lists its parameters."


class PlaybookUnknown(PlaybookFault):
    code = "playbook_not_found"
    remedy = "List them: aether playbook list."


class RehearsalFailed(PlaybookFault):
    code = "rehearsal_failed"
    remedy = "Read what the rehearsal saw; a playbook that fails it is started by people only."


class AskRefused(PlaybookFault):
    code = "ask_refused"
    remedy = "`aether operation show NAME` says what it takes, and which role it needs."


class NotOffline(PlaybookFault):
    code = "playbook_online"
    remedy = "Start it in the cluster: aether playbook run ID."


class OfflineForbidden(PlaybookFault):
    code = "offline_forbidden"
    remedy = "Offline runs need the admin's key of the node's directory (admin.key), read by who owns it."
