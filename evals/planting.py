"""Mistakes to plant in the product: whatever claims to find faults must find every one of them, or it proves little.

A plant puts another function in the place of one of the product's for the length of a run; nothing in the product
knows of it. The plants themselves stand with what has to find them: simulation/planted.py and workflow/planted.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from runtime.errors import RuntimeFault


class UnknownPlant(RuntimeFault):
    code = "unknown_plant"
    remedy = "Name one of them with --plant."

    def __init__(self, name: str, plants: Mapping[str, Plant]) -> None:
        super().__init__(f"there is no mistake {name!r} to plant; there are {', '.join(plants)}")


class Plant(NamedTuple):
    """`where` is a class or module, `name` the function of it that `bug` stands in for."""

    protection: str
    where: Any
    name: str
    bug: Callable[..., object] | property


@contextlib.contextmanager
def planted(plants: Mapping[str, Plant], name: str) -> Iterator[None]:
    """With that one of `plants` in the product; "" plants none. Raises UnknownPlant."""
    if not name:
        yield
        return
    if name not in plants:
        raise UnknownPlant(name, plants)
    plant = plants[name]
    before = vars(plant.where)[plant.name]
    setattr(plant.where, plant.name, plant.bug)
    try:
        yield
    finally:
        setattr(plant.where, plant.name, before)
