"""What the context of controllers refuses."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class ContextFault(RuntimeFault):
    code = "context_fault"


class HourDamaged(ContextFault):
    """Bytes that are no hour of minutes."""

    code = "hour_damaged"
    remedy = "Nothing to do: the hour is treated as missing, and filled from another core node where one has it."


class HistoryForeign(ContextFault):
    """A file of another release, or of something else."""

    code = "history_foreign"
    remedy = "Nothing to do: the file is moved aside, and history begins anew and is filled from other core nodes."


class HistoryAway(ContextFault):
    """This node keeps no history, or cannot read it now."""

    code, retryable = "history_away", True
    remedy = "Ask a core node; `aether log list --event history_failed` says why one cannot."


class HistoryQuestionInvalid(ContextFault):
    """What another node asked for is no question."""

    code = "history_question_invalid"
    remedy = "Nodes of releases that do not understand each other: bring both to the same one."
