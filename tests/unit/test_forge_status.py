"""What the live view says of the load."""

from __future__ import annotations

from evals.forge.load.generator import LoadGenerator
from evals.forge.load.profile import Profile
from evals.forge.load.scenario import Mix
from evals.forge.status import LoadWindow


def test_requests_a_second_are_right_however_often_one_looks() -> None:
    """Every second in a terminal, every five where it prints lines."""
    for every_s in (1.0, 5.0):
        now_s = 100.0
        generator = LoadGenerator([], Mix(()), Profile())
        window = LoadWindow(generator, now_s=lambda: now_s)  # noqa: B023  read in the same turn
        for _ in range(9):
            rates, p99_ms = window.read()
            now_s += every_s
            for _ in range(int(20 * every_s)):
                generator.report.success("n1", 2_000)
        assert rates == {"n1": 20.0}
        assert 2.0 <= p99_ms <= 2.2
