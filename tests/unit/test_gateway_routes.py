"""The HTTP route table: who answers which path."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.gateway.routes import Binding, Found, Missing, PathNotText, RouteTable, bindings_of, pick
from runtime.invocation.table import InstanceRow, RestingRow, RoutingTable
from runtime.sdk.contract import MethodContract, RouteContract, SliceContract

words = st.sampled_from(["a", "b", "c", "me", "orders"])
segments = st.one_of(words, words.map(lambda word: f"{{{word}}}"))
templates = st.lists(segments, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
methods = st.sampled_from(["GET", "POST", "DELETE"])
values = st.text(min_size=1, max_size=8).filter(lambda text: "\0" not in text)


def binding(http_method: str, template: str, *, of: str = "orders", method: str = "m") -> Binding:
    return Binding(
        slice=of,
        method=method,
        target=f"{of}/{method}",
        http_method=http_method,
        template=template,
        route=0,
        headers=(),
        deadline_ms=1_000,
        versions=frozenset({"1.0.0"}),
    )


def fits(template: str, path: list[str]) -> bool:
    parts = template.split("/")[1:]
    return len(parts) == len(path) and all(
        value != "" if part.startswith("{") else part == value for part, value in zip(parts, path, strict=True)
    )


def contract(version: str, *routes: RouteContract, name: str = "orders", method: str = "place") -> SliceContract:
    return SliceContract(name=name, version=version, entry="m:C", methods=(MethodContract(name=method, routes=routes),))


def table(*contracts: SliceContract) -> RoutingTable:
    rows = tuple(InstanceRow(c.name, c.version, "n1", number) for number, c in enumerate(contracts))
    return RoutingTable(revision=1, node="n1", instances=rows, contracts=contracts)


@given(routes=st.lists(st.tuples(methods, templates), max_size=12), wanted=methods, path=st.lists(words, max_size=4))
def test_a_request_is_answered_exactly_when_some_template_of_its_method_fits(
    routes: list[tuple[str, str]], wanted: str, path: list[str]
) -> None:
    """Safety of the walk with its steps back: compared with trying every template in turn."""
    found = RouteTable([binding(*route) for route in routes]).find(wanted.encode(), ("/" + "/".join(path)).encode())
    fitting = {method for method, template in routes if fits(template, path or [""])}
    if wanted in fitting:
        assert isinstance(found, Found)
        assert fits(found.binding.template, path)
    else:
        assert isinstance(found, Missing)
        assert set(found.allow) - {"HEAD"} == fitting


@given(routes=st.lists(st.tuples(methods, templates), max_size=8), order=st.randoms(use_true_random=False))
def test_the_order_in_which_routes_arrive_changes_nothing(routes: list[tuple[str, str]], order: object) -> None:
    """Every gateway of a cluster must send one path to one slice."""
    bindings = [binding(*route, of=f"s{index}") for index, route in enumerate(routes)]
    shuffled = bindings.copy()
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = RouteTable(bindings), RouteTable(shuffled)
    assert one.conflicts == other.conflicts
    assert [b.slice for b in sorted(one, key=lambda b: b.slice)] == [
        b.slice for b in sorted(other, key=lambda b: b.slice)
    ]


@given(first=values, second=values)
def test_parameters_come_back_as_they_were_before_percent_encoding(first: str, second: str) -> None:
    routes = RouteTable([binding("GET", "/a/{x}/b/{y}")])
    found = routes.find(b"GET", f"/a/{quote(first, safe='')}/b/{quote(second, safe='')}".encode())
    assert isinstance(found, Found)
    assert found.path == (first, second)


@given(path=st.binary(max_size=40))
def test_no_path_breaks_the_table(path: bytes) -> None:
    routes = RouteTable([binding("GET", "/{a}"), binding("GET", "/a/{b}/c"), binding("POST", "/a")])
    try:
        assert isinstance(routes.find(b"GET", path), Found | Missing)
    except PathNotText:
        assert b"%" in path or not path.startswith(b"/") or b"\0" in path or not path.isascii()


def test_a_literal_goes_before_a_parameter_and_is_left_again_for_another_method() -> None:
    routes = RouteTable([binding("GET", "/users/me", method="me"), binding("DELETE", "/users/{id}", method="drop")])
    read, dropped = routes.find(b"GET", b"/users/me"), routes.find(b"DELETE", b"/users/me")
    assert isinstance(read, Found)
    assert isinstance(dropped, Found)
    assert (read.binding.method, dropped.binding.method, dropped.path) == ("me", "drop", ("me",))


def test_a_percent_encoded_literal_is_found_too() -> None:
    assert isinstance(RouteTable([binding("GET", "/orders")]).find(b"GET", b"/%6Frders"), Found)


def test_an_unknown_method_on_a_known_path_lists_what_is_allowed() -> None:
    routes = RouteTable([binding("GET", "/a"), binding("POST", "/{x}")])
    assert routes.find(b"PUT", b"/a") == Missing(("GET", "HEAD", "POST"))


def test_head_is_answered_wherever_get_is() -> None:
    routes = RouteTable([binding("GET", "/a"), binding("GET", "/b/{x}")])
    assert isinstance(routes.find(b"HEAD", b"/a"), Found)
    assert isinstance(routes.find(b"HEAD", b"/b/1"), Found)


def test_an_empty_segment_is_no_value_for_a_parameter() -> None:
    assert RouteTable([binding("GET", "/a/{x}")]).find(b"GET", b"/a/") == Missing()


@pytest.mark.parametrize("path", [b"/%ff", b"/\xff", b"/a/%00", b"a"])
def test_a_path_that_is_not_text_is_refused(path: bytes) -> None:
    with pytest.raises(PathNotText):
        RouteTable([binding("GET", "/{x}")]).find(b"GET", path)


def test_of_two_slices_with_one_route_the_first_by_name_has_it() -> None:
    routes = RouteTable([binding("GET", "/x/{b}", of="zebra"), binding("GET", "/x/{a}", of="ant")])
    found = routes.find(b"GET", b"/x/1")
    assert isinstance(found, Found)
    assert found.binding.slice == "ant"
    assert [(conflict.winner, conflict.loser) for conflict in routes.conflicts] == [("ant", "zebra")]


def test_a_contract_without_an_instance_has_no_routes() -> None:
    """A route goes with its last instance."""
    lone = contract("1.0.0", RouteContract(method="GET", path="/a"))
    assert bindings_of(RoutingTable(revision=1, node="n1", contracts=(lone,))) == []


def test_a_contract_that_rests_has_its_routes() -> None:
    """Else the call that would bring an instance back is told that there is no such path."""
    lone = contract("1.0.0", RouteContract(method="GET", path="/a"))
    resting = (RestingRow(lone.name, lone.version),)
    (found,) = bindings_of(RoutingTable(revision=1, node="n1", contracts=(lone,), resting=resting))
    assert (found.template, found.versions) == ("/a", {"1.0.0"})


def test_versions_that_agree_on_a_route_share_it() -> None:
    route = RouteContract(method="GET", path="/a")
    (merged,) = bindings_of(table(contract("1.9.0", route), contract("1.10.0", route)))
    assert merged.versions == {"1.9.0", "1.10.0"}


def test_a_route_that_only_one_version_has_goes_to_that_version() -> None:
    """Otherwise a request would reach an instance that numbers its routes in another way."""
    old, new = RouteContract(method="GET", path="/a"), RouteContract(method="GET", path="/b")
    bindings = {b.template: b for b in bindings_of(table(contract("1.9.0", old), contract("1.10.0", new, old)))}
    assert bindings["/b"].versions == {"1.10.0"}
    assert not bindings["/b"].others
    shared = bindings["/a"]
    assert [(kind.versions, kind.route) for kind in (shared, *shared.others)] == [({"1.10.0"}, 1), ({"1.9.0"}, 0)]


@given(point=st.floats(0, 1, exclude_max=True), shares=st.lists(st.integers(0, 200), min_size=1, max_size=4))
def test_versions_that_differ_in_a_route_share_its_requests_by_weight(point: float, shares: list[int]) -> None:
    kinds = [replace(binding("GET", "/a", method=str(index)), share=share) for index, share in enumerate(shares)]
    chosen = int(pick(replace(kinds[0], others=tuple(kinds[1:])), point).method)
    before, total = sum(shares[:chosen]), sum(shares)
    assert total == 0 or before <= point * total + 1e-9
    assert total == 0 or point * total < before + shares[chosen] + 1e-9
