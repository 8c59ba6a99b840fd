"""A model of one's own: checked before it is kept, chosen like any other, and what is wrong with it costs nothing."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agent_api.assemble.forecasting import check_in_process, forecast_in_process
from agent_api.assemble.trainer import carried_out as trained
from controllers.ttm.card import SHIPPED as SHIPPED_FILES
from controllers.ttm.card import read_files
from controllers.ttm.engine import carry_out, check
from controllers.ttm.errors import ForecasterFailed, ModelRefused, ModelSchemaWrong, ModelUnreadable
from controllers.ttm.forecast_job import (
    SHIPPED_MODEL,
    CheckJob,
    ForecastAnswer,
    ForecastJob,
    ModelBytes,
    Take,
    Trouble,
    packed,
)
from controllers.ttm.graph_tensors import own_head
from controllers.ttm.head_file import pack_head
from controllers.ttm.keeping import ModelShelf
from controllers.ttm.load_forecast import load_forecast
from controllers.ttm.model_file import FILE_BYTES_MAX, pack_model
from controllers.ttm.operations import UploadRequest, plan_upload
from controllers.ttm.records import MODELS_MAX, UPLOADED, ForecastActive, outdated
from controllers.ttm.registry import ModelRegistry
from controllers.ttm.schema import ALIGNED, HISTORY
from controllers.ttm.standing import Standing
from controllers.ttm.training_job import TrainingJob
from runtime.clock import SystemClock
from runtime.consensus.store import Put
from runtime.content.disk import DiskContent
from runtime.content.replicated import ReplicatedContent
from runtime.names import NodeId
from runtime.operations.plan import Plan
from runtime.operations.state import PlanState
from runtime.state import keys
from tests.unit.forecast_records import forecast_model
from tests.unit.gate_parts import GateOnHand
from tests.unit.ttm_parts import NoPeers

pytestmark = pytest.mark.anyio

CARD, GRAPH = read_files(SHIPPED_FILES)
WAVE = [600.0 + 50.0 * (at % 7) for at in range(ALIGNED)]
JOB = ForecastJob(minute=28_000_000, slices=("orders",), loads=packed([WAVE[:HISTORY], WAVE, WAVE]))


def other_graph(graph: bytes = GRAPH) -> bytes:
    """A sound graph with other bytes: another producer's name in the file."""
    return graph.replace(b"pytorch", b"pyTorch", 1)


def with_bias(value: float) -> bytes:
    """The shipped graph, its head's bias another."""
    bias = own_head(GRAPH).bias
    changed = np.full_like(bias, value) if np.isnan(value) else bias + np.float32(value)
    assert GRAPH.count(bias.tobytes()) == 1
    return GRAPH.replace(bias.tobytes(), changed.astype("<f4").tobytes())


def hollow() -> bytes:
    return with_bias(float("nan"))


def higher() -> bytes:
    return with_bias(3.0)


def card_for(graph: bytes, **members: object) -> bytes:
    said = msgspec.json.decode(CARD)
    return msgspec.json.encode({**said, "sha256": hashlib.sha256(graph).hexdigest(), **members})


def file_of(graph: bytes, **members: object) -> bytes:
    return pack_model(graph, card_for(graph, **members))


async def pieces(raw: bytes) -> AsyncIterator[bytes]:
    yield raw


async def checked(file: bytes) -> Trouble | None:
    """What the forecaster's process does."""
    return check(CheckJob(file=file)).trouble


@dataclass
class Shelf:
    root: Path
    hand: GateOnHand = field(default_factory=GateOnHand)

    def __post_init__(self) -> None:
        disk = DiskContent(self.root / "content")
        disk.open()
        self.content = ReplicatedContent(node=NodeId("n1"), disk=disk, store=self.hand.store, peers=NoPeers())
        self.registry = ModelRegistry(store=self.hand.store, state=self.hand.state, content=self.content)
        self.models = ModelShelf(content=self.content, check=checked, clock=SystemClock())

    async def upload(self, raw: bytes) -> Plan:
        record = await self.models.take(pieces(raw))
        plan = plan_upload(PlanState(self.hand.state), UploadRequest(record=record))
        assert isinstance(plan, Plan)
        for change in plan.changes:
            assert change.after is not None
            await self.hand.store.txn((), [Put(key=change.key, value=change.after)])
        return plan


async def test_a_sound_model_is_kept_with_its_bytes_and_the_same_again_changes_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    plan = await shelf.upload(file_of(other_graph()))
    assert plan.result["number"] == 1
    (model,) = shelf.registry.models()
    assert (model.graph, model.ruling, model.base) == (1, UPLOADED, hashlib.sha256(other_graph()).hexdigest())
    assert [pin.key.split("/")[1] for pin in shelf.hand.state.items(keys.CONTENT_PINS)] == [model.sha256]
    assert not shelf.registry.active().probation, "it is kept, and not in force"
    again = await shelf.upload(file_of(other_graph()))
    assert (again.changes, again.result["number"]) == ((), 1)
    assert (await shelf.registry.bytes_of(1)).file == file_of(other_graph())


@pytest.mark.parametrize(
    ("raw", "fault", "why"),
    [
        (b"", ModelUnreadable, "it is no model"),
        (b"no model", ModelUnreadable, "it is no model"),
        (bytes(FILE_BYTES_MAX + 1), ModelUnreadable, "larger than"),
        (pack_model(GRAPH, b"{"), ModelUnreadable, "the card cannot be read"),
        (pack_model(other_graph(), CARD), ModelUnreadable, "its SHA-256 differs"),
        (pack_model(bytes(300_001), CARD), ModelUnreadable, "model.onnx is larger"),
        (file_of(GRAPH, horizons_minutes=20), ModelSchemaWrong, "wanted are"),
        (file_of(b"no graph"), ModelRefused, "onnxruntime does not take"),
        (file_of(GRAPH.replace(b"week_ago", b"year_ago")), ModelRefused, "the model's inputs are"),
    ],
)
async def test_what_is_no_model_for_this_version_is_refused_and_not_kept(
    tmp_path: Path, raw: bytes, fault: type[Exception], why: str
) -> None:
    shelf = Shelf(tmp_path)
    with pytest.raises(fault, match=why):
        await shelf.models.take(pieces(raw))
    assert not shelf.registry.models()


async def test_a_model_that_gives_what_is_no_load_is_refused_with_the_question(tmp_path: Path) -> None:
    """In the process that control starts for it."""
    shelf = Shelf(tmp_path)
    shelf.models = ModelShelf(content=shelf.content, check=check_in_process, clock=SystemClock())
    with pytest.raises(ModelRefused, match="constant: the model gave what is no number"):
        await shelf.models.take(pieces(file_of(hollow())))


def member(number: int, *parts: bytes) -> bytes:
    """A field of a protobuf message that has a length."""
    raw = b"".join(parts)
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def greedy(copies: int) -> bytes:
    """The shipped graph, with one more output that repeats what it is given so many times. A message that comes twice
    in a file is one message with the members of both."""
    node = member(1, member(1, b"recent"), member(1, b"copies"), member(2, b"greedy"), member(4, b"Tile"))
    numbers = b"".join(each.to_bytes(8, "little") for each in (copies, 1))
    shape = varint(1 << 3) + varint(2) + varint(2 << 3) + varint(7)  # two of int64
    copied = member(5, shape, member(8, b"copies"), member(9, numbers))
    output = member(12, member(1, b"greedy"), member(2, member(1, varint(1 << 3) + varint(1))))
    return GRAPH + member(7, node, copied, output)


@pytest.mark.parametrize("copies", [10_000_000, 50_000], ids=["2.4 GB for one series", "1.2 GB for a hundred"])
async def test_a_model_that_needs_a_machines_memory_is_refused_by_a_bound(tmp_path: Path, copies: int) -> None:
    """Else whoever may upload one ends processes of others on the leader's machine."""
    shelf = Shelf(tmp_path)
    shelf.models = ModelShelf(content=shelf.content, check=check_in_process, clock=SystemClock())
    with pytest.raises(ModelRefused, match=r"more memory than it may have.*ttm_model_memory_exceeded"):
        await shelf.models.take(pieces(file_of(greedy(copies))))
    assert not shelf.registry.models()


async def test_a_model_that_needs_too_much_once_it_forecasts_costs_forecasts_and_no_machine() -> None:
    """Of more slices than it was asked about when it was taken in."""
    own = ModelBytes(file=file_of(greedy(10_000_000)))
    answer = await forecast_in_process(msgspec.structs.replace(JOB, now=own))
    assert answer.trouble is not None
    assert answer.trouble.code == "ttm_model_memory_exceeded"
    assert (await forecast_in_process(JOB)).trouble is None, "the shipped one fits"


async def test_a_process_that_dies_over_a_model_keeps_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)

    async def dies(file: bytes) -> Trouble | None:
        return await check_in_process(file, (sys.executable, "-c", "raise SystemExit(3)"))

    shelf.models = ModelShelf(content=shelf.content, check=dies, clock=SystemClock())
    with pytest.raises(ForecasterFailed, match="status 3"):
        await shelf.models.take(pieces(file_of(GRAPH)))


def minute(number: int, **members: object) -> ForecastAnswer:
    return carry_out(msgspec.structs.replace(JOB, minute=JOB.minute + number, **members))


def median(answer: ForecastAnswer) -> float:
    return load_forecast("orders", answer.quantiles["orders"]).at(1, 0.5)


def test_an_uploaded_model_forecasts_from_one_minute_on_and_one_that_gives_no_numbers_never_does() -> None:
    first = minute(0)
    own = ModelBytes(file=file_of(higher()))
    taken = minute(1, state=first.state, take=Take(now=own, before=SHIPPED_MODEL))
    assert (taken.refused, taken.standing) == (None, Standing.ON_PROBATION)
    assert median(taken) > 1.4 * median(first)
    refused = minute(
        2, state=taken.state, now=own, before=SHIPPED_MODEL, take=Take(now=ModelBytes(file=file_of(hollow())))
    )
    assert refused.refused is not None
    assert refused.refused.code == "ttm_forecast_unusable"
    assert median(refused) == pytest.approx(median(taken), rel=0.1), "the one in force went on in the same minute"


def test_a_model_in_place_that_breaks_leaves_the_one_before_or_says_why_there_is_none() -> None:
    first = minute(0)
    beside = minute(1, state=first.state, take=Take(now=ModelBytes(file=file_of(higher())), before=SHIPPED_MODEL))
    broken = ModelBytes(file=file_of(hollow()))
    back = minute(2, state=beside.state, now=broken, before=SHIPPED_MODEL)
    assert (back.trouble, back.standing) == (None, Standing.BACK)
    assert median(back) == pytest.approx(median(first), rel=0.1)
    alone = minute(3, state=first.state, now=broken)
    assert alone.trouble is not None
    assert alone.trouble.code == "ttm_forecast_unusable"
    assert alone.state, "what was learnt stays"


def test_a_head_that_was_trained_on_an_uploaded_graph_needs_it(tmp_path: Path) -> None:
    graph = other_graph()
    head = pack_head(own_head(graph), hashlib.sha256(graph).hexdigest())
    answer = minute(0, now=ModelBytes(file=file_of(graph), head=head))
    assert median(answer) == pytest.approx(median(minute(0)))
    elsewhere = minute(0, now=ModelBytes(head=head))
    assert elsewhere.trouble is not None
    assert elsewhere.trouble.code == "ttm_model_schema_wrong"


@pytest.mark.parametrize(
    ("file", "code"),
    [(b"damaged", "ttm_model_unreadable"), (file_of(GRAPH), "ttm_training_data_too_short")],
)
def test_a_training_opens_the_graph_that_forecasts_and_refuses_a_day_of_minutes(file: bytes, code: str) -> None:
    load = np.full(1_440, 600.0, dtype="<f4")
    done = trained(TrainingJob(slices=("orders",), minutes=len(load), loads=load.tobytes(), file=file))
    assert (done.refused, done.head) == (code, b"")


def test_the_oldest_models_go_and_never_the_graph_that_the_one_in_force_stands_on() -> None:
    own = msgspec.structs.replace(forecast_model(1), graph=1)
    models = [own, *(forecast_model(number) for number in range(2, MODELS_MAX + 2))]
    head = msgspec.structs.replace(forecast_model(MODELS_MAX + 2), graph=1)
    gone = outdated([*models, head], ForecastActive(number=head.number, before=head.number))
    assert [each.number for each in gone] == [2]
