"""The zygote process: preloads, checks that it may fork, and forks workers.

Run by the supervisor as `python -P -m agent_api.assemble.zygote --data DIR --set NAME [--packages DIR]
[--preload a,b]`. Where it may not fork it executes itself anew with `--spawn REASON`: nothing preloaded, and each
worker a new interpreter.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from agent_api.assemble import worker
from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.words import words_told
from runtime.hosting.forking import thread_count
from runtime.hosting.instance import describe
from runtime.hosting.modules import hide_node_packages
from runtime.hosting.zygote import BecomeWorker, Zygote
from runtime.telemetry.log import open_log

MODULE: Final = "agent_api.assemble.zygote"
REASON_CHARACTERS_MAX: Final = 500


def main(argv: Sequence[str] | None = None) -> None:
    """packages: of the dependency set's own environment; empty for the node's. preload: modules to import before
    forking, with commas between. spawn: start workers as new processes, for this reason."""
    told = words_told("aether-zygote", argv, data=None, set="default", packages="", preload="", spawn="")
    packages, spawn = told["packages"], told["spawn"]
    layout = NodeLayout(Path(told["data"]))
    supervisor = os.getppid()
    if packages:
        hide_node_packages(packages, keep=worker.OUR_PACKAGES)
    if not spawn:
        reason = preload([name for name in told["preload"].split(",") if name])
        if reason:
            _start_over(told, reason)
    os.umask(0o077)
    log = open_log(layout.logs, f"zygote-{told['set']}", node=read_identity(layout.identity).node)
    log.info("zygote_started", mode="spawn" if spawn else "fork", reason=spawn)
    zygote = Zygote(
        layout,
        told["set"],
        supervisor=supervisor,
        spawn_reason=spawn,
        log=log,
    )
    gc.collect()
    gc.freeze()  # the collector would otherwise write to, and so copy, every page that the workers share
    try:
        zygote.run()
    except BecomeWorker as fork:
        spec = msgspec.convert(fork.spec, worker.WorkerStart)
        if spawn:
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


def _start_over(told: Mapping[str, str], reason: str) -> None:
    words = ["--data", told["data"], "--set", told["set"], "--spawn", reason[:REASON_CHARACTERS_MAX]]
    if told["packages"]:
        words += ["--packages", told["packages"]]
    os.execv(sys.executable, [sys.executable, "-P", "-m", MODULE, *words])  # noqa: S606  ourselves, no shell


if __name__ == "__main__":
    main()
