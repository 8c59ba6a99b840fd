"""Blueprints: a good one becomes a record; a bad one is refused with line, key and remedy, whatever the bytes."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.deployment.blueprint import check_against, parse, requirements
from runtime.deployment.errors import BlueprintInvalid
from runtime.names import SliceName, Version
from runtime.sdk.contract import DependencyContract, MethodContract, RouteContract, SliceContract
from runtime.state.values import BlueprintRecord, BlueprintSlice, decode, encode

GOOD = """\
id = "shop"

[[slices]]
slice = "orders"
version = "1.0.0"
artifact = "shop==1.0.0"
instances = 2
min = 2
max = 6
requires = ["pricing"]

[slices.placement]
spread = "zone"

[slices.config]
currency = "EUR"

[[slices]]
slice = "pricing"
version = "1.0.0"
artifact = "shop==1.0.0"
instances = 1
min = 1
max = 2
"""


def contract(name: str, *routes: str, needs: tuple[str, ...] = ()) -> SliceContract:
    methods = tuple(
        MethodContract(name=f"m{at}", routes=(RouteContract(method="GET", path=path),))
        for at, path in enumerate(routes)
    )
    dependencies = tuple(DependencyContract(parameter=each, kind="slice", name=each) for each in needs)
    return SliceContract(name=name, version="1.0.0", entry="m:C", methods=methods, dependencies=dependencies)


def other(name: str, *routes: str, needs: tuple[str, ...] = ()) -> tuple[BlueprintSlice, SliceContract]:
    """A slice that another blueprint deploys."""
    row = BlueprintSlice(slice=SliceName(name), version=Version("1.0.0"), artifact="a==1", instances=1, min=1, max=1)
    return row, contract(name, *routes, needs=needs)


SHOP = {"shop==1.0.0": (contract("orders", "/orders/{id}"), contract("pricing"))}


def refused(text: str | bytes) -> BlueprintInvalid:
    with pytest.raises(BlueprintInvalid) as caught:
        parse(text.encode() if isinstance(text, str) else text)
    return caught.value


def test_a_good_blueprint_becomes_a_record() -> None:
    record = parse(GOOD.encode())
    assert record.blueprint == "shop"
    orders, pricing = record.slices
    assert (orders.slice, orders.instances, orders.min, orders.max) == ("orders", 2, 2, 6)
    assert (orders.placement.spread, orders.config, orders.requires) == ("zone", {"currency": "EUR"}, ("pricing",))
    assert pricing.memory_mb_max == 512


@pytest.mark.parametrize(
    ("line", "wrong", "says", "number"),
    [
        ("instances = 2", "instances = 9", "outside min 2 and max 6", 7),
        ("instances = 2", 'instances = "two"', "expected `int`", 7),
        ("instances = 2", "instance = 2", "did you mean 'instances'", 7),
        ("min = 2", "min = 7", "0 <= min <= max", 8),
        ('artifact = "shop==1.0.0"\ninstances = 2', 'artifact = "shop"\ninstances = 2', "name==version", 6),
        ('slice = "orders"', 'slice = "Or ders"', "lower case", 4),
        ('slice = "pricing"', 'slice = "orders"', "listed twice", 19),
        ('slice = "orders"', 'slice = "aether-cache"', "the system's own", 4),
        ('spread = "zone"', 'spread = "moon"', "enum", 12),
        ('id = "shop"', 'id = "a shop"', "give a name", 1),
        ('id = "shop"', 'id = "shop"\nid = "again"', "Cannot overwrite", 2),
        ("max = 6", "max = 6\nmaxi = 7", "did you mean 'max'", 10),
        ('currency = "EUR"', "factor = inf", "factor is not finite", 15),
        ('currency = "EUR"', "big = 18446744073709551616", "big has more than 64 bits", 15),
        ("instances = 2", "instances = " + "2" * 5_000, "a number is too long", 7),
        (
            'version = "1.0.0"\nartifact = "shop==1.0.0"\ninstances = 2',
            'artifact = "shop==1.0.0"\ninstances = 2',
            "is missing",
            3,
        ),
    ],
)
def test_a_mistake_is_refused_with_its_line_and_key(line: str, wrong: str, says: str, number: int) -> None:
    error = refused(GOOD.replace(line, wrong, 1))
    assert says in str(error)
    assert error.line == number
    assert error.problem()["remedy"]


def test_text_that_is_not_utf8_says_so_and_where() -> None:
    error = refused(GOOD.encode().replace(b"EUR", b"\xff\xfe"))
    assert "UTF-8" in str(error)
    assert error.line == 16


def test_a_text_over_the_limit_is_refused_unread() -> None:
    assert "at most" in str(refused(b"#" * 300_000))


@given(st.one_of(st.binary(max_size=400), st.text(max_size=400).map(str.encode)))
def test_whatever_the_bytes_only_a_refusal_comes_out(raw: bytes) -> None:
    with contextlib.suppress(BlueprintInvalid):
        parse(raw)


pieces = st.sampled_from(
    [*GOOD.splitlines(keepends=True), "[[slices]]\n", "[slices]\n", "max = 1e400\n", '"" = 1\n', "a = [[[]]]\n"]
)
values = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5), st.booleans())


@given(st.lists(pieces, max_size=30))
def test_shuffled_lines_of_a_blueprint_are_read_or_refused(lines: list[str]) -> None:
    with contextlib.suppress(BlueprintInvalid):
        parse("".join(lines).encode())


@given(values)
def test_what_is_accepted_can_be_kept_and_sent(value: float | str | bool) -> None:
    """A record that the store gives back unreadable is as good as lost, and nobody would be told."""
    written = json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")
    try:
        record = parse(GOOD.replace('"EUR"', written).encode())
    except BlueprintInvalid:
        return
    assert decode(encode(record), BlueprintRecord) == record
    config = record.slices[0].config
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(config)) == config


def test_it_is_checked_against_what_artifacts_offer() -> None:
    found = check_against(parse(GOOD.encode()), contracts=SHOP, others=[])
    assert [each.name for each in found] == ["orders", "pricing"]


@pytest.mark.parametrize(
    ("contracts", "others", "says"),
    [
        ({}, [], "artifact shop==1.0.0 is not known here"),
        ({"shop==1.0.1": ()}, [], "there are shop==1.0.1"),
        ({"shop==1.0.0": (contract("orders"),)}, [], "has no slice pricing 1.0.0; it has orders 1.0.0"),
        (
            {"shop==1.0.0": (contract("orders", needs=("pricin",)), contract("pricing"))},
            [],
            "requires slice pricin, which no blueprint deploys; did you mean pricing?",
        ),
        (
            {"shop==1.0.0": (contract("orders", needs=("pricing",)), contract("pricing", needs=("orders",)))},
            [],
            "cycle: orders -> pricing -> orders",
        ),
        (
            SHOP,
            [other("archive", "/orders/{number}")],
            "line 4: slices[0].slice: GET /orders/{id} of orders is already",
        ),
        (
            {"shop==1.0.0": (contract("orders"), contract("pricing", needs=("tax",)))},
            [other("tax", needs=("orders",))],
            "line 10: slices[0].requires: required dependencies form a cycle: orders -> pricing -> tax -> orders",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(contracts: dict, others: list, says: str) -> None:
    with pytest.raises(BlueprintInvalid) as caught:
        check_against(parse(GOOD.encode()), contracts=contracts, others=others)
    assert says in str(caught.value)


def test_a_blueprint_may_make_a_declared_dependency_optional() -> None:
    record = parse(GOOD.replace('requires = ["pricing"]', 'optional = ["pricing"]').encode())
    assert requirements(record.slices[0], contract("orders", needs=("pricing",))) == ()
