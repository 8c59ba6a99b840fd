"""Lines of a conversation, with history and the completion of /commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from agent_api.cli.shell import history
from llm_layer.router.slash import completions
from runtime.operations.catalogue import Catalogue

VOTES: Final = ("/approve", "/reject", "/withdraw")


class SlashCompleter(Completer):
    """Of what stands behind a slash at the line's beginning."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        text = document.text_before_cursor
        if text.startswith("/"):
            votes = (each for each in VOTES if each.startswith(text))
            for each in (*votes, *completions(text, self._catalogue)):
                yield Completion(each, start_position=-len(text))


class LineReader:
    """Asks for a line. `ended`: there is no more, as the input ended or a line was broken off; an empty one ends
    nothing."""

    def __init__(self, prompt: Callable[[str], str]) -> None:
        self._prompt = prompt
        self.ended = False

    def __call__(self, prompt: str) -> str:
        try:
            return self._prompt(prompt)
        except (EOFError, KeyboardInterrupt):
            self.ended = True
            return ""

    def lines(self, prompt: str) -> Iterator[str]:
        while True:
            line = self(prompt).strip()
            if self.ended:
                return
            yield line


def line_reader(catalogue: Catalogue) -> LineReader:
    session: PromptSession[str] = PromptSession(
        history=history("chat-history"), completer=SlashCompleter(catalogue), complete_in_thread=True
    )
    return LineReader(session.prompt)
