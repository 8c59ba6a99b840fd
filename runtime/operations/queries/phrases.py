"""What can be asked about sentences whose meaning people taught."""

from __future__ import annotations

from typing import Final

from runtime.operations.queries.page import Page, PageRequest, Row, read


class PhraseListRequest(PageRequest, frozen=True, kw_only=True):
    pass


class PhraseRow(Row, frozen=True, kw_only=True):
    id: str
    sentence: str
    operation: str


class PhrasePage(Page, frozen=True, kw_only=True):
    items: tuple[PhraseRow, ...]


QUERIES: Final = (
    read("phrase.list", "Sentences whose meaning people taught.", PhraseListRequest, PhrasePage, "/v1/phrases"),
)
