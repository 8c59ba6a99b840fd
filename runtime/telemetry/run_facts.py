"""Facts of runs, their steps and rehearsals: made from the records as they change."""

from __future__ import annotations

from typing import Final

from runtime.telemetry.fact_made import Made, Values

_RUN_ENDS: Final = ("succeeded", "failed", "compensated", "cancelled")


def told_run(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    if after is None:
        return None  # history that is trimmed
    told = {name: after.get(name, "") for name in ("kind", "title", "parent")}
    data: dict[str, object] = {"run": parts[0], **{name: value for name, value in told.items() if value}}
    state = str(after.get("state", "queued"))
    if before is None:
        return "RunQueued", data
    earlier = str(before.get("state", "queued"))
    if state == earlier:
        epoch, known = after.get("epoch", 0), before.get("epoch", 0)
        return ("RunTakenOver", {**data, "epoch": epoch}) if known and epoch != known else None
    if state in _RUN_ENDS:
        return "RunEnded", {**data, "state": state, "error": after.get("error")}
    if state == "running":
        name = {"queued": "RunStarted", "blocked": "RunStarted", "waiting": "RunWoke"}.get(earlier, "RunResumed")
        return name, data
    name = {"blocked": "LockWaited", "waiting": "RunWaits"}.get(state, _camel("Run", state))
    return name, {**data, "why": after.get("reason") or after.get("waits_for") or after.get("error") or ""}


def _camel(prefix: str, state: str) -> str:
    return prefix + "".join(word.capitalize() for word in state.split("_"))


def told_step(parts: tuple[str, ...], after: Values, before: Values) -> Made:
    if after is None:
        return None
    data: dict[str, object] = {"run": parts[0], "step": after.get("step"), "action": after.get("action")}
    state, earlier = after.get("state", "begun"), (before or {}).get("state", "begun")
    if before is None:
        return "RunStepBegan", data
    if state == earlier:
        attempt = after.get("attempt", 1)
        return ("RunStepRetried", {**data, "attempt": attempt}) if attempt != before.get("attempt", 1) else None
    if state in ("waiting", "undone"):
        return ("RunStepWaits", {**data, "why": after.get("signal")}) if state == "waiting" else ("RunStepUndone", data)
    if state == "begun":
        return "RunStepResumed", data
    return "RunStepEnded", {**data, "state": state, "error": after.get("error")}


def told_proof(parts: tuple[str, ...], after: Values, _before: Values) -> Made:
    told = after or {}
    data = {name: told.get(name) for name in ("playbook", "version", "passed", "detail")}
    return None if after is None else ("PlaybookRehearsed", {**data, "sha256": parts[0]})
