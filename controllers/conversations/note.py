"""A conversation as an incident's note in Markdown: what happened when, on what evidence, what was planned, and how it
came out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Final, cast

import msgspec

from controllers.conversations.records import CardFate, ConversationRecord, TurnRecord
from controllers.conversations.telling import Event

CHARS_MAX: Final = 256 * 1024
LINE_CHARS_MAX: Final = 2_000
ROWS_MAX: Final = 20
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>#|~!])")

KeptTurn = tuple[TurnRecord, tuple[Event, ...] | None]
"""With its events; None where these cannot be had."""


def note(
    identity: str,
    head: ConversationRecord,
    turns: Sequence[KeptTurn],
    fates: Mapping[str, CardFate],
    states: Mapping[str, str],
) -> str:
    """states: of proposals, by their ids. What is too long ends with a line that says so."""
    lines = [
        f"# {_plain(head.title)}",
        "",
        f"Conversation `{identity}` of {_plain(head.owner)}, {_at(head.created_unix_ms)} to"
        f" {_at(head.last_unix_ms)} UTC.",
        *(["", "Text was read that anybody may have written, such as logs."] if head.tainted else []),
        *_section("Timeline", _timeline(turns, fates)),
        *_section("Evidence", _evidence(turns)),
        *_section("Plan", chain(_plans(turns), _proposals(turns))),
        *_section("Outcome", _outcomes(turns, fates, states)),
    ]
    text = "\n".join(lines) + "\n"
    return text if len(text) <= CHARS_MAX else f"{text[:CHARS_MAX]}\n\n(cut here: it is longer)\n"


def _section(title: str, lines: Iterator[str]) -> list[str]:
    return ["", f"## {title}", "", *(list(lines) or ["None."])]


def _timeline(turns: Sequence[KeptTurn], fates: Mapping[str, CardFate]) -> Iterator[str]:
    rows = [row for each in turns for row in _of_turn(*each)]
    rows += [(each.at_unix_ms, f"{_plain(each.by)} {each.outcome}: {_plain(each.summary)}") for each in fates.values()]
    yield from (f"- {_at(at)} {line}" for at, line in sorted(rows, key=lambda row: row[0]))


def _of_turn(turn: TurnRecord, events: tuple[Event, ...] | None) -> Iterator[tuple[int, str]]:
    yield turn.began_unix_ms, f"**{_plain(turn.by)}**: {_plain(turn.text)}"
    at = turn.ended_unix_ms or turn.began_unix_ms
    by = _plain(turn.answered_by or "answer")
    if events is None:
        yield at, f"*{by}*: (what was answered is on no node that is up)"
        return
    for each in events:
        if each.get("type") == "concluded":
            yield at, f"*{by}*: {_conclusion(each)}"
        elif each.get("type") == "checked":
            yield from ((at, f"*{_plain(each.get('by'))}*: {_doubt(doubt)}") for doubt in _list(each.get("doubts")))
        elif each.get("type") in ("text", "failed"):
            cited = ", ".join(f"{turn.number}.{each}" for each in _list(each.get("evidence")))
            yield at, f"*{by}*: {_plain(each.get('text') or each.get('detail'))}{f' [{cited}]' if cited else ''}"
    if turn.state != "ended":
        yield at, f"*{by}*: (broke off)" if turn.state == "broken" else f"*{by}*: (is being made)"


def _conclusion(event: Event) -> str:
    """What an investigation came to, whoever made it."""
    roots = ", ".join(map(str, _list(event.get("roots")))) or "nothing"
    words = _plain(f"cause {roots}: {event.get('mechanism')}, by {event.get('by')}")
    gaps = "".join(f"; not known: {_plain(each)}" for each in _list(event.get("gaps")))
    return f"{words}{gaps}"


def _doubt(doubt: object) -> str:
    told = _dict(doubt)
    return _plain(f'doubts "{told.get("claim")}": {told.get("says")}')


def _evidence(turns: Sequence[KeptTurn]) -> Iterator[str]:
    """Ids with the turn's number in front: each turn counts its own."""
    for turn, event in _of_type(turns, "looked"):
        seen = _dict(event.get("evidence"))
        request = " ".join(f"{name}={_text(value)}" for name, value in _dict(seen.get("request")).items())
        words = _plain(f"{seen.get('operation')} {request}".strip())
        yield f"- {turn.number}.{_plain(seen.get('id'))}: {words}, at revision {_plain(seen.get('revision'))}"


def _plans(turns: Sequence[KeptTurn]) -> Iterator[str]:
    for turn, card in _of_type(turns, "card"):
        plan = _dict(card.get("plan"))
        yield f"- {turn.number}: {_plain(card.get('summary'))} (`{str(card.get('command')).replace('`', ' ')}`)"
        if card.get("refused"):
            yield f"  - would be refused: {_plain(card['refused'])}"
        if plan:
            yield f"  - gate: {_plain(plan.get('gate_class'))}, {_plain(plan.get('rule'))}"
            for row in _list(plan.get("diff"))[:ROWS_MAX]:
                field = _dict(row)
                name = " ".join(str(field.get(each) or "") for each in ("key", "path")).strip()
                yield f"  - {_plain(name)}: {_plain(_text(field.get('before')))} → {_plain(_text(field.get('after')))}"
        inverse = _dict(plan.get("inverse"))
        if inverse:
            yield f"  - undone by: {_plain(inverse.get('operation'))} {_plain(_text(inverse.get('request')))}"


def _proposals(turns: Sequence[KeptTurn]) -> Iterator[str]:
    """What a model proposed: it is no card, and no less a plan."""
    for turn, made in _of_type(turns, "proposal"):
        call = f"{made.get('operation')} {_text(made.get('request'))}"
        yield f"- {turn.number}: {_plain(made.get('summary'))} (proposal `{_plain(made.get('id'))}`: {_plain(call)})"
        yield (
            f"  - gate: {_plain(made.get('gate_class'))}, {_plain(made.get('rule'))};"
            f" needs {_plain(made.get('approvers'))}"
        )
        yield f"  - undone by: {_plain(made.get('rollback'))}"


def _outcomes(turns: Sequence[KeptTurn], fates: Mapping[str, CardFate], states: Mapping[str, str]) -> Iterator[str]:
    shown: dict[str, str] = {str(card.get("id")): str(card.get("summary")) for _, card in _of_type(turns, "card")}
    for identity, fate in sorted(fates.items(), key=lambda each: each[1].at_unix_ms):
        shown.pop(identity, None)
        if fate.outcome == "applied":
            yield f"- {_at(fate.at_unix_ms)} made by {_plain(fate.by)}: {_plain(fate.summary)} (audit `{fate.audit}`)"
        else:
            state = states.get(fate.proposal, "gone")
            words = f"proposed by {_plain(fate.by)}: {_plain(fate.summary)}"
            yield f"- {_at(fate.at_unix_ms)} {words} (proposal `{fate.proposal}`, {_plain(state)})"
    yield from (f"- not made: {_plain(each)}" for each in shown.values())


def _of_type(turns: Sequence[KeptTurn], kind: str) -> Iterator[tuple[TurnRecord, Event]]:
    return ((turn, each) for turn, events in turns for each in events or () if each.get("type") == kind)


def _dict(value: object) -> dict[str, object]:
    return cast(dict[str, object], value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return cast(list[object], value) if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _plain(value: object) -> str:
    """One line of words without markup: what others wrote must not make headings, links or pictures."""
    line = " ".join(str(value if value is not None else "").split())
    return _MARKUP.sub(r"\\\1", line[:LINE_CHARS_MAX])


def _at(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
