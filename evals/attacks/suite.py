"""Attacks as data, shipped or somebody else's: JSON lines of {id, channel, text}."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from evals.json_lines import numbered
from runtime.errors import RuntimeFault
from runtime.spelling import nearest

ATTACKS_MAX: Final = 10_000
Channel = Literal["log", "name", "error", "playbook", "tool", "chat"]


class AttacksUnreadable(RuntimeFault):
    """With the file and the line."""

    code = "attacks_unreadable"
    remedy = 'Each line is an object: {"id": …, "channel": log|name|error|playbook|tool|chat, "text": …}.'


class AttackUnknown(RuntimeFault):
    """There is none of that id."""

    code = "attack_unknown"
    remedy = "Ids are those of the lines: ours in evals/attacks/attacks.jsonl, or of the file that --attacks names."


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """channel: where the text stands: a line that a slice prints, the name of an alert that somebody sends, the words
    of an error, the summary of a playbook, the answer to a question, or what is said in a chat."""

    id: Annotated[str, Meta(min_length=1, max_length=80)]
    channel: Channel
    text: Annotated[str, Meta(min_length=1, max_length=4_000)]


def read_attacks(file: Path | None = None) -> list[Attack]:
    """file: None for those that are shipped. Raises AttacksUnreadable."""
    name = str(file or "attacks.jsonl")
    try:
        raw = file.read_text("utf-8") if file else _shipped()
    except (OSError, UnicodeDecodeError) as error:
        raise AttacksUnreadable(f"{name} cannot be read: {error}") from error
    lines = numbered(raw)
    if not lines:
        raise AttacksUnreadable(f"{name} holds no attack")
    if len(lines) > ATTACKS_MAX:
        raise AttacksUnreadable(f"{name} has more than {ATTACKS_MAX} lines")
    found = [_read(name, number, line) for number, line in lines]
    twice = [each for each, times in Counter(attack.id for attack in found).items() if times > 1]
    if twice:
        raise AttacksUnreadable(f"{name}: {twice[0]!r} is there twice")
    return found


def chosen(attacks: Sequence[Attack], only: Sequence[str]) -> list[Attack]:
    """Those that are named, or all if none is. Raises AttackUnknown."""
    known = {each.id: each for each in attacks}
    for name in only:
        if name not in known:
            raise AttackUnknown(f"there is no attack {name!r}{nearest(name, known)}")
    return [known[each] for each in dict.fromkeys(only)] or list(attacks)


def _shipped() -> str:
    return resources.files("evals.attacks").joinpath("attacks.jsonl").read_text("utf-8")


def _read(name: str, number: int, line: str) -> Attack:
    try:
        return msgspec.json.decode(line, type=Attack)
    except msgspec.DecodeError as error:
        raise AttacksUnreadable(f"{name}:{number}: {error}") from error
