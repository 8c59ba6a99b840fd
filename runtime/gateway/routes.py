"""The HTTP route table: which slice method answers a method and a path. Pure, built whole for every routing table.

Matching rules, the same on every node because nothing depends on the order in which slices arrived:
a path without parameters is one dictionary look-up; else segment by segment, a literal before a parameter, with
a step back when a branch does not lead to the wanted HTTP method. Two slices that claim the same method and
template: the alphabetically first has it, the other is listed in `conflicts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote_to_bytes

from runtime.invocation.table import RoutingTable, SliceRules
from runtime.sdk.contract import MethodContract, RouteContract, SliceContract

SEGMENTS_MAX: Final = 64  # no honest path is deeper; bounds the walk


class PathNotText(Exception):
    """A path that does not decode to UTF-8 text, or holds a NUL."""


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """A route, with all that a request on it needs worked out beforehand."""

    slice: str
    method: str
    target: str  # "slice/method", as a CALL frame names it
    http_method: str
    template: str
    route: int  # index in MethodContract.routes
    headers: tuple[bytes, ...]  # lower case, the only ones passed on
    deadline_ms: int
    versions: frozenset[str]  # the versions whose contract has exactly this route
    share: int = 100  # of the calls, by the weights of those versions
    slow_us: int = 500_000  # a request that takes longer is logged and traced
    others: tuple[Binding, ...] = ()  # the same path as other versions of the slice have it


@dataclass(frozen=True, slots=True)
class Found:
    binding: Binding
    path: tuple[str, ...]  # parameter values in template order, percent-decoded


@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing answers. `allow` lists the HTTP methods that the path does have; empty when the path is unknown."""

    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two slices want one route; `loser` is not reachable by it."""

    http_method: str
    template: str
    winner: str
    loser: str


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    bindings: dict[str, Binding] = field(default_factory=dict)


class RouteTable:
    """Look-ups by method and raw path. Immutable after its making; a change makes a new one."""

    def __init__(self, bindings: Iterable[Binding] = ()) -> None:
        self._static: dict[bytes, dict[bytes, Found]] = {}
        self._root = _Node()
        added = (self._add(binding) for binding in sorted(bindings, key=_order))
        self.conflicts = tuple(conflict for conflict in added if conflict is not None)

    def find(self, http_method: bytes, raw_path: bytes) -> Found | Missing:
        """The binding for a method and an undecoded path. Raises PathNotText."""
        of_method = self._static.get(http_method)
        if of_method is not None and (found := of_method.get(raw_path)) is not None:
            return found
        return self._walk("GET" if http_method == b"HEAD" else http_method.decode("latin-1"), raw_path)

    def __iter__(self) -> Iterator[Binding]:
        return _bindings(self._root)

    def _add(self, binding: Binding) -> Conflict | None:
        node = self._root
        for segment in binding.template.split("/")[1:]:
            if _is_parameter(segment):
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        holder = node.bindings.setdefault(binding.http_method, binding)
        if holder is not binding:
            return Conflict(binding.http_method, binding.template, holder.slice, binding.slice)
        if not any(map(_is_parameter, binding.template.split("/"))):
            self._add_static(binding)
        return None

    def _add_static(self, binding: Binding) -> None:
        found = Found(binding, ())
        names = ("GET", "HEAD") if binding.http_method == "GET" else (binding.http_method,)
        for name in names:
            self._static.setdefault(name.encode(), {})[binding.template.encode()] = found

    def _walk(self, http_method: str, raw_path: bytes) -> Found | Missing:
        segments = decode_path(raw_path)
        if not 0 < len(segments) <= SEGMENTS_MAX:
            return Missing()
        walk = _Walk(http_method, segments)
        binding = walk.descend(self._root, 0)
        if binding is not None:
            return Found(binding, tuple(walk.values))
        allow = walk.allow | {"HEAD"} if "GET" in walk.allow else walk.allow
        return Missing(tuple(sorted(allow)))


def decode_path(raw_path: bytes) -> list[str]:
    """The segments of a path, each percent-decoded by itself, so that an escaped slash stays data.

    Raises PathNotText.
    """
    try:
        if b"%" in raw_path:
            segments = [unquote_to_bytes(segment).decode() for segment in raw_path.split(b"/")]
        else:
            segments = raw_path.decode().split("/")
    except UnicodeDecodeError:
        raise PathNotText from None
    if segments[0] != "" or any("\0" in segment for segment in segments):
        raise PathNotText
    return segments[1:]


def bindings_of(table: RoutingTable) -> list[Binding]:
    """One binding per slice and route of the contracts that have an instance, or that rest.

    Versions of one slice share a route where their contracts agree on it. Where they do not, since one numbers its
    routes otherwise or lacks the route, each kind has a binding of its own: the newest, with the others in `others`.
    """
    weights = {(row.slice, row.version): row.weight for row in table.resting}
    weights |= {(row.slice, row.version): row.weight for row in table.instances}
    newest_first = sorted(
        (contract for contract in table.contracts if (contract.name, contract.version) in weights),
        key=lambda contract: (contract.name, _version_order(contract.version)),
        reverse=True,
    )
    kinds: dict[tuple[str, str, str], list[Binding]] = {}
    for contract in newest_first:
        weight = weights[contract.name, contract.version]
        rules = table.rules_of.get(contract.name, table.rules)
        for binding in _of_contract(contract, weight, rules):
            _merge(kinds.setdefault((contract.name, binding.http_method, _shape(binding.template)), []), binding)
    return [replace(first, others=tuple(others)) for first, *others in kinds.values()]


def pick(binding: Binding, point: float) -> Binding:
    """The binding or one of its others, by their shares. `point` is in [0, 1)."""
    kinds = (binding, *binding.others)
    left = point * sum(kind.share for kind in kinds)
    for kind in kinds:
        left -= kind.share
        if left < 0:
            return kind
    return binding


def _merge(kinds: list[Binding], binding: Binding) -> None:
    for index, kind in enumerate(kinds):
        if (kind.method, kind.route, kind.headers) == (binding.method, binding.route, binding.headers):
            kinds[index] = replace(kind, versions=kind.versions | binding.versions, share=kind.share + binding.share)
            return
    kinds.append(binding)


def _of_contract(contract: SliceContract, weight: int, rules: SliceRules) -> Iterator[Binding]:
    for method in contract.methods:
        for index, route in enumerate(method.routes):
            yield replace(_binding(contract, method, index, route, rules), share=weight)


def _binding(
    contract: SliceContract, method: MethodContract, index: int, route: RouteContract, rules: SliceRules
) -> Binding:
    return Binding(
        slice=contract.name,
        method=method.name,
        target=f"{contract.name}/{method.name}",
        http_method=route.method,
        template=route.path,
        route=index,
        headers=tuple(sorted(name.lower().encode("latin-1") for name in route.headers)),
        deadline_ms=min(method.deadline_ms, rules.request_ms_max),
        slow_us=rules.slow_request_ms * 1_000,
        versions=frozenset((contract.version,)),
    )


def _order(binding: Binding) -> tuple[str, str, str, str]:
    return (binding.slice, binding.method, binding.http_method, binding.template)


def _version_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Numbers before words and by value, so that 1.10 is newer than 1.9."""
    parts = version.replace("-", ".").replace("+", ".").split(".")
    return tuple((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts)


def _shape(template: str) -> str:
    """The template with its parameters' names left out: `/a/{x}` and `/a/{y}` are one route."""
    return "/".join("{}" if _is_parameter(segment) else segment for segment in template.split("/"))


def _is_parameter(segment: str) -> bool:
    return segment.startswith("{") and segment.endswith("}")


class _Walk:
    """One search, depth first, literal before parameter. Visits each node once at most: the tree bounds its cost."""

    __slots__ = ("allow", "http_method", "segments", "values")

    def __init__(self, http_method: str, segments: list[str]) -> None:
        self.http_method = http_method
        self.segments = segments
        self.values: list[str] = []  # of the parameters on the branch being tried
        self.allow: set[str] = set()

    def descend(self, node: _Node, depth: int) -> Binding | None:
        if depth == len(self.segments):
            self.allow.update(node.bindings)
            return node.bindings.get(self.http_method)
        segment = self.segments[depth]
        literal = node.literals.get(segment)
        if literal is not None:
            binding = self.descend(literal, depth + 1)
            if binding is not None:
                return binding
        if node.parameter is None or not segment:
            return None
        self.values.append(segment)
        binding = self.descend(node.parameter, depth + 1)
        if binding is None:
            self.values.pop()
        return binding


def _bindings(node: _Node) -> Iterator[Binding]:
    yield from node.bindings.values()
    for child in node.literals.values():
        yield from _bindings(child)
    if node.parameter is not None:
        yield from _bindings(node.parameter)
