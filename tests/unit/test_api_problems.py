"""Errors are named before they happen: a status for every code, and every code where it can come from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

import runtime.cluster.restoring
import runtime.consensus.etcd.channel  # noqa: F401  with these all errors of the store are known
from agent_api.control_api.endpoint import Endpoint
from agent_api.control_api.openapi import document
from agent_api.control_api.problems import RETRYABLE_CODES, STATUS
from runtime.consensus.errors import StoreFault
from tests.unit.api_parts import ApiOnHand, api_on_hand

pytestmark = pytest.mark.anyio

ELSEWHERE = {
    "store_fault": "the base of all others",
    "lease_not_found": "the gate takes another lease and tries again",
    "lease_taken": "the engine on etcd takes another number",
    "invalid_request": "what the gate writes is within the store's limits",
    "backup_of_another_cluster": "of restoring one, by the command line",
    "backup_unusable": "of files, which the command line reads",
    "backup_unwritable": "of files, which the command line writes",
    "deposed": "of the workflow engine, which reads everything anew then",
    "change_under_way": "of the store's members, whose verbs do not pass through this API",
    "too_many_watchers": "control watches once, for all clients",
    "not_on_this_engine": "of the store's own verbs",
    "store_refused": "of connecting, which is tried again",
    "store_damaged": "the store does not start",
    "store_lost": "the store does not start",
    "store_directory_unfit": "the store does not start",
}
"""What no request is answered with, and why."""


@pytest.fixture
async def api() -> AsyncIterator[ApiOnHand]:
    async with api_on_hand() as found:
        yield found


def faults(kind: type[StoreFault] = StoreFault) -> Iterator[type[StoreFault]]:
    yield kind
    for each in kind.__subclasses__():
        yield from faults(each)


def named(endpoint: Endpoint) -> set[str]:
    responses = document([endpoint])["paths"][endpoint.path.replace(":path", "")][endpoint.method.lower()]["responses"]
    problems = [each["content"]["application/problem+json"] for each in responses.values() if "problem" in str(each)]
    return {code for each in problems for code in each["schema"]["allOf"][1]["properties"]["code"]["enum"]}


async def test_every_error_of_the_store_is_named_where_it_can_come_from(api: ApiOnHand) -> None:
    """A program that branches on `code` would meet one that the document does not know."""
    of_changes = next(each for each in api.api.endpoints if each.name == "slice.scale")
    of_audit = next(each for each in api.api.endpoints if each.name == "audit.export")
    known = named(of_changes) | named(of_audit)
    for fault in faults():
        if fault.__module__.startswith("runtime.") and fault.code not in ELSEWHERE:
            assert fault.code in known, fault.code


async def test_every_code_that_an_endpoint_names_has_a_status_of_its_own(api: ApiOnHand) -> None:
    for each in api.api.endpoints:
        for code in named(each):
            assert code in RETRYABLE_CODES or code == "bad_request" or code in STATUS, (each.name, code)
