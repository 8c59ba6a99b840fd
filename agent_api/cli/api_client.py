"""The control API as the commands call it: plain HTTP, JSON answers, problems as sentences."""

from __future__ import annotations

import argparse
import http.client
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from runtime.cluster.identity import read_identity
from runtime.cluster.layout import NodeLayout
from runtime.cluster.ports import addresses_of, split_address
from runtime.errors import RuntimeFault

TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
ADDRESS_VARIABLE: Final = "AETHER_API"
KEY_VARIABLE: Final = "AETHER_ADMIN_KEY"


class ApiUnreachable(RuntimeFault):
    code, retryable = "api_unreachable", True
    remedy = "Check the address and that the node runs: aether node status."

    def __init__(self, address: str, cause: str) -> None:
        super().__init__(f"the API at {address} cannot be reached: {cause}")


class ApiRefused(RuntimeFault):
    """The API answered with a problem."""

    code = "api_refused"

    def __init__(self, status: int, detail: str, remedy: str, body: bytes) -> None:
        super().__init__(detail)
        self.status = status
        self.body = body
        self._remedy = remedy

    def problem(self) -> dict[str, object]:
        return {**super().problem(), "remedy": self._remedy}


class ApiClient:
    """One request, one connection: commands are short."""

    def __init__(self, address: str, *, admin_key: str = "") -> None:
        self.address = address.removeprefix("http://").rstrip("/")
        self._admin_key = admin_key

    def get(self, path: str) -> object:
        """The decoded JSON. Raises ApiUnreachable or ApiRefused, as all methods do."""
        return self.send("GET", path)

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        *,
        content_type: str = "application/json",
        content_length: int | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> object:
        raw = self.send_raw(
            method, path, body, content_type=content_type, content_length=content_length, timeout_s=timeout_s
        )
        return json.loads(raw) if raw else None

    def send_raw(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        *,
        content_type: str = "application/json",
        content_length: int | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> bytes:
        """The answer's bytes."""
        headers = {"content-type": content_type}
        length = len(body) if isinstance(body, bytes) else content_length
        if length is not None:
            headers["content-length"] = str(length)
        if self._admin_key:
            headers["authorization"] = f"Bearer {self._admin_key}"
        host, port = split_address(self.address)
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            answer = response.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ApiUnreachable(self.address, cause) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise _refused(response.status, response.reason, answer)
        return answer


def add_api_arguments(parser: argparse.ArgumentParser) -> None:
    """The options with which every command finds the API."""
    parser.add_argument(
        "--api", metavar="HOST:PORT", help=f"API address (default: {ADDRESS_VARIABLE}, else of the node in --data)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(),
        metavar="DIR",
        help=f"a node's directory, for its API address and the admin key (default: this one; key also {KEY_VARIABLE})",
    )


def client_for(data: Path | None, api: str | None) -> ApiClient:
    """The API of `--api` or AETHER_API, else of the node in `data`; the admin key of AETHER_ADMIN_KEY or `data`.

    Raises ApiUnreachable when nothing names an API.
    """
    layout = NodeLayout(data) if data is not None else None
    address = api or os.environ.get(ADDRESS_VARIABLE, "")
    if not address and layout is not None and layout.identity.exists():
        address = addresses_of(read_identity(layout.identity).listen).api
    if not address:
        raise ApiUnreachable("?", f"name it with --api HOST:PORT, --data DIR or {ADDRESS_VARIABLE}")
    key = os.environ.get(KEY_VARIABLE, "")
    if not key and layout is not None and layout.admin_key.exists():
        key = layout.admin_key.read_text().strip()
    return ApiClient(address, admin_key=key)


def _refused(status: int, reason: str, answer: bytes) -> ApiRefused:
    try:
        problem = json.loads(answer)
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    detail = str(problem.get("detail") or problem.get("title") or f"{status} {reason}")
    return ApiRefused(status, detail, str(problem.get("remedy", "")), answer)
