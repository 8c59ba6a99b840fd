"""`aether chat`: a conversation. A card becomes a change only by a word of the person's, under the person's own key."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final, cast

import msgspec

from agent_api.cli.chat_history import earlier, show_between, show_conversation, show_earlier
from agent_api.cli.chat_input import LineReader, line_reader
from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.paint import painted
from agent_api.cli.proposal_view import show_pending, show_proposal
from agent_api.cli.table import Row
from agent_api.cli.turn_view import TurnView
from agent_api.client.client import Client, PendingChange
from agent_api.client.requests import ChangeOptions, new_key
from agent_api.client.talks import Verb
from runtime.errors import RuntimeFault

ENDS: Final = frozenset({"exit", "quit", "/exit", "/quit"})
WAIT_S: Final = 30.0
EVIDENCE_MAX: Final = 20
VERBS: Final[dict[str, Verb]] = {"/approve": "approve", "/reject": "reject", "/withdraw": "withdraw"}
CARD_ASKED: Final = "approve this card? a = make it, p = propose it to others, anything else = no: "
TEACH_ASKED: Final = "remember that this is what it means? y = yes, anything else = no: "
CHOICE_ASKED: Final = "number, or anything else for none: "

Ask = Callable[[str], str]
"""One line from the person; empty where there is no more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Where the input is no terminal, each line of it is said; cards are shown and not made."
    parser.add_argument("--list", action="store_true", help="show one's earlier conversations, and begin none")
    parser.add_argument("--resume", nargs="?", const="", metavar="ID", help="go on with that one, or with the newest")
    add_api_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    try:
        with client_of(arguments) as client:
            if arguments.list:
                show_earlier(earlier(client))
                return 0
            identity, number = _resumed(client, arguments.resume)
            at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
            reader = line_reader(client.talks.catalogue) if at_terminal else None
            Conversation(client, reader, identity, number).run(_typed(reader) if reader is not None else _piped())
    except RuntimeFault as fault:
        return report("chat", fault)
    return 0


def _resumed(client: Client, wanted: str | None) -> tuple[str, int]:
    """Its id and its last turn, once it is shown; empty where a new one is to begin. Raises ApiRefused."""
    if wanted is None:
        return "", 0
    newest = earlier(client, limit=1) if not wanted else ()
    identity = wanted or next((each.id for each in newest), "")
    return identity, show_conversation(client, identity) if identity else 0


def _typed(reader: LineReader) -> Iterator[str]:
    print("say what you want to know or to change; / for commands, /approve ID or /reject ID to decide; exit ends")
    yield from reader.lines("> ")


def _piped() -> Iterator[str]:
    yield from (line.strip() for line in sys.stdin)


class Conversation:
    """ask: None where nobody can be asked back. identity: of the one to go on with, whose turns up to `number` were
    shown; empty begins one."""

    def __init__(self, client: Client, ask: Ask | None, identity: str = "", number: int = 0) -> None:
        self._client = client
        self._ask = ask
        self._identity = identity
        self._number = number

    def run(self, lines: Iterator[str]) -> None:
        for line in lines:
            if line in ENDS:
                return
            if line and not self._decided_by_word(line):
                self.say(line)

    def _decided_by_word(self, line: str) -> bool:
        """`/approve ID`, `/reject ID WHY` and `/withdraw ID` are votes of the person's, and nothing that is said."""
        word, _, rest = line.partition(" ")
        verb = VERBS.get(word)
        identity, _, reason = rest.strip().partition(" ")
        if verb is None or not identity:
            return False
        try:
            proposal = self._client.decide(identity, verb, reason.strip())
        except RuntimeFault as fault:
            report("chat", fault)
        else:
            show_proposal({"proposal": msgspec.to_builtins(proposal)})
        return True

    def say(self, text: str) -> None:
        """What is refused is told; the conversation goes on."""
        try:
            while text:
                text = self._said(text)
        except RuntimeFault as fault:
            report("chat", fault)

    def _said(self, text: str) -> str:
        """Shows the answer; gives what the person chose to be meant."""
        evidence: list[str] = []
        asked: Row = {}
        view = TurnView()
        for each in self._client.say(text, conversation=self._identity):
            event = cast(Row, each.data)
            view.show(event)
            if event["type"] == "begun":
                self._begun(str(event["conversation"]), cast(int, event["number"]))
            elif event["type"] == "looked":
                evidence.append(_named(cast(Row, event["evidence"])))
            elif event["type"] in ("card", "choices"):
                asked = event
        if self._ask is None or not asked:
            return ""
        if asked["type"] == "choices":
            return self._chosen(self._ask, cast(Sequence[Row], asked["options"]), str(asked.get("teachable", "")))
        if not asked.get("refused"):
            self._decided(self._ask(CARD_ASKED).strip().lower(), asked, evidence)
        return ""

    def _begun(self, identity: str, number: int) -> None:
        if 0 < self._number < number - 1:
            show_between(self._client, identity, self._number, number)
        self._identity, self._number = identity, number

    def _chosen(self, ask: Ask, options: Sequence[Row], teachable: str) -> str:
        """The /command that means the chosen one; one that lacks something is said with it."""
        word = ask(CHOICE_ASKED).strip()
        if not word.isdecimal() or not 1 <= int(word) <= len(options):
            return ""
        option = options[int(word) - 1]
        if teachable and ask(TEACH_ASKED).strip().lower() == "y":
            self._teach(teachable, str(option["operation"]))
        text = str(option["say"])
        for member in cast(Sequence[str], option.get("missing", ())):
            value = ask(f"{member}: ").strip()
            if not value:
                return ""
            text += f" {member}={value}"
        return text

    def _teach(self, sentence: str, operation: str) -> None:
        options = ChangeOptions(reason="chosen in a conversation", idempotency_key=new_key())
        outcome = self._client.submit("phrase.teach", {"sentence": sentence, "operation": operation}, options)
        if isinstance(outcome, PendingChange):
            show_pending(outcome.proposed)

    def _decided(self, word: str, card: Row, evidence: list[str]) -> None:
        if word not in ("a", "p"):
            print("not made")
            return
        plan = cast(Row, card.get("plan") or {})
        options = ChangeOptions(
            propose=word == "p",
            reason="from a conversation",
            evidence=tuple(evidence[:EVIDENCE_MAX]),
            tainted=bool(card.get("tainted")),
            conversation=self._identity,
            card=str(card.get("id", "")),
            if_match=cast(int, plan.get("revision", 0)),
            idempotency_key=new_key(),
        )
        outcome = self._client.submit(str(card["operation"]), cast(dict[str, object], card["request"]), options)
        if isinstance(outcome, PendingChange):
            show_pending(outcome.proposed)
        else:
            print(f"{painted('made', 'green')}  {outcome.summary if hasattr(outcome, 'summary') else ''}")


def _named(evidence: Row) -> str:
    words = " ".join(f"{name}={value}" for name, value in cast(Row, evidence["request"]).items())
    return f"{evidence['operation']} {words} at revision {evidence['revision']}".replace("  ", " ")
