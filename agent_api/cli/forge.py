"""`aether forge`: a cluster in a box, with applications, load and things to break."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from agent_api.cli.failure import report
from agent_api.cli.listening import port_of
from agent_api.cli.parser import seconds
from runtime.errors import RuntimeFault

PROVIDED_MAX: Final = 12  # a machine that runs a Forge runs no more
SHAPES: Final = ("constant", "ramp", "spike")
EXAMPLES: Final = ("url_shortener", "order_domain")
ROOT: Final = Path(__file__).resolve().parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=int, default=3, metavar="N", help="how many nodes (default 3)")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="how many of them have no vote (default 0)")
    parser.add_argument(
        "--app", action="append", type=Path, default=[], metavar="PATH", help="project to deploy; default both examples"
    )
    parser.add_argument("--load", choices=SHAPES, help="send requests to the applications")
    parser.add_argument("--rps", type=float, default=100.0, metavar="N", help="requests a second at most (default 100)")
    parser.add_argument(
        "--request", action="append", default=[], metavar="'GET /PATH'", help="what to ask for; default the examples"
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="where the nodes live; kept, and started again")
    parser.add_argument("--keep", action="store_true", help="keep the directory also when --state does not name it")
    parser.add_argument("--port", type=port_of, default=0, metavar="N", help="first port; default any free ones")
    parser.add_argument("--partitions", action="store_true", help="put a proxy between the nodes, to cut links")
    parser.add_argument(
        "--provide",
        type=_provided,
        default=0,
        metavar="N",
        help="how many nodes more the cluster may ask for (default 0)",
    )
    parser.add_argument("--duration", type=seconds, metavar="S", help="end after that many seconds")
    parser.add_argument("--json", action="store_true", help="one JSON object a line: started, status, ended")


def _provided(text: str) -> int:
    if not text.isdigit() or int(text) > PROVIDED_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {PROVIDED_MAX}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Exit codes: 0 ended well, also by Ctrl-C; 1 refused or failed."""
    import anyio

    from agent_api.cli.forge_session import Session

    apps = arguments.app or [ROOT / "examples" / name for name in EXAMPLES]
    try:
        anyio.run(Session(arguments, apps).run, backend_options={"use_uvloop": True})
    except RuntimeFault as fault:
        return report("forge", fault)
    except BaseExceptionGroup as group:
        faults, others = group.split(RuntimeFault)
        if faults is None or others is not None:
            raise
        return max(report("forge", fault) for fault in _leaves(faults))
    return 0


def _leaves(group: BaseExceptionGroup[RuntimeFault]) -> list[RuntimeFault]:
    found: list[RuntimeFault] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
