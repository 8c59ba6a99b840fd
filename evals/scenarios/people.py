"""Who takes part: an operator who asks and confirms, and two who approve what the gate wants approved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Final, cast

import anyio
import msgspec

from evals.forge.cluster_api import OVERRIDE, ClusterApi
from evals.forge.errors import ApiRefused, ApiUnreachable, ChangeWaits, ForgeFault
from evals.forge.forge import Forge
from evals.scenarios.told import Told
from runtime.operations.plan import Json

APPROVERS: Final = ("ben", "carla")
OPERATOR: Final = "anna"
ANSWER_S: Final = 240.0  # the process that answers may have to be started, on a machine that is busy
AGAIN_S: Final = 1.0


class ChatFailed(ForgeFault):
    """No answer, and not because of what was said."""

    code, retryable = "chat_failed", True


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What came of a card that was confirmed: made at once, or a proposal that waits; `refused` says why neither."""

    proposal: str = ""
    refused: str = ""


class Person:
    """One principal, by its own key."""

    def __init__(self, api: ClusterApi, key: str) -> None:
        self.api = api
        self.key = key

    async def say(self, text: str, *, conversation: str = "") -> Told:
        """In a conversation of its own if none is named; again while the process that answers is starting, as the API
        asks of its clients. Raises ChatFailed."""
        why = ""
        said = json.dumps({"text": text, **({"conversation": conversation} if conversation else {})}).encode()
        with anyio.move_on_after(ANSWER_S):
            while True:
                try:
                    return _told(text, await self.api.change("POST", "/v1/chat", said))
                except (ApiRefused, ApiUnreachable) as fault:
                    why = str(fault)
                    if not may_pass(fault):
                        break
                await anyio.sleep(AGAIN_S)
        raise ChatFailed(f"{text!r} was not answered within {ANSWER_S:g} s: {why}")

    async def confirm(self, card: Mapping[str, Json], *, propose: bool = False) -> Confirmed:
        """Sends the card's own request, as a client does for its person; propose: others shall decide it."""
        submit = cast(Mapping[str, Json], card["submit"])
        body = json.dumps(submit["body"]).encode()
        path = f"{submit['path']}{'?propose=true' if propose else ''}"
        try:
            await self.api.change(str(submit["method"]), path, body)
        except ChangeWaits as waits:
            return Confirmed(proposal=waits.proposal)
        except ApiRefused as refused:
            return Confirmed(refused=str(refused))
        return Confirmed()

    async def approve(self, proposal: str) -> str:
        """Empty, or why the vote was refused."""
        try:
            await self.api.change("POST", f"/v1/proposals/{proposal}/approve", b"{}")
        except ApiRefused as refused:
            return str(refused)
        return ""


def may_pass(fault: ApiRefused | ApiUnreachable) -> bool:
    """Whether another try may be answered otherwise."""
    return isinstance(fault, ApiUnreachable) or bool(fault.problem_body.get("retryable"))


def _told(text: str, found: object) -> Told:
    return Told(text, tuple(msgspec.convert(cast(dict[str, object], found)["events"], list[dict[str, Json]])))


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    operator: Person
    approvers: tuple[Person, ...]


async def gather(forge: Forge) -> People:
    """Made by the first admin; those of an earlier run get another key."""
    found = {name: await _person(forge, name) for name in (OPERATOR, *APPROVERS)}
    return People(operator=found[OPERATOR], approvers=tuple(found[each] for each in APPROVERS))


async def _person(forge: Forge, name: str) -> Person:
    role = "operator" if name == OPERATOR else "admin"
    body = json.dumps({"kind": "person", "role": role}).encode()
    await forge.api.change("PUT", f"/v1/principals/{name}?{OVERRIDE}", body)
    made = await forge.api.change(
        "POST", f"/v1/principals/{name}/keys?{OVERRIDE}", json.dumps({"name": f"scenarios-{token_hex(4)}"}).encode()
    )
    key = str(cast(dict[str, dict[str, object]], made)["result"]["key"])
    return Person(forge.api.spoken_to_with(key), key)
