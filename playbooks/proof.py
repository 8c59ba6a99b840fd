"""What the rehearsal of one definition came to: kept by the cluster, or shipped with the package."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from runtime.deployment.records import Snapshot
from runtime.state import keys
from runtime.state.values import Value

SHIPPED: Final = Path(__file__).parent / "library" / "proofs.json"


class PlaybookProof(Value, frozen=True, kw_only=True):
    sha256: str
    playbook: str
    version: str
    passed: bool
    at_unix_ms: int
    took_ms: int
    failed_before: bool
    """The last verification did not hold once the fault was there."""
    seen_failing: bool = False
    """And it would not have held either if its steps had been done: what it says of the state was seen to fail."""
    held_after: bool
    run_ms: int = 0
    """Of `took_ms`, what the run itself took."""
    detail: str = ""


@cache
def shipped() -> dict[str, PlaybookProof]:
    """By hash: of the package's playbooks as they are, and as they were."""
    rows = msgspec.json.decode(SHIPPED.read_bytes(), type=list[PlaybookProof])
    return {each.sha256: each for each in rows}


def ship(proof: PlaybookProof) -> None:
    """In a checkout: in the place of earlier ones of the same playbook."""
    others = [each for each in shipped().values() if each.playbook != proof.playbook]
    rows = sorted((*others, proof), key=lambda each: each.playbook)
    SHIPPED.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
    shipped.cache_clear()


def proof_of(state: Snapshot, sha256: str) -> PlaybookProof | None:
    """The cluster's own, newer word goes before the package's."""
    item = state.get(keys.playbook_proof(sha256))
    if item is None:
        return shipped().get(sha256)
    try:
        return msgspec.json.decode(item.value, type=PlaybookProof)
    except msgspec.DecodeError:
        return None


def is_proven(state: Snapshot, sha256: str) -> bool:
    proof = proof_of(state, sha256)
    return proof is not None and proof.passed
