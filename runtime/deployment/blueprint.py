"""Blueprints: TOML in, a BlueprintRecord out, or a refusal that names line and key."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from runtime.deployment.errors import BlueprintInvalid, BlueprintRequired
from runtime.names import BlueprintId, is_name, is_version
from runtime.sdk.contract import SliceContract
from runtime.spelling import near_names
from runtime.state.values import BlueprintRecord, BlueprintSlice, Isolation

TEXT_BYTES_MAX: Final = 256 * 1024
SLICES_MAX: Final = 200
INSTANCES_MAX: Final = 1_000
CONFIG_INTS: Final = range(-(2**63), 2**63)  # TOML's, and what goes over the wire
_PATH: Final = re.compile(r"`\$\.?(.*?)`")
_LONG_NUMBER: Final = re.compile(r"[\d_]{4300,}")

_SLICE_KEYS: Final = tuple(BlueprintSlice.__struct_fields__)
_TOP_KEYS: Final = ("id", "slices")


def parse(raw: bytes) -> BlueprintRecord:
    """Checks all that the text alone can tell. Raises BlueprintInvalid, and nothing else, whatever the bytes."""
    if len(raw) > TEXT_BYTES_MAX:
        raise BlueprintInvalid(f"{len(raw)} bytes; a blueprint has at most {TEXT_BYTES_MAX}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise BlueprintInvalid("the text is not UTF-8", line=line) from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        raise BlueprintInvalid(str(error).partition(" (at line")[0], line=int(found[1]) if found else 0) from error
    except RecursionError as error:
        raise BlueprintInvalid("nested too deeply") from error
    except ValueError as error:  # from int(), which takes 4300 digits at most
        digits = _LONG_NUMBER.search(text)
        line = text[: digits.start()].count("\n") + 1 if digits else 0
        raise BlueprintInvalid("a number is too long", line=line) from error
    return _record(table, text)


def _record(table: Mapping[str, object], text: str) -> BlueprintRecord:
    _check_keys(table, _TOP_KEYS, text, -1)
    identity, rows = table.get("id"), table.get("slices")
    if not isinstance(identity, str) or not is_name(identity):
        raise BlueprintInvalid("give a name in lower case, digits and hyphens", line=line_of(text, "id"), key="id")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise BlueprintInvalid("give at least one [[slices]] table", line=line_of(text, "slices"), key="slices")
    if len(rows) > SLICES_MAX:
        raise BlueprintInvalid(f"{len(rows)} slices; a blueprint has at most {SLICES_MAX}", key="slices")
    slices = tuple(_slice(row, text, index) for index, row in enumerate(rows))
    names = [(each.slice, each.version) for each in slices]
    for index, pair in enumerate(names):
        if pair in names[:index]:
            line = line_of(text, "slice", index)
            raise BlueprintInvalid(f"{pair[0]} {pair[1]} is listed twice", line=line, key=f"slices[{index}].slice")
    return BlueprintRecord(blueprint=BlueprintId(identity), source=text, slices=slices)


def _slice(row: Mapping[str, object], text: str, index: int) -> BlueprintSlice:
    _check_keys(row, _SLICE_KEYS, text, index)
    try:
        found = msgspec.convert(row, BlueprintSlice)
    except msgspec.ValidationError as error:
        path = _PATH.search(str(error))
        key = path[1].split(".")[0] if path else ""
        missing = re.search(r"missing required field `(\w+)`", str(error))
        key = key or (missing[1] if missing else "")
        problem = "is missing" if missing else str(error).partition(" - at")[0].lower()
        raise BlueprintInvalid(problem, line=line_of(text, key, index), key=f"slices[{index}].{key}") from error
    problem_of = _first_problem(found)
    if problem_of is not None:
        key, problem = problem_of
        raise BlueprintInvalid(problem, line=line_of(text, key, index), key=f"slices[{index}].{key}")
    return found


def _first_problem(found: BlueprintSlice) -> tuple[str, str] | None:
    """(key, what is wrong with it)."""
    name, _, version = found.artifact.partition("==")
    rules = (
        ("slice", is_name(found.slice), "a slice's name has lower case, digits and hyphens"),
        ("version", is_version(found.version), "not a version"),
        ("artifact", bool(name) and is_version(version), 'write it as "name==version"'),
        ("min", 0 <= found.min <= found.max, f"min {found.min} and max {found.max} must be 0 <= min <= max"),
        ("max", found.max <= INSTANCES_MAX, f"at most {INSTANCES_MAX}"),
        (
            "instances",
            found.min <= found.instances <= found.max,
            f"{found.instances} is outside min {found.min} and max {found.max}",
        ),
        ("min_available", 0 <= found.min_available <= found.max, f"must be 0 to max ({found.max})"),
        ("weight", 0 <= found.weight <= 10_000, "0 to 10000"),
        ("memory_mb_max", 32 <= found.memory_mb_max <= 1_048_576, "32 to 1048576 MB"),
        ("start_timeout_ms", 1 <= found.start_timeout_ms <= 600_000, "1 to 600000 ms"),
        ("stop_timeout_ms", 1 <= found.stop_timeout_ms <= 600_000, "1 to 600000 ms"),
        ("requires", all(map(is_name, found.requires)), "lists names of slices"),
        ("optional", all(map(is_name, found.optional)), "lists names of slices"),
        ("requires", found.slice not in found.requires, "a slice cannot require itself"),
        ("slice", not found.slice.startswith("aether-"), "names that begin with aether- are the system's own"),
        *(("config", False, problem) for problem in _config_problems(found.config)),
    )
    return next(((key, problem) for key, holds, problem in rules if not holds), None)


def _config_problems(config: Mapping[str, str | int | float | bool]) -> Iterator[str]:
    """What TOML allows but neither the store's JSON nor the wire can hold."""
    for name, value in config.items():
        if isinstance(value, int) and value not in CONFIG_INTS:
            yield f"{name} has more than 64 bits"
        elif isinstance(value, float) and not math.isfinite(value):
            yield f"{name} is not finite"


def _check_keys(table: Mapping[str, object], known: Sequence[str], text: str, index: int) -> None:
    for key in table:
        if key not in known:
            near = near_names(key, known, most=1, cutoff=0.6)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
            where = f"slices[{index}].{key}" if index >= 0 else key
            raise BlueprintInvalid(f"unknown key{hint}", line=line_of(text, key, index), key=where)


def line_of(text: str, key: str, index: int = -1) -> int:
    """The line of `key` in the `index`-th [[slices]] table (-1: above all tables); that table's own line, or 0, if
    the key is not written there."""
    table, at, found = -1, 0, 0
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if re.match(r"\[\[\s*slices\s*\]\]", stripped):
            table += 1
            if table == index or (index < 0 and key == "slices" and not found):
                at = number
        if table != index:
            continue
        inner = re.match(r"\[\s*slices\.(\w+)", stripped)
        if key and (re.match(rf"[\"']?{re.escape(key)}[\"']?\s*[.=]", stripped) or (inner and inner[1] == key)):
            return number
    return at


def check_against(
    record: BlueprintRecord,
    *,
    contracts: Mapping[str, Sequence[SliceContract]],
    others: Iterable[tuple[BlueprintSlice, SliceContract]],
) -> tuple[SliceContract, ...]:
    """The contracts of the blueprint's slices, once they fit together. Raises BlueprintInvalid.

    contracts: by artifact coordinate. others: slices that other blueprints deploy.
    """
    text, others = record.source, list(others)
    found = [_contract_of(row, index, text, contracts) for index, row in enumerate(record.slices)]
    available = {contract.name for contract in found} | {contract.name for _, contract in others}
    for index, (row, contract) in enumerate(zip(record.slices, found, strict=True)):
        _check_dependencies(row, contract, index, text, available)
    _check_cycles(record, found, others)
    _check_routes(record, found, others)
    _check_memory(record, [row for row, _ in others])
    return tuple(found)


def check_still_met(
    others: Sequence[tuple[BlueprintSlice, SliceContract]], *, before: Iterable[str], after: Iterable[str]
) -> None:
    """Nothing that goes is required by a slice of another blueprint. Raises BlueprintRequired, which names who does.

    before, after: the slices that one blueprint deploys before and after a change.
    """
    gone = set(before) - set(after) - {row.slice for row, _ in others}
    found = [
        f"{row.slice} {row.version} requires {needed}"
        for row, contract in others
        for needed in requirements(row, contract)
        if needed in gone
    ]
    if found:
        raise BlueprintRequired(f"other blueprints need what would go: {'; '.join(sorted(found))}")


def _contract_of(
    row: BlueprintSlice, index: int, text: str, contracts: Mapping[str, Sequence[SliceContract]]
) -> SliceContract:
    offered = contracts.get(row.artifact)
    if offered is None:
        near = near_names(row.artifact, contracts, cutoff=0.6)
        hint = f"; there are {', '.join(near)}" if near else ""
        raise BlueprintInvalid(
            f"artifact {row.artifact} is not known here{hint}",
            line=line_of(text, "artifact", index),
            key=f"slices[{index}].artifact",
            remedy="Upload it first: aether artifact upload FILE.",
        )
    for contract in offered:
        if (contract.name, contract.version) == (row.slice, row.version):
            return contract
    names = ", ".join(f"{each.name} {each.version}" for each in offered)
    raise BlueprintInvalid(
        f"{row.artifact} has no slice {row.slice} {row.version}; it has {names}",
        line=line_of(text, "slice", index),
        key=f"slices[{index}].slice",
    )


def requirements(row: BlueprintSlice, contract: SliceContract) -> tuple[str, ...]:
    """The slices that must have an endpoint before this one starts: the blueprint may make a required one optional."""
    declared = {each.name for each in contract.dependencies if each.kind == "slice" and each.required}
    return tuple(sorted((declared | set(row.requires)) - set(row.optional)))


def _check_dependencies(
    row: BlueprintSlice, contract: SliceContract, index: int, text: str, available: set[str]
) -> None:
    for name in requirements(row, contract):
        if name not in available:
            near = near_names(name, available, most=1, cutoff=0.6)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise BlueprintInvalid(
                f"{row.slice} requires slice {name}, which no blueprint deploys{hint}",
                line=line_of(text, "requires", index),
                key=f"slices[{index}].requires",
            )


def _check_cycles(
    record: BlueprintRecord, found: Sequence[SliceContract], others: Sequence[tuple[BlueprintSlice, SliceContract]]
) -> None:
    """A cycle through this blueprint's slices, also one that leads over another blueprint's."""
    edges: dict[str, set[str]] = {}
    for row, contract in (*others, *zip(record.slices, found, strict=True)):
        edges.setdefault(row.slice, set()).update(requirements(row, contract))
    done: set[str] = set()

    def visit(name: str, index: int, path: tuple[str, ...]) -> None:
        if name in path:
            cycle = " -> ".join((*path[path.index(name) :], name))
            raise BlueprintInvalid(
                f"required dependencies form a cycle: {cycle}",
                line=line_of(record.source, "requires", index),
                key=f"slices[{index}].requires",
                remedy="Make one of them optional, or turn one call around with an event.",
            )
        if name not in done:
            for needed in sorted(edges.get(name, ())):
                visit(needed, index, (*path, name))
            done.add(name)

    for index, row in enumerate(record.slices):
        visit(row.slice, index, ())


def _check_routes(
    record: BlueprintRecord, found: Sequence[SliceContract], others: Sequence[tuple[BlueprintSlice, SliceContract]]
) -> None:
    owners = {shape: contract.name for _, contract in others for shape in _shapes(contract)}
    for index, contract in enumerate(found):
        for shape, path in _shapes(contract).items():
            owner = owners.setdefault(shape, contract.name)
            if owner != contract.name:
                raise BlueprintInvalid(
                    f"{shape[0]} {path} of {contract.name} is already a route of {owner}",
                    line=line_of(record.source, "slice", index),
                    key=f"slices[{index}].slice",
                    remedy="Give one of the two slices another path.",
                )


def _check_memory(record: BlueprintRecord, others: Sequence[BlueprintSlice]) -> None:
    """The slices of one artifact share a worker on a node, so they must agree on its limit."""
    first: dict[str, BlueprintSlice] = {}
    for row in others:
        if row.isolation is Isolation.WORKER:
            first.setdefault(row.artifact, row)
    for index, row in enumerate(record.slices):
        if row.isolation is not Isolation.WORKER:
            continue
        known = first.setdefault(row.artifact, row)
        if known.memory_mb_max != row.memory_mb_max:
            raise BlueprintInvalid(
                f"{row.memory_mb_max} MB, but {known.slice} of the same artifact has {known.memory_mb_max} MB, and"
                " both run in one worker",
                line=line_of(record.source, "memory_mb_max", index),
                key=f"slices[{index}].memory_mb_max",
                remedy="Give all slices of one artifact the same memory_mb_max.",
            )


def _shapes(contract: SliceContract) -> dict[tuple[str, str], str]:
    """(verb, path with nameless parameters) → path: two routes of one shape take the same requests."""
    return {
        (route.method, re.sub(r"\{[^}]*\}", "{}", route.path)): route.path
        for method in contract.methods
        for route in method.routes
    }
