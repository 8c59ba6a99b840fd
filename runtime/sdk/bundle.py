"""The slices of one artifact together: found by entry point, and checked against each other."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Final

from runtime.sdk.contract import SliceContract
from runtime.sdk.errors import SliceInvalid
from runtime.sdk.reading import SliceReading, read_slice, route_shape

ENTRY_POINT_GROUP: Final = "aether.slices"


def read_entries(entries: Iterable[str]) -> tuple[SliceReading, ...]:
    """Imports each "module:Class" and reads it. Raises SliceInvalid; an import's own error comes through."""
    readings = tuple(read_entry(entry) for entry in entries)
    check_together(readings)
    return readings


def read_entry(entry: str) -> SliceReading:
    """Imports "module:Class" and reads it."""
    module_name, _, class_name = entry.partition(":")
    found: object = importlib.import_module(module_name)
    for part in class_name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        raise SliceInvalid(
            f"entry point {entry!r} names no class", remedy=f"write it as module:Class in group {ENTRY_POINT_GROUP}"
        )
    return read_slice(found)


def check_together(readings: Iterable[SliceReading]) -> None:
    """Refuses two slices of one name, one route in two slices, a dependency cycle, and a call to a missing method."""
    by_name: dict[str, SliceReading] = {}
    routes: dict[tuple[str, str], SliceReading] = {}
    for reading in readings:
        name = reading.contract.name
        if name in by_name:
            raise _invalid(reading, f"slice {name!r} is also {by_name[name].contract.entry}", "rename one of them")
        by_name[name] = reading
        for route in (route for method in reading.contract.methods for route in method.routes):
            other = routes.setdefault((route.method, route_shape(route.path)), reading)
            if other is not reading:
                raise _invalid(
                    reading,
                    f"{route.method} {route.path} is also bound by slice {other.contract.name!r}",
                    "give each slice its own paths",
                )
    _check_calls(by_name)
    cycle = find_cycle(tuple(reading.contract for reading in by_name.values()))
    if cycle:
        raise _invalid(
            by_name[cycle[0]],
            f"dependency cycle: {' -> '.join(cycle)}",
            "merge two of them, or turn one call around with an event",
        )


def find_cycle(contracts: Iterable[SliceContract]) -> tuple[str, ...]:
    """The names along a cycle of required slice dependencies, the first again at the end; empty if there is none."""
    graph = {
        contract.name: sorted(d.name for d in contract.dependencies if d.kind == "slice" and d.required)
        for contract in contracts
    }
    done: set[str] = set()
    for start in sorted(graph):
        cycle = _visit(graph, start, (), done)
        if cycle:
            return cycle
    return ()


def _visit(graph: Mapping[str, list[str]], name: str, trail: tuple[str, ...], done: set[str]) -> tuple[str, ...]:
    if name in trail:
        return (*trail[trail.index(name) :], name)
    if name in done:
        return ()
    for other in graph.get(name, ()):
        cycle = _visit(graph, other, (*trail, name), done)
        if cycle:
            return cycle
    done.add(name)
    return ()


def _check_calls(by_name: Mapping[str, SliceReading]) -> None:
    for reading in by_name.values():
        for dependency in (d for d in reading.contract.dependencies if d.name in by_name and d.kind == "slice"):
            missing = set(dependency.methods) - by_name[dependency.name].methods.keys()
            if missing:
                raise _invalid(
                    reading,
                    f"{dependency.parameter} wants {dependency.name}.{min(missing)}, which that slice does not have",
                    "add the method, or drop it from the Protocol",
                )


def _invalid(reading: SliceReading, problem: str, remedy: str) -> SliceInvalid:
    return SliceInvalid(problem, remedy=remedy, file=reading.file, line=reading.line)
