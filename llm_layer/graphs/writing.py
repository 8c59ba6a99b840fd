"""What a model writes is told word by word, as soon as each word is found in what the claim stands on."""

from __future__ import annotations

from collections.abc import Callable

from llm_layer.chat.events import Anew, Event, Written
from llm_layer.claims.verify import Ground
from llm_layer.claims.written import Part, sure_parts


class Writing:
    """Implements Heard. Every word that it tells is verified; that an answer is taken back all the same, as a later
    claim does not hold, is told too."""

    def __init__(self, tell: Callable[[Event], None], ground: Callable[[], Ground]) -> None:
        self._tell = tell
        self._ground = ground
        self._raw = ""
        self._told: dict[int, Part] = {}

    async def text(self, piece: str) -> None:
        self._raw += piece
        if piece.isspace() or not self._raw.lstrip().startswith("{"):
            return  # words beside tool calls are no answer
        for part in sure_parts(self._raw, self._ground()):
            self._pass_on(part)

    async def anew(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Another answer comes, or none: what was told of the one before is taken back."""
        if self._told:
            self._tell(Anew())
        self._raw = ""
        self._told.clear()

    def _pass_on(self, part: Part) -> None:
        before = self._told.get(part.number)
        known = before.text if before is not None else ""
        if before is not None and (before.whole or not (len(part.text) > len(known) or part.whole)):
            return
        if not part.text.startswith(known) or not (part.text or part.whole):
            return
        more = part.text[len(known) :]
        self._tell(Written(claim=part.number, text=more, evidence=part.evidence, ends=part.whole))
        self._told[part.number] = part
