"""What a playbook's text cannot show by itself: whether what it uses exists, fits together and can be evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from playbooks.actions.action import ActionShelf
from playbooks.document.duration import seconds
from playbooks.document.lines import Path
from playbooks.document.model import PRE_CHARS_MAX, VERIFY_S_MAX, Document, Step, Undo, Verification
from playbooks.document.parameters import wrong
from playbooks.document.reading import Source
from playbooks.document.sampling import sample_params, sample_picture
from playbooks.document.templates import expression_of, leaves, limit_s, params_in, placeholders, rendered, steps_in
from playbooks.errors import ExpressionFailed, ExpressionInvalid, PlaybookInvalid, Problem
from playbooks.expressions import cel
from playbooks.expressions.evaluation import value_of
from runtime.operations.actor import Role
from runtime.operations.catalogue import Catalogue
from runtime.operations.operation import Change, Effect
from runtime.operations.plan import Json
from runtime.spelling import nearest

ANYWHERE: Final = frozenset({"wait", "assert"})
"""Actions that need neither a cluster nor a node."""
USES: Final = "Operations: aether operation list; actions: docs/guides/write-a-playbook.md."
DECLARE: Final = "Declare it under [params]."
OWN_EVENTS: Final = ("Run", "LockWaited")
NARROW: Final = "Say with `when` which ones are meant, such as event.title.startsWith('other ')."
TRY: Final = "Expressions are CEL: docs/guides/write-a-playbook.md names the variables."


class Used(NamedTuple):
    """What a step uses, whether an operation or an action."""

    request: type[msgspec.Struct]
    effect: Effect
    undoes: bool
    role: Role


class Checker:
    """Against the operations and actions of this version."""

    def __init__(self, catalogue: Catalogue, actions: ActionShelf) -> None:
        operations = {
            each.name: Used(each.request, each.effect, True, each.role)
            if isinstance(each, Change)
            else Used(each.request, Effect.READ, False, each.role)
            for each in catalogue
        }
        self._local = {each.name for each in actions if each.local}
        self._used = operations | {
            each.name: Used(each.input, each.effect, each.undoes, Role.VIEWER) for each in actions
        }

    def used(self, name: str) -> Used | None:
        return self._used.get(name)

    def admin_steps(self, document: Document) -> tuple[str, ...]:
        """Those that only an admin may take, or undo as they say, each with what it uses; also where they may not be
        wanted in the end."""
        found = []
        for step in document.step:
            undo = step.undo.uses if isinstance(step.undo, Undo) else ""
            found += [f"{step.id} ({name})" for name in (step.uses, undo) if self._needs_admin(name)]
        return tuple(found)

    def _needs_admin(self, name: str) -> bool:
        used = self._used.get(name)
        return used is not None and used.role is Role.ADMIN

    def check(self, source: Source) -> None:
        """Raises PlaybookInvalid with all that is wrong."""
        problems = list(self.problems(source))
        if problems:
            raise PlaybookInvalid(problems)

    def problems(self, source: Source) -> Iterator[Problem]:
        document = source.document
        wrong_parameters = list(_parameters(source))
        if wrong_parameters:
            yield from wrong_parameters  # nothing can be tried with them
            return
        yield from _limit(source, document.playbook.deadline, ("playbook", "deadline"))
        yield from _texts(source, document.locks.exclusive, ("locks", "exclusive"))
        yield from _texts(source, document.locks.shared, ("locks", "shared"))
        for place, condition in enumerate(document.pre):
            yield from _expression(source, condition.cel, ("pre", place, "cel"), ())
        if sum(len(each.cel) + len(each.why) for each in document.pre) > PRE_CHARS_MAX:
            yield source.problem(
                ("pre",), f"together they have more than {PRE_CHARS_MAX} characters", "Say it shorter."
            )
        earlier: list[str] = []
        for place, step in enumerate(document.step):
            if step.id in earlier:
                yield source.problem(("step", place, "id"), f"{step.id} is there twice", "Give each step its own id.")
            yield from self._step(source, step, ("step", place), tuple(earlier))
            earlier.append(step.id)
        if document.verify is not None:
            yield from _verification(source, document.verify, ("verify",), tuple(earlier))
        yield from self._whole(source)
        yield from _triggers(source)

    def _whole(self, source: Source) -> Iterator[Problem]:
        document = source.document
        effects = [used.effect for step in document.step if (used := self.used(step.uses)) is not None]
        changes = any(effect is not Effect.READ for effect in effects)
        if changes and document.verify is None:
            remedy = "Say under [verify] what holds once the playbook has done its work: cel, within, hold."
            yield source.problem(
                ("verify",), "a playbook that changes something says how to see that it worked", remedy
            )
        if changes and document.playbook.risk == "read-only":
            remedy = "Call it low, medium, high or destructive."
            yield source.problem(("playbook", "risk"), "it is called read-only, and a step has an effect", remedy)
        if document.rehearse is not None:
            yield from _given(source, document.rehearse.params, ("rehearse", "params"))

    def _step(self, source: Source, step: Step, path: Path, earlier: tuple[str, ...]) -> Iterator[Problem]:
        used = self.used(step.uses)
        yield from _expression(source, step.when, (*path, "when"), earlier)
        yield from _limit(source, step.timeout, (*path, "timeout"))
        if used is None:
            detail = f"there is no operation or action {step.uses!r}{nearest(step.uses, self._used)}"
            yield source.problem((*path, "uses"), detail, USES)
        else:
            yield from self._place(source, step, path)
            yield from _request(source, used, step.with_, (*path, "with"), earlier)
            yield from self._effect(source, step, used, path, earlier)
        if step.verify is not None:
            yield from _verification(source, step.verify, (*path, "verify"), (*earlier, step.id))

    def _place(self, source: Source, step: Step, path: Path) -> Iterator[Problem]:
        """Where quorum is gone only what is local can be done; the cluster's leader does nothing to one node alone."""
        if step.uses in ANYWHERE or (step.uses in self._local) is source.document.playbook.offline:
            return
        if source.document.playbook.offline:
            detail = f"{step.uses} needs a cluster, and the playbook is for where there is none"
            remedy = f"Use {', '.join(sorted(self._local))}, wait or assert; or leave offline out."
        else:
            detail, remedy = f"{step.uses} is for offline playbooks", "Say offline = true under [playbook]."
        yield source.problem((*path, "uses"), detail, remedy)

    def _effect(
        self, source: Source, step: Step, used: Used, path: Path, earlier: tuple[str, ...]
    ) -> Iterator[Problem]:
        if used.effect is Effect.READ:
            if step.undo is not None:
                yield source.problem((*path, "undo"), f"{step.uses} changes nothing to be undone", "Leave undo out.")
            return
        if step.verify is None:
            remedy = "Add verify = { cel, within, hold }: what can be seen once the step has done its work."
            yield source.problem(
                (*path, "verify"), f"{step.uses} has an effect, and nothing says how to see it", remedy
            )
        if step.undo is None:
            remedy = 'Add undo = "inverse", undo = { uses, with }, or undo = { none = "why nothing needs to be" }.'
            yield source.problem((*path, "undo"), f"{step.uses} has an effect, and nothing says how to undo it", remedy)
        elif step.undo == "inverse":
            if not used.undoes:
                remedy = "Name what undoes it: undo = { uses, with }."
                yield source.problem((*path, "undo"), f"{step.uses} has no inverse", remedy)
        else:
            yield from self._undo(source, step.undo, (*path, "undo"), (*earlier, step.id))

    def _undo(self, source: Source, undo: Undo, path: Path, earlier: tuple[str, ...]) -> Iterator[Problem]:
        if bool(undo.uses) == bool(undo.none):
            yield source.problem(path, "name either what undoes the step (uses), or why nothing does (none)")
            return
        if undo.none:
            return
        used = self.used(undo.uses)
        if used is None or used.effect is Effect.READ:
            hint = nearest(undo.uses, self._used) if used is None else ""
            detail = f"{undo.uses!r} is no operation that changes anything{hint}"
            yield source.problem((*path, "uses"), detail, USES)
        else:
            yield from _request(source, used, undo.with_, (*path, "with"), earlier)


def _parameters(source: Source) -> Iterator[Problem]:
    for name, param in source.document.params.items():
        path: Path = ("params", name)
        if param.required and param.default is not None:
            yield source.problem(path, "is required and has a default", "Leave one of the two out.")
        if f"{{{name}}}" not in source.text and f"params.{name}" not in source.text:
            yield source.problem(path, "is used nowhere", "Leave it out, or use it: in braces, or as params.NAME.")
        problem = wrong(param, param.default) if param.default is not None else ""
        if problem:
            yield source.problem(path, f"its default {problem}", "Give a default of its type.")


def _given(source: Source, values: dict[str, Json], path: Path) -> Iterator[Problem]:
    declared = source.document.params
    for name, value in values.items():
        if name not in declared:
            yield source.problem((*path, name), f"there is no such parameter{nearest(name, declared)}", DECLARE)
        elif problem := wrong(declared[name], value):
            yield source.problem((*path, name), problem, "Give a value of the parameter's type.")


def _texts(source: Source, texts: tuple[str, ...], path: Path) -> Iterator[Problem]:
    declared = source.document.params
    for place, text in enumerate(texts):
        for name in placeholders(text):
            if name not in declared:
                yield source.problem((*path, place), f"there is no parameter {name}{nearest(name, declared)}", DECLARE)


def _request(
    source: Source, used: Used, given: dict[str, Json], path: Path, earlier: tuple[str, ...]
) -> Iterator[Problem]:
    """The members' names, and their types as far as they can be known before a run."""
    found = list(_members(source, used, given, path))
    found += list(_values(source, given, path, earlier))
    yield from found
    if found:
        return
    try:
        params = sample_params(source.document.params)
        msgspec.convert(rendered(given, params, _Later), used.request)
    except msgspec.ValidationError as error:
        words, _, at = str(error).partition(" - at `$.")
        member = at.partition("`")[0].partition(".")[0].partition("[")[0]
        inner = given.get(member)
        if expression_of(inner) is None and (words.startswith("Expected `") or not _is_templated(inner)):
            where = (*path, member) if member else path
            yield source.problem(where, words[:1].lower() + words[1:], "aether operation show NAME has the schema.")


class _Later(str):
    """Stands for what an expression will give; of any type."""


def _is_templated(value: Json) -> bool:
    return any(isinstance(each, str) and placeholders(each) for _, each in leaves(value))


def _members(source: Source, used: Used, given: dict[str, Json], path: Path) -> Iterator[Problem]:
    known = {field.encode_name: field for field in msgspec.structs.fields(used.request)}
    unknown = [name for name in given if name not in known]
    for name in unknown:
        hint = nearest(name, known) or f"; it takes {', '.join(known) or 'nothing'}"
        yield source.problem((*path, name), f"takes no {name}{hint}", "aether operation show NAME has the schema.")
    for name, field in known.items():
        if field.required and name not in given and not unknown:
            yield source.problem(path, f"{name} is missing", "aether operation show NAME has the schema.")


def _values(source: Source, given: dict[str, Json], path: Path, earlier: tuple[str, ...]) -> Iterator[Problem]:
    declared = source.document.params
    for inner, value in leaves(given):
        expression = expression_of(value)
        if expression is not None:
            yield from _expression(source, expression, (*path, *inner), earlier, condition=False)
        elif isinstance(value, str):
            for name in placeholders(value):
                if name not in declared:
                    detail = f"there is no parameter {name}{nearest(name, declared)}"
                    yield source.problem((*path, *inner), detail, DECLARE)


def _verification(source: Source, wanted: Verification, path: Path, earlier: tuple[str, ...]) -> Iterator[Problem]:
    yield from _expression(source, wanted.cel, (*path, "cel"), earlier)
    found = [*_limit(source, wanted.within, (*path, "within")), *_limit(source, wanted.hold, (*path, "hold"))]
    yield from found
    if not found and verify_s(wanted, sample_params(source.document.params)) > VERIFY_S_MAX:
        yield source.problem((*path, "within"), "within and hold are more than a day", "Verify what shows sooner.")


def verify_s(wanted: Verification, params: Mapping[str, Json]) -> float:
    """The longest that it takes, with these parameters."""
    return limit_s(wanted.within, params) + limit_s(wanted.hold, params)


def _limit(source: Source, text: str, path: Path) -> Iterator[Problem]:
    declared = source.document.params
    for name in placeholders(text):
        if name not in declared:
            yield source.problem(path, f"there is no parameter {name}{nearest(name, declared)}", DECLARE)
        elif declared[name].type != "duration":
            yield source.problem(path, f"{name} is no duration but a {declared[name].type}", "Give it that type.")


def _expression(
    source: Source, text: str, path: Path, earlier: tuple[str, ...], *, condition: bool = True
) -> Iterator[Problem]:
    """It compiles, knows its parameters, looks at earlier steps alone, and comes to a value on a made-up cluster."""
    declared = source.document.params
    steps = [step.id for step in source.document.step]
    found = [
        source.problem(path, f"there is no parameter {name}{nearest(name, declared)}", DECLARE)
        for name in params_in(text)
        if name not in declared
    ]
    found += [_step_unknown(source, name, path, steps, earlier) for name in steps_in(text) if name not in earlier]
    yield from found
    if found:
        return
    try:
        cel.check(text, condition=condition)
        if not steps_in(text):  # what steps will have come to is not known
            value = value_of(text, sample_picture(declared), {"params": sample_params(declared), "steps": {}})
            if condition and not isinstance(value, bool):
                yield source.problem(path, f"comes to {value!r}, neither true nor false", TRY)
    except (ExpressionInvalid, ExpressionFailed) as error:
        yield source.problem(path, str(error).partition(", in ")[0], error.remedy)


def _step_unknown(source: Source, name: str, path: Path, steps: list[str], earlier: tuple[str, ...]) -> Problem:
    if name in steps:
        detail = f"a cycle: it looks at step {name}, which has not ended by then"
        return source.problem(path, detail, "Look at earlier steps only, or move the step up.")
    return source.problem(path, f"there is no step {name}{nearest(name, earlier)}", TRY)


def _triggers(source: Source) -> Iterator[Problem]:
    triggers = source.document.trigger
    for place, alert in enumerate(triggers.alert):
        yield from _trigger(source, alert.params, ("trigger", "alert", place), "alert", {"dedupe": alert.dedupe})
    for place, event in enumerate(triggers.event):
        texts = {"dedupe": event.dedupe, "when": event.when}
        if event.event.startswith(OWN_EVENTS) and event.when == "true":
            detail = f"each of its own runs makes {event.event}: it would start itself again and again"
            yield source.problem(("trigger", "event", place, "event"), detail, NARROW)
        yield from _trigger(source, event.params, ("trigger", "event", place), "event", texts)
    for place, schedule in enumerate(triggers.schedule):
        yield from _given(source, schedule.params, ("trigger", "schedule", place, "params"))
        yield from _required(source, set(schedule.params), ("trigger", "schedule", place))
        if seconds(schedule.every) < 60.0:
            yield source.problem(
                ("trigger", "schedule", place, "every"), "is less than a minute", 'Write "1m" or more.'
            )


def _trigger(
    source: Source, params: dict[str, str], path: Path, scope: cel.Scope, texts: dict[str, str]
) -> Iterator[Problem]:
    declared = source.document.params
    for name, text in params.items():
        if name not in declared:
            yield source.problem((*path, "params"), f"there is no parameter {name}{nearest(name, declared)}", DECLARE)
        yield from _compiles(source, text, scope, (*path, "params"))
    for key, text in texts.items():
        yield from _compiles(source, text, scope, (*path, key))
    yield from _required(source, set(params), path)


def _compiles(source: Source, text: str, scope: cel.Scope, path: Path) -> Iterator[Problem]:
    try:
        cel.check(text, scope, condition=path[-1] == "when")
    except ExpressionInvalid as error:
        yield source.problem(path, str(error), error.remedy)


def _required(source: Source, given: set[str], path: Path) -> Iterator[Problem]:
    for name, param in source.document.params.items():
        if param.required and name not in given:
            yield source.problem(path, f"does not say what parameter {name} shall be", "Name it under params.")
