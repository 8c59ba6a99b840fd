"""What can be wrong with a slice, said with file, line and remedy."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class SliceInvalid(RuntimeFault):
    """A slice breaks a rule of the SDK. `line` is 0 where no line can be named."""

    code = "slice_invalid"

    def __init__(self, problem: str, *, remedy: str, file: str = "", line: int = 0) -> None:
        place = f"{file}:{line}: " if file else ""
        super().__init__(f"{place}{problem}; {remedy}")
        self.problem_text = problem
        self.remedy_text = remedy
        self.file = file
        self.line = line

    def problem(self) -> dict[str, object]:
        return {**super().problem(), "remedy": self.remedy_text, "file": self.file, "line": self.line}


class NoCall(RuntimeFault):
    """`current_call()` was asked outside of a call."""

    code = "no_call"
    remedy = "ask for it in a slice's method, not at import, in the constructor or in start()"

    def __init__(self) -> None:
        super().__init__("no call is in progress here")
