"""What the benchmark of the API reads: 1,000 instances as records alone, for so many processes would be the machine."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from runtime.consensus.client import StoreClient
from runtime.consensus.store import Put
from runtime.names import BlueprintId, NodeId, Sha256, SliceName, Version
from runtime.state import keys
from runtime.state.values import BlueprintSlice, Endpoint, InstanceState, Phase, Placement, SliceTarget, Value, encode

INSTANCES: Final = 1_000
LISTED: Final = SliceName("bench-listed")
SCALED: Final = SliceName("bench-scaled")
NOWHERE: Final = Placement(zones=("nowhere",))
"""No node is there, so that nothing is started."""
_NODE: Final = NodeId("elsewhere")
_VERSION: Final = Version("1.0.0")
_AT_ONCE: Final = 400


def records() -> Iterable[tuple[str, Value]]:
    yield keys.target(LISTED, _VERSION), _target(LISTED, INSTANCES)
    yield keys.target(SCALED, _VERSION), _target(SCALED, 1)
    for number in range(1, INSTANCES + 1):
        state = InstanceState(
            slice=LISTED,
            node=_NODE,
            number=number,
            version=_VERSION,
            phase=Phase.ACTIVE,
            since_unix_ms=1_700_000_000_000,
            generation=number,
            worker="w1",
        )
        yield keys.instance_state(_NODE, LISTED, number), state
        endpoint = Endpoint(slice=LISTED, version=_VERSION, node=_NODE, number=number)
        yield keys.endpoint(LISTED, _NODE, number), endpoint


async def fill(store: StoreClient) -> None:
    """Raises StoreFault."""
    left = iter(records())
    while some := list(islice(left, _AT_ONCE)):
        await store.txn((), [Put(key=key, value=encode(value)) for key, value in some])


def _target(name: SliceName, wanted: int) -> SliceTarget:
    settings = BlueprintSlice(
        slice=name,
        version=_VERSION,
        artifact=f"{name}==1.0.0",
        instances=wanted,
        min=1,
        max=INSTANCES,
        placement=NOWHERE,
    )
    return SliceTarget(
        blueprint=BlueprintId("bench"), settings=settings, artifact_sha256=Sha256("0" * 64), wanted=wanted
    )
