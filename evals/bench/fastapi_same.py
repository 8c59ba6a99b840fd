"""A bare FastAPI application that answers documents which it was given: what answering them costs at least.

`fastapi_same.py --listen HOST:PORT FILE…`: `/NAME` answers FILE's document from Python objects, as an application would
that has just made them. Prints "ready" once it takes requests, and ends when its standard input closes.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from evals.bench.fastapi_chain import ToldServer


def same(document: Any) -> Callable[[], Awaitable[Any]]:
    async def answer() -> Any:
        return document

    return answer


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True)
    parser.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    app = FastAPI()
    for path in arguments.files:
        app.add_api_route(f"/{path.stem}", same(json.loads(path.read_bytes())), methods=["GET", "PUT"])
    host, _, port = arguments.listen.rpartition(":")
    config = uvicorn.Config(app, host=host, port=int(port), loop="uvloop", log_level="error", access_log=False)
    server = ToldServer(config)

    def end() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end, daemon=True).start()
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
