"""docs/guides/alerts.md: every command that changes something does so, one after the other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from agent_api.catalogue import make_catalogue
from agent_api.cli.grammar import words_of
from agent_api.cli.members import as_request, read_members
from agent_api.cli.operation import parser_of
from controllers.gate.making import MakingGate
from runtime.operations.actor import Role
from runtime.operations.dispatch import Applied, Submission
from runtime.state import keys
from runtime.telemetry.alerts.records import Alert
from tests.unit.gate_parts import GateOnHand, person

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "alerts.md"
FINGERPRINT = "a" * 16


def commands() -> list[list[str]]:
    text = GUIDE.read_text().replace("\\\n", " ")
    lines = re.findall(r"(?:^|`)(aether alert (?:set|unset|ack|silence|unsilence)[^`\n]*)", text, re.MULTILINE)
    return [shlex.split(line.replace("FINGERPRINT", FINGERPRINT)) for line in lines]


@pytest.mark.anyio
async def test_every_change_that_the_guide_shows_is_made() -> None:
    hand = GateOnHand()
    await hand.populate()
    alert = Alert(fingerprint=FINGERPRINT, group_key="g", labels={}, starts_unix_ms=1, fired_unix_ms=1)
    await hand.put(keys.alert(FINGERPRINT), alert)
    operations = {words_of(each.name): each for each in make_catalogue().changes()}
    gate = MakingGate(hand.gate, hand.clock)  # type: ignore[arg-type]  # votes are asked elsewhere
    assert len(commands()) > 10
    for _, noun, verb, *words in commands():
        operation = operations[f"{noun} {verb}"]
        request = as_request(operation, read_members(operation, parser_of(operation).parse_args(words)))
        asked = Submission(operation=operation.name, request=request, actor=person("cleo", Role.ADMIN))
        found = await gate.submit(asked)
        assert isinstance(found, Applied), (words, found)
