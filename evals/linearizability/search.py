"""The check by search (Wing & Gong, with Lowe's memory of what was tried), apart for keys that do not meet.

It uses answers and real time only; revisions merely say what to try first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from evals.linearizability.history import History, Operation, Read, Refused
from evals.linearizability.lives import Offence
from evals.linearizability.model import Model, State, is_touched
from evals.linearizability.order import known_keys
from runtime.consensus import commands as c

STEPS_MAX: Final = 200_000  # some seconds
SHOWN_MAX: Final = 24


@dataclass(frozen=True, slots=True)
class Undecided:
    keys: tuple[str, ...]
    operations: int
    steps: int

    def __str__(self) -> str:
        names = ", ".join(self.keys[:4])
        return f"{self.operations} operations on {names} are not put in order after {self.steps} steps"


def search(history: History, steps_max: int) -> Offence | Undecided | None:
    """None: each group of keys that operations touch together has an order. At least one has none: the offence."""
    undecided: Undecided | None = None
    for keys, operations in _groups(history):
        start = [item for item in history.start if item.key in keys]
        found = _Search(Model(keys, start), operations, steps_max).run()
        if isinstance(found, Offence):
            return found
        if found is not None:
            undecided = Undecided(tuple(keys), len(operations), steps_max)
    return undecided


def _groups(history: History) -> Iterator[tuple[list[str], list[Operation]]]:
    keys = [key for key in known_keys(history) if not key.startswith("_")]
    sought = [each for each in history.operations if _is_sought(each)]
    touched = [[key for key in keys if is_touched(each, key)] for each in sought]
    root = {key: key for key in keys}

    def find(key: str) -> str:
        while root[key] != key:
            root[key] = root[root[key]]
            key = root[key]
        return key

    for together in touched:
        for key in together[1:]:
            root[find(key)] = find(together[0])
    groups: dict[str, list[Operation]] = defaultdict(list)
    for each, together in zip(sought, touched, strict=True):
        if together:
            groups[find(together[0])].append(each)
    for name in sorted(groups):
        yield [key for key in keys if find(key) == name], groups[name]


def _is_sought(operation: Operation) -> bool:
    """Reads of the past and stale ones have no place in the order: the check by revision has them."""
    if isinstance(operation.answer, Refused):
        return False
    if isinstance(operation.request, Read):
        return operation.answer is not None and not operation.is_stale and not operation.request.at_revision
    if not isinstance(operation.request, c.Txn):
        return False
    return not any(compare.key.startswith("_") for compare in operation.request.compare)


@dataclass(slots=True)
class _Node:
    """One point of the search: which operations are in order already, and the states that they can have led to."""

    done: int
    first: int  # of the ended operations: all before it are done
    states: frozenset[State]
    untried: list[int] = field(default_factory=list)


class _Search:
    def __init__(self, model: Model, operations: list[Operation], steps_max: int) -> None:
        self._model = model
        ended = sorted((each for each in operations if each.ended_s is not None), key=lambda each: each.began_s)
        open_ended = sorted((each for each in operations if each.ended_s is None), key=lambda each: each.began_s)
        self._ended = len(ended)
        self._operations = ended + open_ended
        self._steps_max = steps_max
        self._deepest: tuple[int, _Node] | None = None

    def run(self) -> Offence | Undecided | None:
        verdict = self.decide()
        return self._offence() if verdict is False else None if verdict else Undecided((), 0, 0)

    def decide(self) -> bool | None:
        """Whether there is an order. None: not found out within the bound."""
        root = self._node(0, 0, frozenset({self._model.start}))
        path, tried, steps = [root], {(0, root.states)}, 0
        while path:
            node = path[-1]
            if node.first == self._ended:
                return True
            if not node.untried:
                path.pop()
                continue
            steps += 1
            if steps > self._steps_max:
                return None
            child = self._try(node, node.untried.pop())
            if child is not None and (child.done, child.states) not in tried:
                tried.add((child.done, child.states))
                path.append(child)
        return False

    def _try(self, node: _Node, at: int) -> _Node | None:
        operation = self._operations[at]
        states = frozenset(after for state in node.states for after in self._model.step(state, operation))
        if not states or (states == node.states and at >= self._ended):
            return None
        done = node.done | 1 << at
        first = node.first
        while first < self._ended and done >> first & 1:
            first += 1
        return self._node(done, first, states)

    def _node(self, done: int, first: int, states: frozenset[State]) -> _Node:
        node = _Node(done, first, states)
        node.untried = self._candidates(node)
        depth = (done & ((1 << self._ended) - 1)).bit_count()
        if self._deepest is None or depth > self._deepest[0]:
            self._deepest = (depth, node)
        return node

    def _candidates(self, node: _Node) -> list[int]:
        """Those that could be next: nothing that is not done yet ended before they began. The likeliest last."""
        first_end_s = float("inf")
        found = []
        for at in range(node.first, self._ended):
            each = self._operations[at]
            if each.began_s > first_end_s:
                break
            if not node.done >> at & 1:
                found.append(at)
                assert each.ended_s is not None
                first_end_s = min(first_end_s, each.ended_s)
        found = [at for at in found if self._operations[at].began_s <= first_end_s]
        found.sort(key=self._likelihood)
        perhaps = []
        for at in range(self._ended, len(self._operations)):
            if self._operations[at].began_s > first_end_s:
                break
            if not node.done >> at & 1:
                perhaps.append(at)
        return [*reversed(perhaps), *reversed(found)]

    def _likelihood(self, at: int) -> tuple[int, bool]:
        operation = self._operations[at]
        return operation.revision or 0, not operation.writes

    # -- what to show --------------------------------------------------------------------------------------------------

    def _offence(self) -> Offence:
        """Where the search came furthest: what was last put in order, and what then could not be."""
        assert self._deepest is not None
        _, node = self._deepest
        stuck = [at for at in self._candidates(node) if at < self._ended]
        worst = min(stuck, key=lambda at: self._operations[at].ended_s or 0.0)
        end_s = self._operations[worst].ended_s or 0.0
        window = [each for each in self._operations if each.began_s <= end_s]
        shown = _without_needless(self._model, window, self._steps_max // 4)
        shown.sort(key=lambda each: each.ended_s if each.ended_s is not None else float("inf"))
        because = "no order of all operations gives these answers"
        return Offence(because, tuple(shown[-SHOWN_MAX:]))


def _without_needless(model: Model, window: list[Operation], steps_max: int) -> list[Operation]:
    """Leaves out what only read, as long as there is no order without it either: less to look at."""
    kept = list(window)
    steps_left = steps_max
    for each in window:
        if each.writes:
            continue
        fewer = [other for other in kept if other is not each]
        steps_left -= len(fewer)
        if steps_left < 0:
            break
        probe = _Search(model, fewer, len(fewer) * 20)
        if probe.decide() is False:
            kept = fewer
    return kept
