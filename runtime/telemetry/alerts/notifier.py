"""The leader tells receivers: what is due goes out, and is noted once it was taken, so that another leader goes on.

Sent, and noted after it: a leader that dies in between has the next one send it again, under the same key.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import anyio.to_thread
import msgspec

from runtime.clock import Clock
from runtime.cluster.membership import Lines
from runtime.consensus.store import Compare, Delete, Operation, Put, Revision, Store, absent, led_by, unchanged
from runtime.deployment.records import Snapshot
from runtime.errors import RuntimeFault
from runtime.state import keys
from runtime.state.values import encode
from runtime.telemetry.alerts import kept
from runtime.telemetry.alerts.grouping import Notification, due, forgotten, groups_of, trial
from runtime.telemetry.alerts.muting import muted
from runtime.telemetry.alerts.records import Receiver, ReceiverTrouble, Told

LOOK_S: Final = 1.0
AT_ONCE_MAX: Final = 4  # threads that send; each waits for others' servers
BACK_OFF_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
TROUBLE_ATTEMPTS: Final = 2
"""Failures in a row before it is told as trouble: one may be a restart."""

Send = Callable[[Notification, Receiver], None]


class Notifier:
    """`run` is a leader service. send: blocks, and raises a RuntimeFault where the receiver did not take it."""

    def __init__(
        self,
        *,
        store: Store,
        state: Snapshot,
        arrived: Callable[[Revision], Awaitable[None]],
        send: Send,
        clock: Clock,
        log: Lines,
    ) -> None:
        """arrived: returns once the state is at least as new as that revision."""
        self._store = store
        self._state = state
        self._arrived = arrived
        self._freed = anyio.Event()
        self._send = send
        self._clock = clock
        self._log = log
        self._busy: set[str] = set()
        self._failures: dict[str, int] = {}
        self._not_before_ms: dict[str, int] = {}
        self._threads = anyio.CapacityLimiter(AT_ONCE_MAX)
        self.counts: dict[tuple[str, str], int] = {}
        """Sent and failed ones, by receiver and outcome."""

    def send_counts(self) -> dict[tuple[str, str], int]:
        """Since this process began, by receiver and outcome."""
        return dict(self.counts)

    def alert_counts(self) -> dict[tuple[str, str, str], int]:
        """Alerts that last, by name, severity and origin."""
        lasting = [each.alert for each in kept.alerts(self._state) if each.alert.lasts]
        return Counter((each.labels.get("alertname", ""), each.severity, each.origin) for each in lasting)

    async def run(self, fence: Revision) -> None:
        self._busy.clear()
        self._not_before_ms.clear()
        async with anyio.create_task_group() as tasks:
            while True:
                for notification, receiver in self.waiting():
                    self._busy.add(notification.receiver)
                    tasks.start_soon(self._guarded, notification.receiver, self.tell, notification, receiver, fence)
                for name in self.wanted_tests():
                    self._busy.add(name)
                    tasks.start_soon(self._guarded, name, self.try_out, name, fence)
                await self.forget(fence)
                self._freed = anyio.Event()
                with anyio.move_on_after(LOOK_S):
                    await self._freed.wait()

    def waiting(self) -> list[tuple[Notification, Receiver]]:
        """What is due, one for each receiver that is neither busy nor resting after a failure: who is slow, or takes
        nothing, keeps no other from being told."""
        now = self._clock.unix_ms()
        alerts = [each.alert for each in kept.alerts(self._state)]
        receivers = kept.receivers(self._state)
        if not receivers:
            return []
        reasons = muted(alerts, kept.silences(self._state), now)
        groups = groups_of(alerts, kept.routes(self._state), sorted(receivers))
        found: dict[str, Notification] = {}
        for each in due(groups, receivers, kept.told(self._state), lambda one: one.fingerprint in reasons, now):
            rests = self._not_before_ms.get(each.receiver, 0) > now
            if each.receiver not in self._busy and not rests:
                found.setdefault(each.receiver, each)
        return [(notification, receivers[name]) for name, notification in found.items()]

    def wanted_tests(self) -> list[str]:
        """Receivers that somebody wants tried; whatever failed before, they are tried at once."""
        known = kept.receivers(self._state)
        return [
            name
            for name, test in kept.tests(self._state).items()
            if test.state == "wanted" and name in known and name not in self._busy
        ]

    async def _guarded(self, name: str, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        try:
            await work(*arguments)
        except Exception as error:  # whatever one notification does, the leader's other services go on
            self._rest(name)
            reason = str(error) if isinstance(error, RuntimeFault) else type(error).__name__
            self._log.warning("notification_not_noted", receiver=name, reason=reason)
        finally:
            self._busy.discard(name)
            self._freed.set()

    async def try_out(self, name: str, fence: Revision) -> None:
        """Sends one that is none, and notes what came of it. Raises StoreFault."""
        key = keys.alert_test(name)
        item, test = self._state.get(key), kept.tests(self._state).get(name)
        receiver = kept.receivers(self._state).get(name)
        if item is None or test is None or receiver is None:
            return
        try:
            await self._sent(trial(name, test.by, test.at_unix_ms), receiver)
            done = msgspec.structs.replace(test, state="taken")
        except RuntimeFault as fault:
            done = msgspec.structs.replace(test, state="failed", error=str(fault))
        compares = [led_by(fence), unchanged(key, item.mod_revision)]
        result = await self._store.txn(compares, [Put(key=key, value=encode(done))])
        await self._arrived(result.revision)

    async def _sent(self, notification: Notification, receiver: Receiver) -> None:
        """In a thread. Raises what sending raises."""
        await anyio.to_thread.run_sync(
            self._send, notification, receiver, abandon_on_cancel=True, limiter=self._threads
        )

    async def tell(self, notification: Notification, receiver: Receiver, fence: Revision) -> None:
        """Raises StoreFault: then it was sent and is sent again."""
        name = notification.receiver
        try:
            await self._sent(notification, receiver)
        except RuntimeFault as fault:
            self._count(name, "failed")
            await self._failed(name, str(fault), fence)
            return
        self._count(name, "sent")
        if not await self._note(notification.told, fence):
            self._rest(name)  # another leads, or somebody wrote in between: not at once again
            return
        self._failures.pop(name, None)
        self._not_before_ms.pop(name, None)
        self._log.info("notification_sent", receiver=name, group=notification.group.key, key=notification.key)

    def _count(self, name: str, outcome: str) -> None:
        self.counts[name, outcome] = self.counts.get((name, outcome), 0) + 1

    def _rest(self, name: str) -> int:
        """How often in a row it failed, now that it did once more."""
        count = self._failures[name] = self._failures.get(name, 0) + 1
        rest_s = BACK_OFF_S[min(count, len(BACK_OFF_S)) - 1]
        self._not_before_ms[name] = self._clock.unix_ms() + int(rest_s * 1_000)
        return count

    async def _note(self, told: Told, fence: Revision) -> bool:
        key = keys.alert_told(told_id(told.group_key, told.receiver))
        changes: list[Operation] = [Put(key=key, value=encode(told))]
        trouble = self._state.get(keys.alert_trouble(told.receiver))
        if trouble is not None:
            changes.append(Delete(key=trouble.key))
        result = await self._store.txn([led_by(fence), self._as_read(key)], changes)
        await self._arrived(result.revision)
        return result.succeeded

    async def _failed(self, name: str, why: str, fence: Revision) -> None:
        count = self._rest(name)
        self._log.warning("notification_failed", receiver=name, attempts=count, reason=why)
        key = keys.alert_trouble(name)
        known = kept.troubles(self._state).get(name)
        if count < TROUBLE_ATTEMPTS or (known is not None and known.error == why):
            return
        since = known.since_unix_ms if known is not None else self._clock.unix_ms()
        trouble = ReceiverTrouble(since_unix_ms=since, attempts=count, error=why)
        await self._store.txn([led_by(fence), self._as_read(key)], [Put(key=key, value=encode(trouble))])

    def _as_read(self, key: str) -> Compare:
        item = self._state.get(key)
        return unchanged(key, item.mod_revision) if item is not None else absent(key)

    async def forget(self, fence: Revision) -> None:
        """What nobody needs to remember. Raises StoreFault."""
        receivers = kept.receivers(self._state)
        alerts = {each.alert.fingerprint: each.alert for each in kept.alerts(self._state)}
        gone = [keys.alert_told(told_id(*place)) for place in forgotten(kept.told(self._state), alerts, receivers)]
        gone += [keys.alert_test(name) for name in kept.tests(self._state) if name not in receivers]
        gone += [keys.alert_trouble(name) for name in kept.troubles(self._state) if name not in receivers]
        for key in gone:
            await self._store.txn([led_by(fence), self._as_read(key)], [Delete(key=key)])


def told_id(group_key: str, receiver: str) -> str:
    return hashlib.sha256(f"{receiver}\n{group_key}".encode()).hexdigest()[:32]
