"""What the store holds of the console's sessions: what signs them, and which have ended before their time.

The named store of these records: nothing else writes them, and nobody watches them.
"""

from __future__ import annotations

import secrets
from typing import Final

import anyio
import msgspec

from runtime.clock import Clock
from runtime.consensus.errors import LeaseNotFound
from runtime.consensus.store import NO_LEASE, Compare, LeaseId, Put, Revision, Store, absent, led_by, unchanged
from runtime.security.keyring import Held
from runtime.state import keys
from runtime.state.values import Value, encode

SESSION_S: Final = 8 * 60 * 60
ROTATED_MS: Final = 24 * 60 * 60 * 1_000  # three times a session: what the key before signed has ended long since
KNOWN_MS: Final = 10_000  # until it signs: every node has seen it by then
LEASE_ROUND_MS: Final = 10 * 60 * 1_000  # one lease of a node for all ends of ten minutes
LOOK_S: Final = 60.0
_SECRET_BYTES: Final = 32


class SigningKey(Value, frozen=True, kw_only=True):
    secret: bytes
    made_unix_ms: int


class SigningKeys(Value, frozen=True, kw_only=True):
    """At most two, the newest first: what the older one signed is still good."""

    generations: tuple[SigningKey, ...]


class SessionRecords:
    """state: this node's cache, which must hold `session-signing` and `session-ended/`."""

    def __init__(self, *, store: Store, state: Held, clock: Clock) -> None:
        self._store = store
        self._state = state
        self._clock = clock
        self._lease = NO_LEASE
        self._granted_s = 0.0

    async def generations(self) -> tuple[SigningKey, ...]:
        """Those whose signatures are good; none before the first session. Raises StoreFault."""
        item = self._state.get(keys.SESSION_SIGNING) or (await self._store.get(keys.SESSION_SIGNING)).item
        return _read(item.value) if item is not None else ()

    async def signing(self) -> SigningKey:
        """What new sessions are signed with; the first node to need one makes it. Raises StoreFault."""
        found = await self.generations() or await self._first()
        known_before = self._clock.unix_ms() - KNOWN_MS
        return next((each for each in found if each.made_unix_ms <= known_before), found[-1])

    async def _first(self) -> tuple[SigningKey, ...]:
        item = (await self._store.get(keys.SESSION_SIGNING)).item
        same = unchanged(keys.SESSION_SIGNING, item.mod_revision if item is not None else Revision(0))
        await self._store.txn([same], [self._put(())])
        item = (await self._store.get(keys.SESSION_SIGNING)).item
        assert item is not None, "it was written, by this node or by another"
        return _read(item.value)

    async def rotate(self, fence: Revision) -> bool:
        """Makes a new one where the newest is old; it and the one before are good then. Raises StoreFault."""
        item = self._state.get(keys.SESSION_SIGNING)
        known = _read(item.value) if item is not None else ()
        if item is None or not known or self._clock.unix_ms() - known[0].made_unix_ms < ROTATED_MS:
            return False
        compare: list[Compare] = [led_by(fence), unchanged(item.key, item.mod_revision)]
        return (await self._store.txn(compare, [self._put(known)])).succeeded

    async def end(self, principal: str, session: str) -> Revision:
        """No node takes the session any more. Raises StoreFault."""
        key = keys.session_ended(principal, session)
        for last in (False, True):
            try:
                done = await self._store.txn([absent(key)], [Put(key=key, value=b"", lease=await self._lease_now())])
            except LeaseNotFound:
                self._lease = NO_LEASE  # another store, or a restored one, does not know it
                if last:
                    raise
            else:
                return done.revision
        raise AssertionError("the second try returns or raises")

    def has_ended(self, principal: str, session: str) -> bool:
        return self._state.get(keys.session_ended(principal, session)) is not None

    def _put(self, before: tuple[SigningKey, ...]) -> Put:
        fresh = SigningKey(secret=secrets.token_bytes(_SECRET_BYTES), made_unix_ms=self._clock.unix_ms())
        return Put(key=keys.SESSION_SIGNING, value=encode(SigningKeys(generations=(fresh, *before[:1]))))

    async def _lease_now(self) -> LeaseId:
        """It outlasts every session that ends under it."""
        now_s = self._clock.monotonic_s()
        if self._lease == NO_LEASE or (now_s - self._granted_s) * 1_000 > LEASE_ROUND_MS:
            self._lease = await self._store.grant(SESSION_S * 1_000 + 2 * LEASE_ROUND_MS)
            self._granted_s = now_s
        return self._lease


class SigningRotation:
    """`run` is a leader service."""

    def __init__(self, records: SessionRecords) -> None:
        self._records = records

    async def run(self, fence: Revision) -> None:
        while True:
            await self._records.rotate(fence)
            await anyio.sleep(LOOK_S)


def _read(raw: bytes) -> tuple[SigningKey, ...]:
    """None of what this version cannot read: sessions begin anew then."""
    try:
        return msgspec.json.decode(raw, type=SigningKeys).generations
    except msgspec.DecodeError:
        return ()
