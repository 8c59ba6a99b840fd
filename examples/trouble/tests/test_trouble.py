"""The slice does what it is told, in this process."""

from __future__ import annotations

import pytest
from trouble.trouble import CannotStart, Config, Failing, Leak, Trouble, TroubleFailed

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_as_many_calls_fail_as_were_asked_for() -> None:
    trouble = Trouble(Config(work_ms=0))
    await trouble.fail(Failing(share=0.25))
    failed = 0
    for _ in range(40):
        try:
            await trouble.work()
        except TroubleFailed:
            failed += 1
    assert failed == 10


async def test_what_leaks_stays() -> None:
    trouble = Trouble(Config())
    await trouble.leak(Leak(megabytes=1))
    assert (await trouble.leak(Leak(megabytes=2))).megabytes == 3


async def test_it_does_not_start_where_it_must_not() -> None:
    with pytest.raises(CannotStart):
        await Trouble(Config(starts=False)).start()
