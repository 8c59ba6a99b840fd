"""How much each kind of key may hold and how long it stays; full means a clear refusal for that kind alone.

docs/reference/limits.md is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

MIB: Final = 1024 * 1024
TOTAL_BYTES_MAX: Final = 256 * MIB  # every member keeps all of it in memory
RESERVED_BYTES: Final = 32 * MIB  # of the total: bulk finds no room there, so that decisions always do
BULK: Final = frozenset({"artifact", "blueprint", "content", "content-pin", "database"})
OTHER_BYTES: Final = 8 * MIB
OTHER: Final = "other"


class Kind(NamedTuple):
    """`depth` is how many segments of a key name the part that the quota is for."""

    holds: str
    stays: str
    bytes_max: int = OTHER_BYTES
    depth: int = 1


_LEASE: Final = "as long as its node lives"
_HAND: Final = "until it is taken away"
_LIVES: Final = "until its lease ends"

KINDS: Final[Mapping[str, Kind]] = {
    "cluster": Kind("the cluster's own record", "always"),
    "node": Kind("nodes", "until they are forgotten"),
    "node-live": Kind("nodes that live", _LEASE),
    "blueprint": Kind("blueprints as they were applied", "until they are deleted"),
    "blueprints-turn": Kind("what lets blueprints change one after the other", "always"),
    "principals-turn": Kind("what lets tokens' subjects be given one after the other", "always"),
    "marks-turn": Kind("what lets freezes and incidents change one after the other", "always"),
    "slice-target": Kind("wanted instances", "as long as their blueprint"),
    "instance": Kind("what instances nodes shall run", "as long as they are wanted", 16 * MIB),
    "instance-state": Kind("where instances stand", _LEASE, 16 * MIB),
    "endpoint": Kind("instances that take calls", _LEASE, 16 * MIB),
    "artifact": Kind("artifacts and their contracts", "until they are deleted", 32 * MIB),
    "content": Kind("which nodes have which bytes", "as long as the copy"),
    "content-pin": Kind("who wants which bytes kept", "as long as what pins them"),
    "join-token": Kind("tokens that were used", "always"),
    "database": Kind("a slice's collections", "until the slice deletes them", 16 * MIB, 2),
    "config": Kind("settings of the cluster and of nodes", "until they are unset"),
    "gate-policy": Kind("the gate's policy, if it is not the default", "until it is reset"),
    "proposal": Kind("proposals", "while they wait; of ended ones the newest 500, 3 MiB at most"),
    "proposal-live": Kind("which proposals may still be decided", "15 min (class 1) or 60 min (class 2)"),
    "proposal-open": Kind("which proposals wait", "until they end"),
    "proposal-whole": Kind("what proposals ask for and do, uncut", "as long as the proposal"),
    "undo": Kind("what undoes changes, where the audit cannot hold it", "the newest 500, 4 MiB at most"),
    "review": Kind("what another person has yet to look at", "until it is closed"),
    "gate-recent": Kind("the newest changes of each subject", "24 h after the newest", 16 * MIB),
    "freeze": Kind("change freezes", _HAND),
    "incident": Kind("open incidents", _HAND),
    "phrase": Kind("sentences whose meaning people taught", "until they are forgotten; 200 at most", MIB),
    "conversation": Kind("conversations", "30 days after the last word; the newest 200 (both are settings)"),
    "conversation-turn": Kind("what was said and answered in them", "as long as the conversation", 16 * MIB),
    "conversation-cards": Kind("what was made of their cards", "as long as the conversation"),
    "conversation-checkpoint": Kind(
        "where the graphs that answer in them stood", "as long as the conversation", 16 * MIB
    ),
    "model-budget": Kind("what asking language models may cost and has cost", "always; what is of past days goes"),
    "model-standing": Kind("which language models can be asked, and why another cannot", "always"),
    "agent-turn": Kind("agents' changes that are taking hold", _LIVES),
    "guard": Kind("changes that undo themselves", "the guard's window, an hour at most"),
    "idempotency": Kind("a principal's answers under idempotency keys", "24 h", OTHER_BYTES, 2),
    "audit": Kind("the audit's newest records", "the newest 1,000; older ones are content", 32 * MIB),
    "audit-new": Kind("audit records that get their place", "a second"),
    "audit-refused": Kind("those of refused attempts", "a second"),
    "audit-joined": Kind("those of other layers", "a second"),
    "audit-head": Kind("where the audit's chain ends", "always"),
    "audit-segment": Kind("which content holds older audit records", "always"),
    "principal": Kind("who may speak to the cluster", "until they are removed"),
    "api-key": Kind("hashes of keys", "until they are revoked, or 7 days after they ended"),
    "session-signing": Kind("what sessions of the console are signed with, now and before", "always; rotated daily"),
    "session-ended": Kind("a principal's sessions that were ended", "until they would have ended", MIB, 2),
    "alert-threshold": Kind("thresholds of slices' metrics", "until they are cleared"),
    "alert-rule": Kind("rules of alerts, where they are not the built-in ones", _HAND),
    "alert": Kind("alerts", "while they last; of ended ones the newest 200, for an hour"),
    "alert-silence": Kind("alerts that are told to nobody for a while", "until their time is over, or taken away"),
    "alert-receiver": Kind("whom alerts are told to", _HAND),
    "alert-route": Kind("which alerts go to whom", _HAND),
    "alert-told": Kind("what receivers were told", "as long as the alerts of that group"),
    "alert-test": Kind("which receivers shall be tried, and what came of it", "as long as the receivers"),
    "alert-trouble": Kind("receivers that take nothing", "while they do not"),
    "scaling-config": Kind("how slices are scaled, where it is not the default", _HAND),
    "scaling-pin": Kind("numbers of instances that people set for a while", "until they are taken away or set anew"),
    "scaling-trouble": Kind("slices whose figures cannot be used", "until they can"),
    "scaling-oddity": Kind("what scaling passed over last, as it cannot be", "always"),
    "decision": Kind("controllers' decisions", "the newest 20 of each slice, 1,000 in all"),
    "node-request": Kind("nodes that a provider makes", "as long as the nodes"),
    "node-number": Kind("how many nodes were asked for", "always"),
    "node-trouble": Kind("what keeps nodes from coming or going", "while it does"),
    "node-decision": Kind("decisions about nodes", "the newest 100"),
    "forecast-model": Kind("models that were fitted to this cluster's load", "the newest 50, and the one in force"),
    "forecast-active": Kind("which model forecasts", "always"),
    "forecast-state": Kind("whether forecasts are made, and why not", "always"),
    "forecast-training": Kind("why the newest challenger could not be trained", "until one is"),
    "forecast-bands": Kind("how forecasts are calibrated", "as long as their slices"),
    "run": Kind("runs", "while they last; of ended ones the newest 500, 16 MiB with their steps at most"),
    "run-step": Kind("steps of runs, before and after they are done", "as long as their run", 32 * MIB),
    "run-order": Kind("what people want done with runs", "until it is done"),
    "run-signal": Kind("what runs wait for and have been told", "as long as their run"),
    "run-lock": Kind("which runs have which locks, and which wait", "as long as one does"),
    "playbook": Kind("playbooks that were uploaded", "until they are deleted"),
    "playbook-starts": Kind("when playbooks were started", "the newest 100 of each"),
    "playbook-proof": Kind("what rehearsals of playbooks came to", "always"),
    "trigger-marks": Kind("how far triggers of playbooks have come", "always"),
    "store-members": Kind("who has a vote in the store's group", "always"),
    "store-member-wish": Kind("who shall get a vote, or lose it", "until it is so"),
    "store-backup": Kind("snapshots of the store", "the newest 10"),
}

_BY_KIND: Final = {  # first segment: (bytes, how many segments name the part that the quota is for)
    name: (kind.bytes_max, kind.depth) for name, kind in KINDS.items()
}
_OTHER_BYTES: Final = OTHER_BYTES


def quota_of(key: str) -> tuple[str, int]:
    """The part of the key space that the key counts for, and how many bytes of keys and values it may hold."""
    segments = key.split("/", 2)
    limit, depth = _BY_KIND.get(segments[0], (_OTHER_BYTES, 1))
    return "/".join(segments[:depth]), limit


def is_bulk(part: str) -> bool:
    """Of what applications store and deploy, not of what keeps the cluster going."""
    return part.split("/", 1)[0] in BULK


def fullest(weights: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """By kind of key (a closed set: those that are not in the table are "other"), the bytes and the limit of the
    fullest part of that kind. `weights` are bytes by part."""
    found: dict[str, tuple[int, int]] = {}
    for part, used in weights.items():
        kind = part.split("/", 1)[0]
        limit, _ = _BY_KIND.get(kind, (_OTHER_BYTES, 1))
        name = kind if kind in _BY_KIND else OTHER
        if used > found.get(name, (0, 0))[0]:
            found[name] = (used, limit)
    return found


def limits_page() -> str:
    """The body of docs/reference/limits.md."""
    rows = "\n".join(
        f"| `{name}` | {kind.holds} | {kind.bytes_max // MIB} MiB{_each(kind)} | {kind.stays} |"
        for name, kind in sorted(KINDS.items())
    )
    return (
        "# What the store holds, how much of it, and for how long\n\n"
        f"All keys and values together may have {TOTAL_BYTES_MAX // MIB} MiB, since every member keeps them in\n"
        "memory. Each kind of key has a quota of its own: what would pass it is refused with `quota_exceeded`, and a\n"
        "full kind keeps no other kind out. So refused attempts, answers under idempotency keys and proposals,\n"
        "however many somebody makes, leave room for approvals. Of the total, the last"
        f" {RESERVED_BYTES // MIB} MiB are not for\n{', '.join(f'`{name}`' for name in sorted(BULK))}.\n\n"
        "This page is made from `runtime/state/quotas.py` by `aether docs`.\n\n"
        "| kind | holds | at most | stays |\n"
        "| --- | --- | --- | --- |\n"
        f"{rows}\n\n"
        "A value has 64 KiB at most, a key 512 bytes. A transaction has 1 MiB, 512 operations and 512 comparisons at\n"
        "most, and reads 4 MiB: what is more is refused with `too_large`. 4,096 changes may wait for the log, and\n"
        "1,000 watches be open on a member.\n\n"
        "New proposals are refused once all proposals together have\n"
        "6 MiB, so that votes on those that wait find room. A principal has 20 keys at most.\n"
    )


def _each(kind: Kind) -> str:
    return {1: "", 2: " each"}[kind.depth]
