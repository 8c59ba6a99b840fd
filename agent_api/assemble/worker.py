"""The worker process: hosts the instances of one artifact version on one node.

Forked by a zygote, or run by one as `python -P -m agent_api.assemble.worker --data DIR --start JSON --ready FD`.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from agent_api.assemble.services import SERVICES
from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.words import words_told
from runtime.hosting.memory import limit_data
from runtime.hosting.modules import hide_node_packages, show_artifact
from runtime.hosting.worker import WorkerParts, seed_random, serve

MODULE: Final = "agent_api.assemble.worker"
OUR_PACKAGES: Final = ("agent_api", "infra")


class WorkerStart(msgspec.Struct, frozen=True, kw_only=True):
    """What the zygote passes on from a WorkerSpec."""

    worker: str
    sha256: str
    code: str = ""
    packages: str = ""
    memory_mb_max: int = 512


def work(layout: NodeLayout, start: WorkerStart, ready: int) -> NoReturn:
    """Runs the worker in this process, to its end."""
    gc.enable()
    os.umask(0o077)
    seed_random()
    limit_data(start.memory_mb_max)
    show_artifact(start.code)
    identity = read_identity(layout.identity)
    parts = WorkerParts(layout=layout, node=identity.node, worker=start.worker, services=SERVICES)
    os._exit(serve(parts, ready))  # threads that slice code left behind must not hold the process back


def execute(layout: NodeLayout, start: WorkerStart, ready: int) -> NoReturn:
    """Replaces this process by a new interpreter that runs the worker."""
    os.set_inheritable(ready, True)
    words = ["--data", str(layout.data), "--start", msgspec.json.encode(start).decode(), "--ready", str(ready)]
    os.execv(sys.executable, [sys.executable, "-P", "-m", MODULE, *words])  # noqa: S606  ourselves, no shell


def main(argv: Sequence[str] | None = None) -> None:
    told = words_told("aether-worker", argv, data=None, start=None, ready=None)
    start = msgspec.json.decode(told["start"], type=WorkerStart)
    if start.packages:
        hide_node_packages(start.packages, keep=OUR_PACKAGES)
    work(NodeLayout(Path(told["data"])), start, int(told["ready"]))


if __name__ == "__main__":
    main()
