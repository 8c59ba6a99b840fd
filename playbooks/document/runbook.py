"""A playbook as a page for people: docs/runbooks is made of these, so that page and playbook never differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from playbooks.document.checking import Checker
from playbooks.document.model import Document, Step
from playbooks.document.reading import Source
from playbooks.document.templates import steps_in
from playbooks.proof import PlaybookProof
from runtime.operations.operation import Effect

MADE: Final = "<!-- made by `aether docs` from playbooks/library; change the playbook, not this page -->"


def runbook_page(source: Source, checker: Checker, proof: PlaybookProof | None) -> str:
    document, header = source.document, source.document.playbook
    parts = [
        MADE,
        f"# {header.id}",
        f"{header.summary}. {header.kind.capitalize()}, risk: {header.risk}, version {header.version}.",
        f"{_rehearsed(proof)} A run ends within {header.deadline}, or is undone.",
        f"```sh\n{_command(document)}\n```",
        *_params(document),
        *_conditions(document),
        "## Steps",
        "\n".join(_step(number, step, checker) for number, step in enumerate(document.step, start=1)),
        *_ending(document),
        *_started_by(document),
        *_limits(document),
    ]
    return "\n\n".join(parts) + "\n"


def index_page(sources: Iterable[Source], proofs: Mapping[str, PlaybookProof]) -> str:
    rows = [_row(each, proofs.get(each.sha256)) for each in sources]
    return "\n".join(
        [
            MADE,
            "# Runbooks",
            "",
            "Each is a playbook that runs: `aether playbook plan ID` says what it would do now, `aether playbook run",
            "ID` does it, and where quorum is gone `aether playbook offline ID --data DIR` on the node. How they",
            "are written: [write a playbook](../guides/write-a-playbook.md). Rehearsed means",
            "that a Forge had the real fault, and that the last verification did not hold before the run, and held",
            "after it: by the state, where it would not have held either if all steps had been done; by its steps,",
            "where nothing of the state differs then, or it looks at what only a run knows. The run's time is that",
            "of its last rehearsal, with the waits that the playbook asks for.",
            "",
            "| playbook | what it does | risk | rehearsed | failed before by | run |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _row(source: Source, proof: PlaybookProof | None) -> str:
    header = source.document.playbook
    verdict = "not as it is" if proof is None else "passed" if proof.passed else "failed"
    before = "" if proof is None else "the state" if _seen_failing(source, proof) else "its steps"
    took = f"{proof.run_ms / 1_000:.1f} s" if proof is not None else ""
    return f"| [{header.id}]({header.id}.md) | {header.summary} | {header.risk} | {verdict} | {before} | {took} |"


def _seen_failing(source: Source, proof: PlaybookProof) -> bool:
    verify = source.document.verify
    return proof.failed_before and (proof.seen_failing or (verify is not None and not steps_in(verify.cel)))


def _rehearsed(proof: PlaybookProof | None) -> str:
    if proof is None:
        return "It has not been rehearsed as it is: people start it, alerts only propose it."
    if not proof.passed:
        return "It failed its last rehearsal: people start it, alerts only propose it."
    return f"Rehearsed in Forge with its fault; its run took {proof.run_ms / 1_000:.1f} s there."


def _command(document: Document) -> str:
    """An offline one is carried out on the node itself, and knows that node's name."""
    needed = [name for name, param in document.params.items() if param.required]
    if document.playbook.offline:
        needed = [name for name in needed if document.params[name].type != "node"]
    wanted = [f" --param {name}=…" for name in needed]
    if document.playbook.offline:
        return f"aether playbook offline {document.playbook.id}{''.join(wanted)} --data DIR"
    return f"aether playbook run {document.playbook.id}{''.join(wanted)}"


def _params(document: Document) -> Sequence[str]:
    if not document.params:
        return ()
    rows = [
        f"| `{name}` | {param.type} | {_default(param.default, required=param.required)} | {param.summary} |"
        for name, param in document.params.items()
    ]
    return ("\n".join(["| parameter | type | default | |", "|---|---|---|---|", *rows]),)


def _default(value: object, *, required: bool) -> str:
    return "required" if required else f"`{msgspec.json.encode(value).decode()}`" if value is not None else ""


def _conditions(document: Document) -> Sequence[str]:
    if not document.pre:
        return ()
    rows = [f"* `{each.cel}`; else {each.why}{', also after waits' if each.always else ''}" for each in document.pre]
    return "## It is not begun unless", "\n".join(rows)


def _step(number: int, step: Step, checker: Checker) -> str:
    used = checker.used(step.uses)
    effect = "" if used is None or used.effect is Effect.READ else f" ({used.effect.value})"
    told = [f"{number}. **{step.id}**: `{step.uses}`{effect}{_with(step)}{f'. {step.summary}' if step.summary else ''}"]
    if step.when != "true":
        told.append(f"   * only if `{step.when}`")
    if step.verify is not None:
        hold = f", for {step.verify.hold}" if step.verify.hold != "0s" else ""
        told.append(f"   * within {step.verify.within}{hold}: `{step.verify.cel}`")
    if step.undo is not None:
        told.append(f"   * undone by {_undo(step)}")
    if step.on_failure != "rollback":
        told.append(f"   * where it fails: {step.on_failure}")
    return "\n".join(told)


def _with(step: Step) -> str:
    return f" with `{msgspec.json.encode(step.with_).decode()}`" if step.with_ else ""


def _undo(step: Step) -> str:
    assert step.undo is not None
    if isinstance(step.undo, str):
        return "the inverse of what was applied"
    return f"`{step.undo.uses}`" if step.undo.uses else f"nothing: {step.undo.none}"


_OTHERWISE: Final = {
    "rollback": "else all steps are undone, the newest first",
    "stop": "else the run has failed, and what it did stays",
    "ask": "else the run waits for a person",
}


def _ending(document: Document) -> Sequence[str]:
    if document.verify is None:
        return ()
    hold = f" and stays so for {document.verify.hold}" if document.verify.hold != "0s" else ""
    return (
        "## It has helped if",
        f"`{document.verify.cel}` comes true within {document.verify.within}{hold};"
        f" {_OTHERWISE[document.verify.on_failure]}.",
    )


def _started_by(document: Document) -> Sequence[str]:
    triggers = document.trigger
    rows = [
        f"* alert {', '.join(map('='.join, each.match.items()))}, lasting {each.for_}: {each.mode}"
        for each in triggers.alert
    ]
    rows += [f"* event {each.event}, if `{each.when}`: {each.mode}" for each in triggers.event]
    rows += [f"* every {each.every}: {each.mode}" for each in triggers.schedule]
    return ("## Started by", "\n".join(rows)) if rows else ()


def _limits(document: Document) -> Sequence[str]:
    limits, locks = document.limits, document.locks
    names = [f"`{name}`" for name in (*locks.exclusive, *locks.shared)]
    blast = msgspec.to_builtins(limits.blast_radius)
    rows = [
        f"* at most {limits.max_concurrent} at a time; by automation {limits.max_per_hour} an hour, {limits.cooldown}"
        f" apart for the same reason, and not after {limits.breaker} failed runs in a row",
        *(
            [f"* one step touches at most {', '.join(f'{most} {name}' for name, most in blast.items())}"]
            if blast
            else []
        ),
        *([f"* locks {', '.join(names)}; where they are taken: {locks.on_conflict}"] if names else []),
    ]
    return "## Limits", "\n".join(rows)


def _words(name: str) -> str:
    return name.replace("_", " ")
