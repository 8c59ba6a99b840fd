"""`aether store snapshot`: backups taken from a running member, read offline, and begun from."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from agent_api.cli.progress import ByteBar
from agent_api.cli.table import show_json
from runtime.consensus.backup import BackupUnwritable, Summary
from runtime.consensus.operator import Operator, member_of


async def save(operator: Operator, arguments: argparse.Namespace) -> int:
    from runtime.consensus import backup

    path: Path = arguments.file
    if path.exists():
        raise BackupUnwritable(f"{path} exists already and is not overwritten")
    at_least = await operator.newest_revision()
    member = member_of(await operator.status(), arguments.node)
    connection = await operator.connect(member.node, member.address)
    try:
        summary = await backup.save(connection, path, at_least=at_least, progress=ByteBar(shown=not arguments.json))
    finally:
        await connection.close()
    if arguments.json:
        show_json({"file": str(path), "member": member.node, **_fields(summary)})
    else:
        print(f"{path} holds the store of {member.node}, verified\n{_text(summary)}")
    return 0


def verify(arguments: argparse.Namespace) -> int:
    from runtime.consensus import backup

    summary = backup.verify(arguments.file)
    if arguments.json:
        show_json({"file": str(arguments.file), **_fields(summary)})
    else:
        print(f"{arguments.file} is whole\n{_text(summary)}")
    return 0


def restore(arguments: argparse.Namespace) -> int:
    from runtime.cluster.restoring import restore as restored_from

    restored = restored_from(arguments.file, arguments.data, from_cluster=arguments.from_cluster)
    if arguments.json:
        show_json(msgspec.to_builtins(restored))
        return 0
    print(f"the stores of {', '.join(restored.nodes)} begin from {arguments.file}\n{_text(restored.backup)}")
    print(f"  as cluster {restored.cluster}, from revision {restored.revision} on\n\nstart all of them:")
    print("\n".join(f"  aether node start --data {directory}" for directory in arguments.data))
    return 0


def _fields(summary: Summary) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(summary)
    return fields


def _text(summary: Summary) -> str:
    return (
        f"  cluster {summary.cluster}, revision {summary.revision}, {summary.keys} keys, {summary.leases} leases\n"
        f"  members {', '.join(summary.members)}; entry {summary.index} of term {summary.term}\n"
        f"  {summary.bytes:,} bytes, SHA-256 {summary.sha256}"
    )
