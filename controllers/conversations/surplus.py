"""Which conversations are too many, too old or too long. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final, NamedTuple

from controllers.conversations.limits import STORE_BYTES_MAX
from controllers.conversations.records import ConversationRecord

DAY_MS: Final = 24 * 60 * 60 * 1_000

Heads = Mapping[str, ConversationRecord]


class Limits(NamedTuple):
    """Both are settings."""

    conversations: int
    days: int


def surplus(heads: Heads, limits: Limits, *, now_unix_ms: int, answering: Collection[str]) -> Iterator[str]:
    """Ids of those that go. Of too many, the oldest of whoever has most: a script that asks all day costs its own
    conversations, not those of people. One that is being answered stays."""
    before = now_unix_ms - limits.days * DAY_MS
    old = {identity for identity, head in heads.items() if head.last_unix_ms < before and identity not in answering}
    yield from sorted(old)
    left = {identity: head for identity, head in heads.items() if identity not in old}
    for weigh, most in ((_one, limits.conversations), (_bytes, STORE_BYTES_MAX)):
        for identity in list(_beyond(left, weigh, most, answering)):
            del left[identity]
            yield identity


def _one(_head: ConversationRecord) -> int:
    return 1


def _bytes(head: ConversationRecord) -> int:
    return head.bytes


def _beyond(
    heads: Heads, weigh: Callable[[ConversationRecord], int], most: int, answering: Collection[str]
) -> Iterator[str]:
    of_owner: dict[str, list[str]] = defaultdict(list)
    for identity, head in sorted(heads.items(), key=lambda each: each[1].last_unix_ms, reverse=True):
        if identity not in answering:
            of_owner[head.owner].append(identity)  # the oldest last
    weights = {owner: sum(weigh(heads[each]) for each in mine) for owner, mine in of_owner.items()}
    over = sum(weigh(head) for head in heads.values()) - most
    while over > 0 and any(of_owner.values()):
        owner = max((each for each, mine in of_owner.items() if mine), key=lambda each: (weights[each], each))
        identity = of_owner[owner].pop()
        weights[owner] -= weigh(heads[identity])
        over -= weigh(heads[identity])
        yield identity
