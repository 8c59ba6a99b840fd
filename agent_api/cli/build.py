"""`aether build`: a wheel of slices from a project."""

from __future__ import annotations

import argparse
from pathlib import Path

from agent_api.cli.failure import report
from agent_api.cli.table import show_json
from runtime.errors import RuntimeFault


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", type=Path, metavar="PATH", nargs="?", default=Path(), help="default: this directory")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="where the wheel goes (default PATH/dist)")
    parser.add_argument("--with-deps", action="store_true", help="bundle the dependencies' wheels, for offline nodes")
    parser.add_argument(
        "--find-links", action="append", default=[], metavar="DIR", help="also take dependencies' wheels from here"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    from infra.artifacts.building import build

    output = arguments.output or arguments.project / "dist"
    try:
        built = build(arguments.project, output, with_deps=arguments.with_deps, find_links=tuple(arguments.find_links))
    except RuntimeFault as fault:
        return report("build", fault)
    if arguments.json:
        slices = [{"slice": each.name, "version": each.version} for each in built.slices]
        about = {"path": str(built.path), "name": built.name, "version": built.version, "sha256": built.sha256}
        show_json({**about, "slices": slices, "pins": list(built.pins)})
        return 0
    print(f"built {built.path}")
    print(f"  artifact  {built.name}=={built.version}")
    print(f"  sha256    {built.sha256}")
    for contract in built.slices:
        routes = sum(len(method.routes) for method in contract.methods)
        print(f"  slice     {contract.name} {contract.version} ({len(contract.methods)} methods, {routes} routes)")
    print(f"  pins      {len(built.pins)}" if built.pins else "  pins      none: runs in the node's own environment")
    return 0
