"""`aether backup`: backups that playbooks wrote, read and proved. Needs no cluster."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from agent_api.cli.failure import report
from agent_api.cli.table import show_json
from runtime.errors import RuntimeFault


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, words in (
        ("verify", "read every file of a backup, and say what it holds"),
        ("prove", "begin a cluster of its own from a backup, compare it, and see its slices serve"),
    ):
        action = actions.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
        action.add_argument("directory", type=Path, metavar="DIR")
        action.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 as it should be, 1 not so or refused."""
    try:
        return _prove(arguments) if arguments.action == "prove" else _verify(arguments)
    except RuntimeFault as fault:
        return report(f"backup {arguments.action}", fault)


def _verify(arguments: argparse.Namespace) -> int:
    from runtime.backup.directory import read_backup

    manifest = read_backup(arguments.directory)
    if arguments.json:
        show_json(msgspec.to_builtins(manifest))
        return 0
    made = datetime.fromtimestamp(manifest.made_unix_ms / 1_000, UTC)
    print(
        f"{arguments.directory} is whole: snapshot {manifest.number} of cluster {manifest.cluster}\n"
        f"  made {made:%F %T} UTC\n"
        f"  revision {manifest.revision}, {manifest.keys} keys, {len(manifest.files)} files\n"
        f"  what people made of it: SHA-256 {manifest.desired_sha256}"
    )
    return 0


def _prove(arguments: argparse.Namespace) -> int:
    import anyio

    from evals.forge.backup_proof import ForgeProof

    proved = anyio.run(ForgeProof().prove, arguments.directory)
    if arguments.json:
        show_json(msgspec.to_builtins(proved))
    elif proved.equal:
        print(f"proved in {proved.took_ms / 1_000:.0f} s: restored it is equal, and {_named(proved.serving)} served")
    else:
        print(f"not proved: wanted {proved.wanted}, found {proved.found}; without answer: {_named(proved.silent)}")
    return 0 if proved.equal else 1


def _named(slices: tuple[str, ...]) -> str:
    return ", ".join(slices) or "no slice"
