"""What the supervisor tells the processes that it starts."""

from __future__ import annotations

import pytest

from runtime.cluster.words import words_told


def test_values_are_taken_by_name_and_defaults_stand() -> None:
    told = words_told("p", ["--data", "d", "--lifeline-fd", "7"], data=None, lifeline_fd="", preload="")
    assert told == {"data": "d", "lifeline_fd": "7", "preload": ""}


@pytest.mark.parametrize(
    ("argv", "trouble"),
    [
        ([], "wants --data"),
        (["--data"], "wants a value behind --data"),
        (["--data", "d", "--other", "x"], "does not know --other"),
        (["data", "d"], "does not know data"),
    ],
)
def test_what_is_wrong_ends_the_process_with_one_line(
    argv: list[str], trouble: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        words_told("p", argv, data=None, lifeline_fd="")
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"p {trouble}; it takes --data … [--lifeline-fd …]\n"
