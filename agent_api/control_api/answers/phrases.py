"""Answers about sentences whose meaning people taught."""

from __future__ import annotations

from agent_api.control_api.ports import ApiParts
from runtime.operations.actor import Actor
from runtime.operations.phrases import PhraseRecord, phrase_id
from runtime.operations.queries.page import page_of
from runtime.operations.queries.phrases import PhraseListRequest, PhrasePage, PhraseRow
from runtime.state import keys
from runtime.state.values import decode


class PhraseAnswers:
    def __init__(self, parts: ApiParts) -> None:
        self._cache = parts.view.cache

    async def phrases(self, request: PhraseListRequest, _actor: Actor) -> PhrasePage:
        records = [decode(item.value, PhraseRecord) for item in self._cache.items(keys.PHRASES)]
        page, cursor = page_of(records, lambda each: (each.sentence,), request)
        rows = (
            PhraseRow(id=phrase_id(each.sentence), sentence=each.sentence, operation=each.operation) for each in page
        )
        return PhrasePage(items=tuple(rows), next=cursor)
