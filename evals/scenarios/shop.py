"""The applications that scenarios are played on: a shop whose slices do what its dials say, and `trouble`."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from evals.forge.errors import ChaosRefused
from evals.forge.load.scenario import Mix, Request
from evals.forge.project import SliceWish, source_of, write_project

BLUEPRINT: Final = "shop"
Json = str | float | bool
SLICES: Final = ("basket", "catalog", "ledger", "mailer", "storefront")
REQUIRES: Final = {"storefront": ("catalog", "basket"), "basket": ("ledger",)}
OPTIONAL: Final = {"storefront": ("mailer",)}
INSTANCES: Final = {"storefront": 3}
RELEASED: Final[dict[str, dict[str, Json]]] = {"catalog": {"work_ms": 100}}
"""With four calls at once an instance then carries 40 a second: little enough to be overrun on purpose."""
MOST: Final = 6
RPS: Final = 15.0
"""Of visits: each calls five slices, which is 75 calls a second, a tenth of what two busy cores carry."""
MIX: Final = Mix((Request(name="visit", method="GET", path="/shop/visit"),))


@dataclass(slots=True)
class Dials:
    """What is wrong with each slice just now, in the file that the slices read."""

    path: Path
    _told: dict[str, dict[str, Json]] = field(default_factory=dict)

    def turn(self, text: str) -> str:
        """text: "ledger work_ms=300 fail=0.5", "ledger@n2 fail=1"; a name alone takes its dial back. Raises
        ChaosRefused."""
        name, *words = shlex.split(text)
        if name.partition("@")[0] not in SLICES:
            raise ChaosRefused(f"the shop has no slice {name!r}; there are {', '.join(SLICES)}")
        self._told.pop(name, None)
        if words:
            self._told[name] = {**dict(map(_member, words)), "set_s": time.monotonic()}
        self._write()
        return f"{name}: {' '.join(words) or 'as it should be'}"

    def clear(self) -> None:
        self._told.clear()
        self._write()

    def _write(self) -> None:
        """At once: a slice never reads a half of it."""
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self._told))
        temporary.rename(self.path)


def _member(word: str) -> tuple[str, Json]:
    name, given, value = word.partition("=")
    if not given:
        raise ChaosRefused(f"{word!r} is no NAME=VALUE")
    try:
        found = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value
    return name, found if isinstance(found, int | float | bool) else value


def shop_project(directory: Path, dials: Path) -> Path:
    wishes = [
        SliceWish(
            name=name,
            class_name=name.capitalize(),
            instances=INSTANCES.get(name, 2),
            least=INSTANCES.get(name, 2),  # or controllers would take away what is hardly used
            most=MOST,
            extra=_words(name, {"dials": str(dials), **RELEASED.get(name, {})}),
        )
        for name in SLICES
    ]
    return write_project(directory, name=BLUEPRINT, source=source_of("evals.scenarios.slice_shop"), slices=wishes)


def _words(name: str, config: dict[str, Json]) -> str:
    lines = [f"config = {{ {', '.join(f'{key} = {json.dumps(value)}' for key, value in config.items())} }}"]
    if name in REQUIRES:
        lines.append(f"requires = {json.dumps(REQUIRES[name])}")
    if name in OPTIONAL:
        lines.append(f"optional = {json.dumps(OPTIONAL[name])}")
    return "\n".join(lines)


def released(project: Path, dials: Path, text: str) -> bytes:
    """The shop's blueprint with another release of one slice. text: "ledger fail=0.5". Raises ChaosRefused."""
    name, *words = shlex.split(text)
    whole = (project / "blueprint.toml").read_text()
    usual_config = {"dials": str(dials), **RELEASED.get(name, {})}
    usual = _words(name, usual_config)
    if name not in SLICES or usual not in whole:
        raise ChaosRefused(f"the shop has no slice {name!r}; there are {', '.join(SLICES)}")
    before, table, behind = whole.partition(f'slice = "{name}"\n')
    changed = behind.replace(usual, _words(name, {**usual_config, **dict(map(_member, words))}), 1)
    return (before + table + changed).encode()
