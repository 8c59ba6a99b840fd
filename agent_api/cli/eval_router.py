"""`aether eval router`: how well sentences are understood without a model."""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import msgspec

from agent_api.catalogue import make_catalogue
from agent_api.cli.table import show_json, show_rows
from evals.router.scoring import Report, Shown, judge
from evals.router.suite import VERSIONS, WANTED, place_of, read_sentences
from llm_layer.router.intents import NOTHING
from llm_layer.router.inventory import Inventory
from llm_layer.router.phrases import training_sentences
from llm_layer.router.routing import Router, Routing
from llm_layer.router.shipped import open_classifier, write_shipped


def measure(file: Path | None, router: Router) -> Report:
    """file: None for the suite that is shipped. Raises SentencesUnreadable."""
    sentences = read_sentences(file)
    place = place_of(sentences)
    inventory = Inventory(
        slices=place.slices,
        nodes=place.nodes,
        blueprints=place.blueprints,
        proposals=place.proposals,
        playbooks=place.playbooks,
        runs=place.runs,
        alerts=place.alerts,
        wanted=WANTED,
        versions=VERSIONS,
    )
    taken_s: list[float] = []

    def route(text: str) -> Shown:
        began_s = time.process_time()
        routing = router.route(text, inventory)
        taken_s.append(time.process_time() - began_s)
        return _shown(routing)

    report = judge(sentences, route)
    known = {NOTHING, *(each.name for each in make_catalogue())}
    return msgspec.structs.replace(
        report,
        unknown_operations=tuple(sorted({each.operation for each in sentences} - known)),
        answer_ms=round(statistics.median(taken_s) * 1_000, 1),
    )


def _shown(routing: Routing) -> Shown:
    first = routing.first
    return Shown(
        kind=routing.kind,
        ranked=routing.ranked,
        params=dict(first.params) if first is not None else {},
        share=first.share if first is not None else 0.0,
        sure=routing.sure,
        pointable=tuple((each.operation, each.params) for each in routing.pointable),
    )


def write_fitted() -> int:
    """For developers, whenever the training sentences change."""
    examples = training_sentences()
    fitted = write_shipped(examples).fitted
    print(f"fitted to {len(examples)} sentences; of each left out {fitted.left_out_right:.1%} are found")
    return 0


def run_router(arguments: argparse.Namespace) -> int:
    if arguments.write_fitted:
        return write_fitted()
    classifier = open_classifier(training_sentences(), letters_only=arguments.letters_only)
    report = measure(arguments.sentences, Router(classifier))
    if arguments.json:
        show_json(msgspec.to_builtins(report))
        return 0
    print(f"{report.sentences} sentences in {report.languages} languages")
    print(f"  operation found        {report.top1:6.1%}   among the first three {report.top3:.1%}")
    fresh = report.untouched
    if fresh.sentences < report.sentences:
        print(f"  of {fresh.sentences} untouched         {fresh.top1:6.1%}   among the first three {fresh.top3:.1%}")
    print(f"  its members right      {report.params_right:6.1%}")
    print(f"  wrong change as a card {report.wrong_card_share:6.1%}   ({report.wrong_cards}, of {report.cards} cards)")
    helped = report.help
    print(
        f"  left to a model        {helped.left:6d}   if there is one; a cheap one is asked first for {helped.asked},"
        f" and can point at what is meant in {helped.right_there}"
    )
    if report.unknown_operations:
        print(f"  no operation of ours   {', '.join(report.unknown_operations)}")
    print(f"  executed               {report.executed:6d}   nothing here can")
    print(f"  an answer takes        {report.answer_ms:6.1f}   ms of processor time, median; to be reached: 50")
    print("  by language            " + ", ".join(f"{name} {share:.0%}" for name, share in report.by_language.items()))
    print("\nif it answers only where it is so sure")
    show_rows(
        [
            {"share": f"{each.threshold:.1f}", "answers": f"{each.coverage:.0%}", "right": f"{each.right:.1%}"}
            for each in report.curve
        ]
    )
    if arguments.wrong:
        print()
        members = ("lang", "text", "wanted", "got", "kind", "share")
        show_rows([{name: getattr(each, name) for name in members} for each in report.wrong])
    return 0
