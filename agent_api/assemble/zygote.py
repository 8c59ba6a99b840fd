"""The zygote process: preloads, checks that it may fork, and forks workers.

Run by the supervisor as `python -P -m agent_api.assemble.zygote --data DIR --set NAME [--packages DIR]
[--preload a,b]`. Where it may not fork it executes itself anew with `--spawn REASON`: nothing preloaded, and each
worker a new interpreter.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from agent_api.assemble import worker
from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.hosting.forking import thread_count
from runtime.hosting.instance import describe
from runtime.hosting.modules import hide_node_packages
from runtime.hosting.zygote import BecomeWorker, Zygote
from runtime.telemetry.log import open_log

MODULE: Final = "agent_api.assemble.zygote"
REASON_CHARACTERS_MAX: Final = 500


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    layout = NodeLayout(arguments.data)
    supervisor = os.getppid()
    if arguments.packages:
        hide_node_packages(arguments.packages, keep=worker.OUR_PACKAGES)
    if not arguments.spawn:
        reason = preload([name for name in arguments.preload.split(",") if name])
        if reason:
            _start_over(arguments, reason)
    os.umask(0o077)
    log = open_log(layout.logs, f"zygote-{arguments.set}", node=read_identity(layout.identity).node)
    log.info("zygote_started", mode="spawn" if arguments.spawn else "fork", reason=arguments.spawn)
    zygote = Zygote(
        layout,
        arguments.set,
        supervisor=supervisor,
        spawn_reason=arguments.spawn,
        log=log,
    )
    gc.collect()
    gc.freeze()  # the collector would otherwise write to, and so copy, every page that the workers share
    try:
        zygote.run()
    except BecomeWorker as fork:
        spec = msgspec.convert(fork.spec, worker.WorkerStart)
        if arguments.spawn:
            worker.execute(layout, spec, fork.ready)
        worker.work(layout, spec, fork.ready)


def preload(names: Sequence[str]) -> str:
    """Imports each. Returns why this process must not fork, or nothing."""
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:  # a package's import runs its code, which may even exit
            return f"importing {name} raised {describe(error)}"
    threads = thread_count()
    if threads > 1:
        return f"{threads - 1} more threads run after importing {', '.join(names)}; a fork would lose them"
    return ""


def _start_over(arguments: argparse.Namespace, reason: str) -> None:
    words = ["--data", str(arguments.data), "--set", arguments.set, "--spawn", reason[:REASON_CHARACTERS_MAX]]
    if arguments.packages:
        words += ["--packages", arguments.packages]
    os.execv(sys.executable, [sys.executable, "-P", "-m", MODULE, *words])  # noqa: S606  ourselves, no shell


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="aether-zygote", description="forks the workers of one dependency set")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", default="default", help="the dependency set's name")
    parser.add_argument("--packages", default="", help="its site-packages; empty for the node's own environment")
    parser.add_argument("--preload", default="", help="modules to import before forking, with commas between")
    parser.add_argument("--spawn", default="", help="start workers as new processes, for this reason")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
