"""Sentences with what they mean, shipped or somebody else's: JSON lines of {text, lang, operation, params}."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from evals.json_lines import numbered
from runtime.errors import RuntimeFault

SENTENCES_MAX: Final = 100_000
SLICES: Final = ("checkout", "inventory", "notification", "orders", "payment", "pricing", "search")
NODES: Final = ("n1", "n2", "n3", "n4", "n5", "n6")
BLUEPRINTS: Final = ("order-domain", "shop")
WANTED: Final = {"orders": 3, "payment": 2, "pricing": 2, "inventory": 2, "search": 5, "checkout": 4, "notification": 1}
VERSIONS: Final = {"checkout": ("2.0.0", "2.1.0")}


class SentencesUnreadable(RuntimeFault):
    code = "sentences_unreadable"
    remedy = 'Each line is an object: {"text": …, "lang": …, "operation": …, "params": {…}}.'


class Meant(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence with what it means. `operation` "none" is what the cluster does not do."""

    text: str
    operation: str
    lang: str = ""
    params: dict[str, object] = {}
    tuned: bool = False
    """It helped to choose what is trained, and so measures less than one that did not."""
    card: bool | None = None
    """False where no card may be shown whatever is understood: negations, names that are nearly right, two at once."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What there is in the cluster that the sentences are about."""

    slices: tuple[str, ...]
    nodes: tuple[str, ...]
    blueprints: tuple[str, ...]
    proposals: tuple[str, ...] = ()
    playbooks: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()


def read_sentences(file: Path | None) -> list[Meant]:
    """file: None for those that are shipped. Raises SentencesUnreadable with the line's number."""
    try:
        raw = file.read_text("utf-8") if file else _shipped()
    except (OSError, UnicodeDecodeError) as error:
        raise SentencesUnreadable(f"{file} cannot be read: {error}") from error
    lines = numbered(raw)
    if not lines:
        raise SentencesUnreadable(f"{file} holds no sentence")
    if len(lines) > SENTENCES_MAX:
        raise SentencesUnreadable(f"{file} has more than {SENTENCES_MAX} lines")
    return [_read(number, line) for number, line in lines]


def _shipped() -> str:
    return resources.files("evals.router").joinpath("sentences.jsonl").read_text("utf-8")


def _read(number: int, line: str) -> Meant:
    try:
        return msgspec.json.decode(line, type=Meant)
    except msgspec.DecodeError as error:
        raise SentencesUnreadable(f"line {number}: {error}") from error


def place_of(sentences: list[Meant]) -> Place:
    """The suite's own cluster, and whatever else the sentences' members name."""
    named: dict[str, set[str]] = {"slice": set(SLICES), "node": set(NODES), "blueprint": set(BLUEPRINTS)}
    named |= {member: set() for member in ("id", "playbook", "run", "fingerprint")}
    for each in sentences:
        if each.card is False:
            continue
        for member, value in each.params.items():
            kind, _, name = str(value).partition(":") if member == "subject" else (member, "", str(value))
            if name and kind in named:
                named[kind].add(name)
    return Place(
        slices=tuple(sorted(named["slice"])),
        nodes=tuple(sorted(named["node"])),
        blueprints=tuple(sorted(named["blueprint"])),
        proposals=tuple(sorted(named["id"])),
        playbooks=tuple(sorted(named["playbook"])),
        runs=tuple(sorted(named["run"])),
        alerts=tuple(sorted(named["fingerprint"])),
    )
