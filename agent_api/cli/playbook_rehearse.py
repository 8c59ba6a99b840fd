"""`aether playbook rehearse FILE|ID`: a Forge of its own, the fault, the run, and what came of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import anyio
import msgspec

from agent_api.catalogue import make_catalogue
from agent_api.cli.connecting import client_of
from agent_api.cli.failure import report
from agent_api.cli.forge import ROOT
from agent_api.cli.main import DONE, FAILED
from agent_api.cli.paint import plain
from agent_api.cli.table import show_json
from agent_api.client.requests import ChangeOptions
from evals.forge.rehearsal import ForgeRehearsal
from playbooks.actions.shelf import builtin_actions
from playbooks.document.checking import Checker
from playbooks.document.reading import Source, read
from playbooks.errors import PlaybookUnknown
from playbooks.library import library
from playbooks.proof import PlaybookProof, ship
from playbooks.rehearsal import Rehearsed
from runtime.clock import SystemClock
from runtime.errors import RuntimeFault
from runtime.spelling import nearest


def rehearse(arguments: argparse.Namespace) -> int:
    try:
        source = source_of(arguments.playbook)
        Checker(make_catalogue(), builtin_actions()).check(source)
        stage = ForgeRehearsal(examples=ROOT / "examples", state=arguments.state)
        told = _silent if arguments.json else _tell
        found = anyio.run(stage.rehearse, source, told, backend_options={"use_uvloop": True})
        if arguments.ship:
            ship(_shipped(found))
        if arguments.prove:
            with client_of(arguments) as client:
                client.submit("playbook.prove", _proof(found), ChangeOptions())
    except RuntimeFault as fault:
        return report("playbook rehearse", fault)
    _show(found, as_json=arguments.json)
    return DONE if found.passed else FAILED


def source_of(word: str) -> Source:
    """Raises PlaybookInvalid, PlaybookUnknown."""
    path = Path(word)
    if path.suffix == ".toml" or path.exists():
        return read(path.read_bytes())
    known = {each.document.playbook.id: each for each in library()}
    if word not in known:
        raise PlaybookUnknown(f"there is no file and no playbook of the package {word[:63]!r}{nearest(word, known)}")
    return known[word]


def _proof(found: Rehearsed) -> dict[str, object]:
    return {**msgspec.to_builtins(found), "passed": found.passed}


def _shipped(found: Rehearsed) -> PlaybookProof:
    return msgspec.convert({**_proof(found), "at_unix_ms": SystemClock().unix_ms()}, PlaybookProof)


def _show(found: Rehearsed, *, as_json: bool) -> None:
    if as_json:
        show_json(_proof(found))
        return
    verdict = "passed" if found.passed else f"failed: {found.detail}"
    print(f"{found.playbook} {found.version} ({found.sha256[:12]}) {plain(verdict)}")
    print(f"its run took {found.run_ms / 1_000:.1f} s, the whole rehearsal {found.took_ms / 1_000:.0f} s")


def _tell(line: str) -> None:
    print(f"  {plain(line)}", file=sys.stderr)


def _silent(_line: str) -> None:
    return
