"""`aether eval session`: a recorded conversation gone through again, with what the cluster and models answered then."""

from __future__ import annotations

import argparse

import anyio
import msgspec

from agent_api.catalogue import make_catalogue
from agent_api.cli.paint import one_line
from agent_api.cli.table import show_json
from llm_layer.recordings.replaying import TurnReplayed, replay
from llm_layer.recordings.rows import read_rows
from llm_layer.router.phrases import training_sentences
from llm_layer.router.routing import Router
from llm_layer.router.shipped import open_classifier


def run_session(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 all came again as it was recorded, 1 otherwise. Raises RecordingUnreadable."""
    rows = read_rows(arguments.file)
    classifier = open_classifier(training_sentences())

    async def replayed() -> list[TurnReplayed]:
        return await replay(rows, fit=lambda taught: Router(classifier, taught), catalogue=make_catalogue())

    turns = anyio.run(replayed)
    same = not any(each.differs for each in turns)
    if arguments.json:
        show_json({"same": same, "turns": msgspec.to_builtins(turns)})
    else:
        for each in turns:
            print("\n".join(_lines(each)))
    return 0 if same else 1


def _lines(turn: TurnReplayed) -> list[str]:
    said = one_line(turn.text)[:80] or "(people had decided)"
    counts = f"{turn.models_asked} replies of models, {turn.cluster_asked} answers of the cluster, {turn.events} events"
    head = f"{turn.number}  {said}: {'as then' if not turn.differs else 'DIFFERS'} ({counts})"
    return [head, *(f"     {one_line(each)}" for each in turn.differs)]
