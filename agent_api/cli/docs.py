"""`aether docs`: the pages of the reference and the client's types, from what declares them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from agent_api.catalogue import make_catalogue
from agent_api.cli.failure import report
from agent_api.cli.reference_alerts import alerts_page
from agent_api.cli.reference_cli import cli_page
from agent_api.cli.reference_operations import operations_page
from agent_api.cli.stub import Stub
from playbooks.actions.shelf import builtin_actions
from playbooks.document.checking import Checker
from playbooks.document.runbook import index_page, runbook_page
from playbooks.document.schema import document_schema
from playbooks.library import library
from playbooks.proof import shipped
from runtime.config.reference import settings_page
from runtime.errors import RuntimeFault
from runtime.state.quotas import limits_page

ROOT: Final = Path(__file__).resolve().parents[2]


class NoCheckout(RuntimeFault):
    code = "no_checkout"
    remedy = "Run it in a checkout of Aether: the reference is part of the source."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; fail and name the files that are stale")


def run(arguments: argparse.Namespace) -> int:
    if not (ROOT / "docs" / "reference").is_dir():
        return report("docs", NoCheckout("docs/reference is not here"))
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if arguments.check:
        for path in stale:
            print(f"stale: {path.relative_to(ROOT)}; write it anew: aether docs", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(pages()[path])
        print(f"wrote {path.relative_to(ROOT)}")
    if not stale:
        print("everything is as the source says")
    return 0


def pages() -> dict[Path, str]:
    """What each generated file should hold."""
    catalogue = make_catalogue()
    return {
        ROOT / "docs" / "reference" / "operations.md": operations_page(catalogue),
        ROOT / "docs" / "reference" / "cli.md": cli_page(catalogue),
        ROOT / "docs" / "reference" / "settings.md": settings_page(),
        ROOT / "docs" / "reference" / "limits.md": limits_page(),
        ROOT / "docs" / "reference" / "playbook.schema.json": json.dumps(document_schema(), indent=2) + "\n",
        ROOT / "docs" / "reference" / "alerts.md": alerts_page(),
        ROOT / "agent_api" / "client" / "operations.pyi": Stub(catalogue).text(),
        **_runbooks(Checker(catalogue, builtin_actions())),
    }


def _runbooks(checker: Checker) -> dict[Path, str]:
    directory, proofs = ROOT / "docs" / "runbooks", shipped()
    pages = {
        directory / f"{each.document.playbook.id}.md": runbook_page(each, checker, proofs.get(each.sha256))
        for each in library()
    }
    return {directory / "README.md": index_page(library(), proofs), **pages}
