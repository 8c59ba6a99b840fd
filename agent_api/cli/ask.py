"""`aether ask "…"`: one sentence, one answer; a change is shown as a card, and nothing is made of it."""

from __future__ import annotations

import argparse
from typing import cast

from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.table import Row, show_json
from agent_api.cli.turn_view import show_event
from controllers.conversations.telling import PASSING
from runtime.errors import RuntimeFault


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="+", metavar="TEXT", help="a sentence, or a /command")
    parser.add_argument("--conversation", metavar="ID", default="", help="say it in this one, not in a new one")
    parser.add_argument("--json", action="store_true", help="print the answer's events as JSON")
    add_api_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 answered, 1 refused or failed."""
    text = " ".join(arguments.text)
    events: list[Row] = []
    try:
        with client_of(arguments) as client:
            for each in client.say(text, conversation=arguments.conversation):
                event = cast(Row, each.data)
                if event["type"] not in PASSING:
                    events.append(event)
                if not arguments.json:
                    show_event(event)
    except RuntimeFault as fault:
        return report("ask", fault)
    if arguments.json:
        show_json(document_of(text, events))
    return 1 if any(each["type"] == "failed" for each in events) else 0


def document_of(text: str, events: list[Row]) -> Row:
    """What was said, in which conversation, what kind of answer it was, who answered, and every event."""
    done = next((each for each in events if each["type"] == "done"), {})
    begun = next((each for each in events if each["type"] == "begun"), {})
    return {
        "text": text,
        "conversation": begun.get("conversation", ""),
        "kind": done.get("kind", ""),
        "answered_by": done.get("answered_by", ""),
        "events": events,
    }
