"""`aether playbook lint|schema|rehearse|offline`: what needs no cluster; the other verbs come from the catalogue."""

from __future__ import annotations

import argparse
from pathlib import Path

from agent_api.catalogue import make_catalogue
from agent_api.cli.connecting import add_api_arguments
from agent_api.cli.main import DONE, FAILED
from agent_api.cli.members import read_text
from agent_api.cli.table import show_json
from agent_api.client.errors import RequestInvalid
from playbooks.actions.shelf import builtin_actions
from playbooks.document.checking import Checker
from playbooks.document.reading import read
from playbooks.document.schema import document_schema
from playbooks.errors import PlaybookInvalid, Problem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    lint = verbs.add_parser("lint", help="check files; needs no cluster", description="Check playbooks, offline.")
    lint.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a playbook as TOML; - is the standard input")
    lint.add_argument("--json", action="store_true", help="print every mistake as JSON")
    text = "print the JSON Schema of playbooks"
    schema = verbs.add_parser("schema", help=text, description=text)
    schema.add_argument("--json", action="store_true", help="it is JSON in any case")
    text = "try a playbook in a throw-away Forge with the fault that it names"
    rehearse = verbs.add_parser("rehearse", help=text, description=text[:1].upper() + text[1:] + ".")
    rehearse.add_argument("playbook", metavar="FILE|ID", help="a file, or the id of a playbook of the package")
    rehearse.add_argument("--prove", action="store_true", help="note in the cluster that is named what came of it")
    rehearse.add_argument(
        "--ship", action="store_true", help="in a checkout: note it in the package, for its playbooks"
    )
    rehearse.add_argument("--state", type=Path, metavar="DIR", help="where the Forge keeps its state and logs")
    rehearse.add_argument("--json", action="store_true", help="print what came of it as JSON")
    add_api_arguments(rehearse)
    text = "carry a playbook out on this node alone, where quorum is gone"
    offline = verbs.add_parser("offline", help=text, description=text[:1].upper() + text[1:] + ".")
    offline.add_argument("playbook", metavar="FILE|ID", help="a file, or the id of a playbook of the package")
    offline.add_argument("--data", type=Path, required=True, metavar="DIR", help="the node's directory, with admin.key")
    offline.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter; repeatable")
    offline.add_argument("--json", action="store_true", help="print how it ended as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 1 where any file has a mistake, or a rehearsal did not pass."""
    if arguments.verb == "rehearse":
        from agent_api.cli.playbook_rehearse import rehearse

        return rehearse(arguments)
    if arguments.verb == "offline":
        from agent_api.cli.playbook_offline import offline

        return offline(arguments)
    if arguments.verb == "schema":
        show_json(document_schema())
        return DONE
    return _lint(arguments.files, as_json=arguments.json)


def _lint(files: list[Path], *, as_json: bool) -> int:
    checker = Checker(make_catalogue(), builtin_actions())
    found = {str(path): _problems(path, checker) for path in files}
    if as_json:
        rows = [{"file": name, **each._asdict()} for name, problems in found.items() for each in problems]
        show_json({"valid": not rows, "problems": rows})
    else:
        for name, problems in found.items():
            for each in problems:
                print(f"{name}:{each.line}: {each.key + ': ' if each.key else ''}{each.detail}\n    {each.remedy}")
            if not problems:
                print(f"{name}: no mistakes")
    return FAILED if any(found.values()) else DONE


def _problems(path: Path, checker: Checker) -> tuple[Problem, ...]:
    try:
        checker.check(read(read_text(path).encode()))
    except PlaybookInvalid as error:
        return error.problems
    except RequestInvalid as error:
        return (Problem(line=0, key="", detail=str(error), remedy="Name files of playbooks, as TOML."),)
    return ()
