"""One request until it is answered: other addresses, pauses with jitter, and never twice what must be done once.

Written as generators that yield what to do next; the sync and the async client carry these steps out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from agent_api.client.errors import ApiUnreachable
from agent_api.client.message import HttpReply, HttpRequest, Unreached

PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8, 1.6)  # about three seconds: an election takes one or two
UNREACHED_ROUNDS_MAX: Final = 2  # where nobody listens at all, waiting longer rarely helps
AWAKE_S: Final = 1.0  # a node that answers at all says so in milliseconds, under load in tenths of a second
HEARD_S: Final = 5.0  # for so long one that answered needs not be asked whether it does
AWAKE: Final = HttpRequest(method="GET", path="/health/live", timeout_s=AWAKE_S, repeatable=True)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Answered with an HttpReply or Unreached."""

    address: str
    request: HttpRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    seconds: float


Step = Send | Pause
Talk = Generator[Step, HttpReply | Unreached | None, T]


def chance() -> float:
    """From 0 to 1, evenly."""
    return int.from_bytes(os.urandom(2), "big") / 0x10000


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How long to pause between rounds: each is shortened by up to half, so that clients do not come together."""

    pauses_s: tuple[float, ...] = PAUSES_S
    unreached_rounds: int = UNREACHED_ROUNDS_MAX
    chance: Callable[[], float] = chance

    def pause_s(self, rounds: int, came: HttpReply | Unreached) -> float | None:
        """Before the next round, when so many have failed; None to give up."""
        if rounds > len(self.pauses_s) or (isinstance(came, Unreached) and rounds >= self.unreached_rounds):
            return None
        pause_s = self.pauses_s[rounds - 1] * (1 - self.chance() / 2)
        return max(pause_s, came.retry_after_s) if isinstance(came, HttpReply) else pause_s


class AddressBook:
    """Where the API is to be had. `current` is the one that answered last."""

    def __init__(self, addresses: Iterable[str], now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._heard: tuple[str, float] = ("", 0.0)
        self._all = list(dict.fromkeys(map(plain, addresses)))
        if not self._all:
            raise ApiUnreachable("?", "no address is known")

    @property
    def current(self) -> str:
        return self._all[0]

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Generator[str]:
        yield from tuple(self._all)

    @property
    def is_heard(self) -> bool:
        """Whether the current one answered just now."""
        address, at_s = self._heard
        return address == self.current and self._now_s() - at_s < HEARD_S

    def hear(self) -> None:
        """The current one has answered."""
        self._heard = (self.current, self._now_s())

    def rotate(self) -> None:
        """The next one is asked from now on."""
        self._all.append(self._all.pop(0))

    def learn(self, addresses: Iterable[str]) -> None:
        """More of them, asked when those known before do not answer."""
        self._all += [each for each in dict.fromkeys(map(plain, addresses)) if each not in self._all]


def plain(address: str) -> str:
    """Raises ApiUnreachable for what is not spoken here."""
    if address.startswith("https://"):
        raise ApiUnreachable(address, "a node's API speaks plain HTTP; write HOST:PORT")
    return address.removeprefix("http://").rstrip("/")


def awake(book: AddressBook) -> Talk[None]:
    """Turns to an address that answers. A node that hangs takes a connection and a request and says nothing for as long
    as that may take, and what was sent to it may yet be done; so it is asked first for what does nothing. Where none
    answers in time all may be slow, and the request decides."""
    if len(book) < 2:
        return
    for _ in book:
        if book.is_heard:
            return
        came = yield Send(address=book.current, request=AWAKE)
        if isinstance(came, HttpReply):
            book.hear()
        else:
            book.rotate()


def exchange(book: AddressBook, request: HttpRequest, retry: Retry) -> Talk[HttpReply]:
    """The answer, whatever its status. Raises ApiUnreachable.

    A request that never left is sent to the next address. One that may have been carried out, or was answered with a
    problem that passes, is repeated only when it is `repeatable`.
    """
    yield from awake(book)
    rounds, asked, sent = 0, 0, False
    while True:
        address = book.current
        came = yield Send(address=address, request=request)
        assert came is not None
        if isinstance(came, HttpReply):
            book.hear()
        if isinstance(came, HttpReply) and not _passes(came):
            return replace(came, repeated=sent)
        sent = sent or isinstance(came, HttpReply) or came.sent
        may_repeat = request.repeatable or (isinstance(came, Unreached) and not came.sent)
        if may_repeat:
            book.rotate()
            asked += 1
            if isinstance(came, Unreached) and asked < len(book):
                continue
            rounds, asked = rounds + 1, 0
            pause_s = retry.pause_s(rounds, came)
            if pause_s is not None:
                yield Pause(seconds=pause_s)
                continue
        if isinstance(came, HttpReply):
            return came
        raise ApiUnreachable(address, came.cause, sent=came.sent)


def _passes(reply: HttpReply) -> bool:
    fault = reply.fault()
    return fault is not None and fault.retryable
