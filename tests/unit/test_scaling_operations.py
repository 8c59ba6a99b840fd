"""How scaling is configured and pinned, through the gate: what is refused, and what is kept."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from controllers.gate.making import MakingGate
from controllers.scaling.config import ScalingConfig, config_of, pin_of
from runtime.operations.dispatch import Applied, Outcome, Refused, Submission
from runtime.operations.plan import Json
from tests.unit.gate_parts import GateOnHand, person

pytestmark = pytest.mark.anyio


async def on_hand() -> GateOnHand:
    hand = GateOnHand()
    await hand.populate()
    return hand


async def configured(hand: GateOnHand, **request: Json) -> Outcome:
    return await hand.gate.submit(
        Submission(operation="controller.configure", request=dict(request), actor=person("anna"))
    )


@pytest.mark.parametrize("member", ["rate_per_instance", "slo_p95_ms", "instance_hour_cost", "hour_cost_max"])
async def test_infinity_is_no_value_of_any_member(member: str) -> None:
    """Kept as JSON it would be nothing: the slice's whole configuration would silently be as if it were not there."""
    hand = await on_hand()
    answer = await configured(hand, slice="orders", set={member: math.inf, "hold_s": 45})
    assert isinstance(answer, Refused)
    assert (answer.code, member in answer.detail) == ("scaling_policy_invalid", True)


async def test_what_would_let_a_slices_own_words_oscillate_is_refused_of_the_cluster() -> None:
    """A slice may forget needs quickly while the cluster's cool-down keeps it calm, and no longer."""
    hand = await on_hand()
    assert isinstance(await configured(hand, set={"cool_down_in_s": 300}), Applied)
    assert isinstance(await configured(hand, slice="orders", set={"hold_s": 5}), Applied)
    answer = await configured(hand, unset=["cool_down_in_s"])
    assert isinstance(answer, Refused)
    assert "slice orders" in answer.detail
    assert "oscillate" in answer.detail
    assert config_of(hand.state, "orders").cool_down_in_s == 300
    assert isinstance(await configured(hand, slice="orders", unset=["hold_s"]), Applied)
    assert isinstance(await configured(hand, unset=["cool_down_in_s"]), Applied)


@pytest.mark.parametrize(("said", "shown"), [("", "anna"), ("the shop", "the shop")])
async def test_a_pin_tells_who_wants_it(said: str, shown: str) -> None:
    """Whoever finds a slice that does not scale must know whom to ask."""
    hand = await on_hand()
    gate = MakingGate(hand.gate, hand.clock)  # type: ignore[arg-type]
    request: dict[str, Json] = {"slice": "orders", "instances": 4, "by": said}
    answer = await gate.submit(Submission(operation="controller.pin", request=request, actor=person("anna")))
    assert isinstance(answer, Applied)
    pin = pin_of(hand.state, "orders", hand.clock.unix_ms())
    assert pin is not None
    assert pin.by == shown


def test_the_page_on_scaling_lists_every_member_with_its_default() -> None:
    """What refuses a configuration sends its reader there."""
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text().partition("### Members")[2]
    told = {}
    for line in page.partition("### Rules")[0].splitlines():
        if line.startswith("| `"):
            _, names, defaults, *_ = line.split("|")
            values = [each.strip() for each in defaults.split(",")]
            names_of = [each.strip(" `") for each in names.split(",")]
            told |= dict(zip(names_of, values * len(names_of) if len(values) == 1 else values, strict=False))
    assert told == {each.name: _told(each.default) for each in msgspec.structs.fields(ScalingConfig)}


def _told(default: object) -> str:
    return f"{default:g}" if isinstance(default, float) else {"None": "none"}.get(str(default), str(default).lower())
