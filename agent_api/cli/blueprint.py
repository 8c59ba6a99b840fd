"""`aether blueprint apply|validate FILE`; the other verbs come from the catalogue."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

from agent_api.cli.change import add_change_arguments, carry_out
from agent_api.cli.connecting import add_api_arguments, client_of
from agent_api.cli.failure import report
from agent_api.cli.main import DONE, FAILED
from agent_api.cli.members import read_text
from agent_api.cli.query import answered
from agent_api.cli.table import show_json
from runtime.deployment.blueprint import parse
from runtime.errors import RuntimeFault


class BlueprintRefused(RuntimeFault):
    """What the API found wrong with a blueprint."""

    def __init__(self, code: str, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.code = code  # type: ignore[misc]  # each has its own
        self.remedy = remedy  # type: ignore[misc]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in (("apply", "make the cluster as the file says"), ("validate", "check the file, change nothing")):
        each = verbs.add_parser(verb, help=text, description=text)
        each.add_argument("file", type=Path, metavar="FILE", help="the blueprint as TOML; - is the standard input")
        each.add_argument("--json", action="store_true", help="print the API's answer as JSON")
        if verb == "apply":
            add_change_arguments(each)
        add_api_arguments(each)


def run(arguments: argparse.Namespace) -> int:
    try:
        source = read_text(arguments.file)
        record = parse(source.encode())
        if arguments.verb == "validate":
            return _validate(arguments, source)
        members: dict[str, object] = {"blueprint": record.blueprint, "source": source}
        with client_of(arguments) as client:
            return carry_out(client, client.talks.catalogue.change("blueprint.apply"), members, arguments)
    except RuntimeFault as fault:
        return report("blueprint", fault)


def _validate(arguments: argparse.Namespace, source: str) -> int:
    with client_of(arguments) as client:
        found = answered(client, client.talks.query("blueprint.validate"), {"source": source})
    if arguments.json:
        show_json(found)
        return DONE if found["valid"] else FAILED
    if not found["valid"]:
        raise BlueprintRefused(*(cast(str, found[name]) for name in ("code", "detail", "remedy")))
    print(f"{arguments.file} is valid: {found['summary']}")
    return DONE
