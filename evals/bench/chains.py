"""The rows that are not ours: bare frames, FastAPI with two HTTP clients, Ray Serve where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
from anyio.abc import Process

from evals.bench.peers import PeerFailed, Peers, pss_mb, until_says
from evals.bench.rows import Drive, Row, caller_drive, http_drive
from evals.forge.processes import family

RAY_ATTEMPTS = 10
BARE = "evals.bench.bare_chain"
FASTAPI = "evals.bench.fastapi_chain"


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def finished(name: str, what: str, drive: Drive, processes: Sequence[Process], began: float) -> Row:
    """The row, after its first answer."""
    await drive(0.05)
    pids = [process.pid for process in processes]
    cold_start_s = asyncio.get_running_loop().time() - began
    return Row(name=name, what=what, drive=drive, processes=pids, pss_mb=pss_mb(pids), cold_start_s=cold_start_s)


async def bare_local(peers: Peers, directory: Path) -> Row:
    began = asyncio.get_running_loop().time()
    back_socket, address = str(directory / "bare-local.sock"), free_address()
    back = await peers.start(BARE, "back-json", "--listen", back_socket)
    front = await peers.start(BARE, "front", "--listen", address, "--onward", back_socket)
    what = "bare uvicorn, frames, handler"
    return await finished("bare_chain", what, http_drive(address), (front, back), began)


async def bare_remote(peers: Peers, directory: Path, tls: Path) -> Row:
    """Mutual TLS between front and relay, as between two gateways."""
    began = asyncio.get_running_loop().time()
    back_socket, address, middle = str(directory / "bare-remote.sock"), free_address(), free_address()
    back = await peers.start(BARE, "back-json", "--listen", back_socket)
    relay = await peers.start(BARE, "relay", "--listen", middle, "--onward", back_socket, "--tls", str(tls))
    front = await peers.start(BARE, "front", "--listen", address, "--onward", middle, "--tls", str(tls))
    what = "bare uvicorn, mTLS frames, relay, handler"
    return await finished("bare_remote_chain", what, http_drive(address), (front, relay, back), began)


async def bare_call(peers: Peers, directory: Path) -> Row:
    """A handler that calls another one, through the front as a slice does through its gateway."""
    began = asyncio.get_running_loop().time()
    back_socket, middle_socket, relay = (
        str(directory / f"bare-call-{name}.sock") for name in ("back", "middle", "relay")
    )
    address = free_address()
    back = await peers.start(BARE, "back-msgpack", "--listen", back_socket)
    words = ("--listen", address, "--onward", middle_socket, "--relay", relay, "--behind", back_socket)
    front = await peers.start(BARE, "front", *words, says="relays")
    middle = await peers.start(BARE, "middle", "--listen", middle_socket, "--onward", relay)
    await until_says(front, "ready", "front")
    what = "bare uvicorn, frames, handler, relay, handler"
    return await finished("bare_call_chain", what, http_drive(address), (front, middle, back), began)


async def bare_inner_call(peers: Peers, directory: Path) -> Row:
    """The call alone, without the HTTP request that leads to it."""
    began = asyncio.get_running_loop().time()
    back_socket, middle = str(directory / "bare-back.sock"), str(directory / "bare-middle.sock")
    back = await peers.start(BARE, "back-msgpack", "--listen", back_socket)
    relay = await peers.start(BARE, "relay", "--listen", middle, "--onward", back_socket)
    caller = await peers.start(BARE, "caller", "--onward", middle)
    what = "bare caller, frames, relay, handler"
    return await finished("bare_inner_call", what, caller_drive(caller), (caller, relay, back), began)


async def fastapi(peers: Peers, client: str) -> Row:
    began = asyncio.get_running_loop().time()
    behind, address = free_address(), free_address()
    back = await peers.start(FASTAPI, "back", "--listen", behind)
    onward = f"http://{behind}/bench/orders"
    front = await peers.start(FASTAPI, "front", "--listen", address, "--onward", onward, "--client", client)
    what = f"FastAPI, {client}, FastAPI"
    return await finished(f"fastapi_{client}", what, http_drive(address), (front, back), began)


def ray_is_here(python: str) -> bool:
    """Whether that Python, ours by default, can import Ray Serve."""
    if not python:
        return importlib.util.find_spec("ray") is not None
    return subprocess.run([python, "-c", "import ray.serve"], capture_output=True, check=False).returncode == 0


async def ray(peers: Peers, mode: str, python: str) -> Row:
    """`mode` is "default" or "haproxy", which is Ray's fastest. Every process of Ray counts."""
    began = asyncio.get_running_loop().time()
    address = free_address()
    script = str(Path(__file__).with_name("ray_chain.py"))
    process = await peers.start_script(script, "--listen", address, "--mode", mode, python=python or sys.executable)
    drive = http_drive(address)
    await _answers(drive)
    pids = family(process.pid)
    cold_start_s = asyncio.get_running_loop().time() - began
    what = f"Ray Serve, {mode}: proxy, deployment"
    return Row(
        name=f"ray_{mode}", what=what, drive=drive, processes=pids, pss_mb=pss_mb(pids), cold_start_s=cold_start_s
    )


async def _answers(drive: Drive) -> None:
    """HAProxy is started again while Ray makes its routes, and closes connections then."""
    for attempt in range(RAY_ATTEMPTS):
        try:
            await drive(0.2)
            return
        except PeerFailed:
            if attempt == RAY_ATTEMPTS - 1:
                raise
            await anyio.sleep(1.0)
