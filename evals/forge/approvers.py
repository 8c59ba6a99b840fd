"""People of a trial, who agree to everything: what is tried is the cluster, not their judgement."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Self

import msgspec

from evals.forge.cluster_api import OVERRIDE, ClusterApi
from evals.forge.errors import ApiRefused, ApiUnreachable
from runtime.operations.plan import Json

NAMES: Final = ("approver-1", "approver-2")


@dataclass(frozen=True, slots=True)
class Approvers:
    """Two admins: no change waits for more."""

    voices: tuple[ClusterApi, ...]

    @classmethod
    async def of(cls, api: ClusterApi) -> Self:
        return cls(tuple([await _person(api, name) for name in NAMES]))

    async def approve(self, proposal: str) -> bool:
        """All of them, as long as it waits: a vote that is one too many is refused. False where nobody was heard, as
        while the leader changes."""
        for voice in self.voices:
            try:
                await voice.change("POST", f"/v1/proposals/{proposal}/approve", b"{}")
            except ApiRefused as refusal:
                return refusal.problem_body.get("retryable") is not True
            except ApiUnreachable:
                return False
        return True


async def _person(api: ClusterApi, name: str) -> ClusterApi:
    await _change(api, "PUT", f"/v1/principals/{name}", {"kind": "person", "role": "admin"})
    made = await _change(api, "POST", f"/v1/principals/{name}/keys", {"name": "trial"})
    return api.spoken_to_with(str(made["key"]))


async def _change(api: ClusterApi, method: str, path: str, members: dict[str, Json]) -> dict[str, Json]:
    found = await api.change(method, f"{path}?{OVERRIDE}", json.dumps(members).encode())
    return msgspec.convert(found, dict[str, Json])
