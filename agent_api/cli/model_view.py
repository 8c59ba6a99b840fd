"""Which language models the cluster may ask, at a terminal."""

from __future__ import annotations

from typing import Final

from agent_api.cli.table import Row, show_members

NONE_NAMED: Final = (
    "no language model is named, so rules answer; to name one: setting model_providers, docs/guides/llm.md"
)


def show_model_status(answer: Row) -> None:
    """A ModelStatusShown."""
    if not answer["wanted"]:
        print(NONE_NAMED)
        return
    show_members({name: value for name, value in answer.items() if name not in ("revision", "stale")})
