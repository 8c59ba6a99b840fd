"""What the OpenAPI document says is what the API does: requests made from it, right and wrong, over a real socket."""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi import checks as conformance

from tests.operate.api_server import Served, served

pytestmark = pytest.mark.slow
SEED = int(os.environ.get("AETHER_TEST_SEED", "1"))
EXAMPLES = 4  # of each operation
REFUSALS = (400, 401, 403, 404, 405, 406, 409, 412, 413, 414, 415, 422, 428, 429, 431)
PATIENCE_S = 20  # with a machine that does other things as well
CHECKS = [
    checks.not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_headers_conformance,
    conformance.response_schema_conformance,
    conformance.negative_data_rejection,
]


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as found:
        yield found


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_request_gets_an_answer_that_the_document_names(server: Served, mode: GenerationMode) -> None:
    """A 5xx is a crash; a status, header or member that the document does not name misleads whoever reads it."""
    schema = described(server)
    operations = [each.ok() for each in schema.exclude(operation_id="watch").get_all_operations()]  # that never ends
    assert len(operations) > 60
    failed = {operation.label: found for operation in operations if (found := failure(operation, server, mode))}
    assert not failed, "\n\n".join(f"{label}: {text}" for label, text in failed.items())


def described(server: Served) -> BaseSchema:
    """Without its security: the key that is sent is always right, and the door has tests of its own."""
    url = f"http://{server.address}"
    document = httpx.get(f"{url}/v1/openapi.json", timeout=PATIENCE_S).json()
    del document["security"], document["components"]["securitySchemes"]
    found = schemathesis.openapi.from_dict(document)
    found.config.update(base_url=url)
    found.config.checks.negative_data_rejection.expected_statuses = [str(status) for status in REFUSALS]
    return found


def failure(operation: schemathesis.APIOperation, server: Served, mode: GenerationMode) -> str:
    """What the first request that was answered wrongly got; empty if none was."""
    headers = {"authorization": f"Bearer {server.keys['cleo']}"}

    @seed(SEED)
    @settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS, timeout=PATIENCE_S)

    try:
        ask()
    except Unsatisfiable:
        return ""
    except FailureGroup as group:
        return "\n".join(map(str, group.exceptions))
    return ""
