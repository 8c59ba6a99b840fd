"""Who a key belongs to, read from the cached records of the store. Keys are found by their hash, compared in constant
time, and end with their expiry or with their principal."""

from __future__ import annotations

import hmac
from typing import Final, Protocol

import msgspec

from runtime.consensus.store import KeyValue
from runtime.operations.actor import Actor
from runtime.security.principals import (
    ADMIN,
    PrincipalRecord,
    actor_behind,
    bootstrap_admin,
    cut_to,
    decode_key,
    decode_principal,
    hash_of,
)
from runtime.state import keys
from runtime.state.values import ClusterRecord

_cluster: Final = msgspec.json.Decoder(ClusterRecord).decode


class Held(Protocol):
    """What is read from: a StoreCache, or what a test holds in memory."""

    def get(self, key: str) -> KeyValue | None: ...

    def items(self, prefix: str) -> list[KeyValue]: ...


class Keyring:
    """Every method gives None for who may not come in, and never says why: that would help a guesser."""

    def __init__(self, state: Held) -> None:
        self._state = state

    @property
    def is_known(self) -> bool:
        """Whether this node has the cluster's records yet."""
        return self._state.get(keys.CLUSTER) is not None

    def by_key_hash(self, sha256: str, now_unix_ms: int) -> Actor | None:
        """sha256: of the key, as `principals.hash_of` makes it."""
        item = self._state.get(keys.api_key(sha256))
        if item is not None:
            record = decode_key(item.value)
            if not hmac.compare_digest(record.sha256, sha256):
                return None
            if record.expires_unix_ms and record.expires_unix_ms <= now_unix_ms:
                return None
            actor = self.principal(record.principal)
            return cut_to(actor, record) if actor is not None else None
        cluster = self._state.get(keys.CLUSTER)
        expected = _cluster(cluster.value).admin_key_sha256 if cluster is not None else ""
        if expected and hmac.compare_digest(expected, sha256):
            return self.principal(ADMIN)
        return None

    def has_expired(self, sha256: str, now_unix_ms: int) -> bool:
        """Whether that was a key, and would be one still but for its time. Who asks holds it: that tells no guesser
        anything."""
        item = self._state.get(keys.api_key(sha256))
        if item is None:
            return False
        record = decode_key(item.value)
        return hmac.compare_digest(record.sha256, sha256) and 0 < record.expires_unix_ms <= now_unix_ms

    def by_oidc_subject(self, subject: str) -> Actor | None:
        """Of the one principal that an identity provider's subject stands for."""
        found = [record for record in self._principals() if record.oidc_subject and record.oidc_subject == subject]
        return self._actor(found[0]) if len(found) == 1 else None

    def by_subject_hash(self, identity: str, sha256: str) -> Actor | None:
        """A principal while it still stands for that subject. sha256: of the subject."""
        item = self._state.get(keys.principal(identity))
        record = decode_principal(item.value) if item is not None else None
        if record is None or not record.oidc_subject:
            return None
        return self._actor(record) if hmac.compare_digest(hash_of(record.oidc_subject), sha256) else None

    def principal(self, identity: str) -> Actor | None:
        item = self._state.get(keys.principal(identity))
        if item is not None:
            return self._actor(decode_principal(item.value))
        return bootstrap_admin() if identity == ADMIN else None

    def _actor(self, record: PrincipalRecord) -> Actor | None:
        def find(identity: str) -> PrincipalRecord | None:
            item = self._state.get(keys.principal(identity))
            return decode_principal(item.value) if item is not None else None

        return actor_behind(record, find)

    def _principals(self) -> list[PrincipalRecord]:
        return [decode_principal(item.value) for item in self._state.items(keys.PRINCIPALS)]
