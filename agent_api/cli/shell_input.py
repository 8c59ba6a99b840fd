"""How the shell reads a line: candidates as they are typed, and Enter that goes on where a line is not finished."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer
from prompt_toolkit.completion import Completion as Candidate
from prompt_toolkit.document import Document
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from agent_api.cli.complete import candidates


class Completion(Completer):
    """The same candidates as in bash, zsh and fish; names are asked of the cluster."""

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Candidate]:
        text = document.text_before_cursor
        try:
            words = shlex.split(text)
            if not text or text[-1].isspace():
                words.append("")
            found = candidates(words)
        except Exception:
            return
        for word, meaning in found.items():
            yield Candidate(word, start_position=-len(words[-1]), display_meta=meaning)


def bindings(is_finished: Callable[[str], bool]) -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_finished(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return keys
