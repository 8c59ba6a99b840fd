"""The tools of one run: what is called is checked, asked once, shaped, and noted as evidence. Nothing is carried
out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import msgspec

from llm_layer.chat.cards import planned_card
from llm_layer.chat.events import Card
from llm_layer.desk import Desk, DeskRefused, Plain
from llm_layer.evidence import EvidenceBook
from llm_layer.tools.finding import FIND, MORE, find_spec, found, more_spec
from llm_layer.tools.quoting import error_of, has_foreign_text, quoted
from llm_layer.tools.schema import schema_of
from llm_layer.tools.shaping import Drawn, Shaped, page, shaped
from llm_layer.tools.visible import CHANGES, NAMED, READS, VISIBLE_MAX, operation_name, tool_name
from runtime.operations.catalogue import Catalogue, OperationUnknown
from runtime.operations.operation import AnyOperation, Query
from runtime.operations.secrecy import takes_secrets
from runtime.spelling import near_names

NEAR: Final = 3
Spec = tuple[str, str, Plain]
"""Name, summary and schema."""
PLOTS_MAX: Final = 60  # of a run; a slice's figures have some twenty


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a model is told of its call. `new`: it stands on evidence that the run had not before."""

    content: str
    failed: bool = False
    new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTool:
    """A tool that is a graph and no operation."""

    name: str
    summary: str
    schema: Plain
    call: Callable[[Mapping[str, object]], Awaitable[Told]]


@dataclass(slots=True, kw_only=True)
class Noted:
    """What a run has come by. `shown` is the text of each piece of evidence as the model saw it."""

    shown: dict[str, str] = field(default_factory=dict)
    plots: dict[str, tuple[Drawn, str]] = field(default_factory=dict)
    cards: dict[str, Card] = field(default_factory=dict)

    def show(self, evidence: str, text: str) -> None:
        self.shown[evidence] = f"{self.shown[evidence]}\n{text}" if evidence in self.shown else text


class Toolbox:
    """names: by kind, what there is now: slices, nodes, blueprints, playbooks."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        desk: Desk,
        book: EvidenceBook,
        names: Mapping[str, Sequence[str]],
    ) -> None:
        self._catalogue = catalogue
        self._desk = desk
        self._book = book
        self._names = names
        self._specs: dict[str, Spec] = {}
        self._rest: dict[str, tuple[str, object]] = {}
        self._found: list[str] = []
        self._own: dict[str, OwnTool] = {}
        self._handles = 0
        self.noted = Noted()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(each for kind in self._names.values() for each in kind)

    def named(self, kind: str) -> Sequence[str]:
        return self._names.get(kind, ())

    @property
    def tainted(self) -> bool:
        return self._book.tainted

    @property
    def words(self) -> frozenset[str]:
        """That look like names and are those of operations and tools."""
        names = [each.name for each in self._catalogue]
        return frozenset((*names, *map(tool_name, names), FIND, MORE))

    def takes_secrets(self, operation: str, words: str) -> bool | None:
        """Whether what was said to it, in these words of a command, may hold one; None if it is unknown."""
        try:
            return takes_secrets(self._catalogue.find(operation), words)
        except OperationUnknown:
            return None

    def offer(self, own: OwnTool) -> None:
        self._own[own.name] = own

    def specs(self, operations: Iterable[str], own: Iterable[str] = ()) -> list[Spec]:
        """(name, summary, schema) of these, of what was found, of `find_tools` and of `more`; no more than
        VISIBLE_MAX."""
        wanted = list(dict.fromkeys(operations))
        graphs = [self._own[each] for each in own]
        room = VISIBLE_MAX - 2 - len(wanted) - len(graphs)
        assert room >= 0, "so many tools are not looked through"
        wanted += [each for each in self._found if each not in wanted][-room:] if room else []
        self._specs |= {each: self._spec(self._catalogue.find(each)) for each in wanted if each not in self._specs}
        specs = [self._specs[each] for each in wanted]
        return [*specs, *((each.name, each.summary, each.schema) for each in graphs), find_spec(), more_spec()]

    def _spec(self, operation: AnyOperation) -> Spec:
        ends = "" if isinstance(operation, Query) else " Makes a card that a person decides about; changes nothing."
        schema = schema_of(operation.request, self._names)
        return tool_name(operation.name), operation.summary + ends, schema

    async def call(self, name: str, arguments: Mapping[str, object]) -> Told:
        """Whatever is wrong with the call is told in the answer, for the model to mend."""
        if name == MORE:
            return self._more(str(arguments.get("handle", "")))
        if name == FIND:
            names = found(
                str(arguments.get("query", "")), [self._catalogue.find(each) for each in sorted((*READS, *CHANGES))]
            )
            self._found = [*(each for each in self._found if each not in names), *names]
            return _told({"tools": [tool_name(each) for each in names], "note": "they can be called from now on"})
        if name in self._own:
            return await self._own[name].call(arguments)
        operation = operation_name(name)
        if operation not in READS and operation not in CHANGES:
            known = [tool_name(each) for each in (*READS, *CHANGES)]
            return _failed(error_of("unknown_tool", name[:80], nearest=near_names(name, known, most=NEAR)))
        return await self._operation(self._catalogue.find(operation), dict(arguments))

    async def _operation(self, operation: AnyOperation, request: dict[str, object]) -> Told:
        wrong = self._wrong(operation, request)
        if wrong is not None:
            return _failed(wrong)
        try:
            if isinstance(operation, Query):
                return await self._read(operation.name, request)
            return await self._planned(operation, request)
        except DeskRefused as refused:
            return _failed(error_of(refused.code, str(refused), remedy=quoted(refused.remedy)))

    def _wrong(self, operation: AnyOperation, request: Mapping[str, object]) -> Plain | None:
        """A name that there is not is never taken for one that there is."""
        for member, kind in NAMED.items():
            value, known = request.get(member), self._names.get(kind, ())
            if isinstance(value, str) and value and known and value not in known:
                near = near_names(value, known, most=NEAR, cutoff=0.0)
                return error_of("unknown_name", f"there is no {kind} {value[:80]!r}", member=member, nearest=near)
        try:
            msgspec.convert(request, operation.request)
        except msgspec.ValidationError as error:
            return error_of("arguments_invalid", str(error))
        return None

    async def _read(self, operation: str, request: dict[str, object]) -> Told:
        before = len(self._book.all)
        evidence, answer = await self._book.ask(operation, request)
        self._book.tainted = self._book.tainted or has_foreign_text(answer)
        cut = shaped(operation, answer, self._handle)
        plots = {f"P{len(self.noted.plots) + at + 1}": (each, evidence.id) for at, each in enumerate(cut.plots)}
        if len(self.noted.plots) + len(plots) <= PLOTS_MAX:
            self.noted.plots |= plots
        else:
            plots = {}
        drawn = {name: f"{each.name} each {each.step_s} s" for name, (each, _) in plots.items()}
        told = {"evidence": evidence.id, "data": cut.data, **({"plots": drawn} if drawn else {})}
        return self._noted(evidence.id, told, cut, new=len(self._book.all) > before)

    def _more(self, handle: str) -> Told:
        if handle not in self._rest:
            near = near_names(handle, self._rest, most=NEAR, cutoff=0.0)
            return _failed(error_of("unknown_handle", handle[:80], nearest=near))
        evidence, rest = self._rest[handle]
        cut = page(rest, self._handle)
        return self._noted(evidence, {"evidence": evidence, "data": cut.data}, cut, new=False)

    def _noted(self, evidence: str, told: Plain, cut: Shaped, *, new: bool) -> Told:
        self._rest |= {handle: (evidence, rest) for handle, rest in cut.rest.items()}
        content = msgspec.json.encode(told).decode()
        self.noted.show(evidence, content)
        return Told(content=content, new=new)

    async def _planned(self, operation: AnyOperation, request: dict[str, object]) -> Told:
        card = await planned_card(operation, request, self._desk, tainted=self.tainted)
        if card.refused:
            return _failed(error_of("would_be_refused", card.refused))
        self.noted.cards[card.id] = card
        plan = cast(Plain, card.plan)
        told = {
            name: quoted(plan.get(name)) for name in ("summary", "gate_class", "decision", "rule", "approvers", "blast")
        }
        return _told({"card": card.id, "plan": told, "note": "a person decides; nothing was changed"})

    def _handle(self) -> str:
        self._handles += 1
        return f"H{self._handles}"


def _told(content: Mapping[str, object]) -> Told:
    return Told(content=msgspec.json.encode(content).decode())


def _failed(content: Mapping[str, object]) -> Told:
    return Told(content=msgspec.json.encode(content).decode(), failed=True)
