"""What makers' clients raise, as our fault: how long is asked for, and what of their words is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from llm_layer.providers.errors import ProviderFault
from llm_layer.providers.fleet import NO_KEY
from llm_layer.providers.retries import wait_s
from llm_layer.providers.vendor_faults import RETRY_AFTER_S_MAX, as_ours, without_secrets


class Response:
    def __init__(self, retry_after: str) -> None:
        self.headers = {"retry-after": retry_after}


class StatusError(Exception):
    """As both makers' clients have it."""

    status_code = 429

    def __init__(self, retry_after: str) -> None:
        super().__init__("429")
        self.response = Response(retry_after)


def fault_of(retry_after: str) -> ProviderFault:
    fault = as_ours(StatusError(retry_after), "")
    assert isinstance(fault, ProviderFault)
    return fault


@pytest.mark.parametrize(
    ("told", "after_s"),
    [("7", 7.0), ("0", 0.0), ("86400", RETRY_AFTER_S_MAX), ("inf", RETRY_AFTER_S_MAX), ("", None), ("-1", None),
     ("nan", None), ("soon", None), ("Fri, 27 Nov 2015 17:00:00 GMT", 0.0), ("Fri, 99 Nov 2015", None)],
)  # fmt: skip
def test_how_long_is_asked_for(told: str, after_s: float | None) -> None:
    assert fault_of(told).retry_after_s == after_s


def test_who_asks_for_a_day_is_not_asked_again_at_once() -> None:
    assert wait_s(fault_of("86400"), 0, 0.5) is None


def test_a_date_is_waited_for_too() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    assert wait_s(fault_of(soon), 0, 0.5) is None


def test_words_of_a_server_without_a_key_stay_as_they_are() -> None:
    said = "none of these models is loaded"
    assert without_secrets(said, NO_KEY.reveal()) == said
