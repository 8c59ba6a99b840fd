"""What is looked at from outside while a scenario is played: figures, alerts, what was changed, and by whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, cast

import msgspec

from evals.forge.forge import Forge
from evals.scenarios.shop import SLICES
from runtime.clock import SystemClock
from runtime.operations.plan import Json

QUIET_S: Final = 20
"""Seconds without an error: as far back as a diagnosis looks for what is so now, and some more."""
FAILED_S: Final = 60
STAGE: Final = "admin"
"""Who breaks and mends here; nobody who is asked acts in that name."""

Holds = Callable[[], Awaitable[bool]]
Row = dict[str, Json]


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """One change that was made: by whom, and which operation."""

    id: str
    actor: str
    kind: str
    operation: str
    subject: str


class Sights:
    def __init__(self, forge: Forge) -> None:
        self._forge = forge

    def condition(self, text: str) -> Holds | None:
        """None where Forge itself knows it."""
        match text.split():
            case ["slice", name, figure, "below", bound]:
                return partial(self._below, name, figure, float(bound))
            case ["slice", name, "serves", count]:
                return partial(self._serves, name, int(count))
            case ["slice", name, "failed"]:
                return partial(self._failed, name)
            case ["alert", name]:
                return partial(self._alerted, name)
            case ["no", "alert", name]:
                return partial(self._not_alerted, name)
            case ["node", name, ("cordoned" | "free") as wanted]:
                return partial(self._cordoned, name, wanted == "cordoned")
        return None

    async def alerts(self) -> list[Row]:
        """Those that last."""
        return await self._rows("/v1/alerts", "items")

    async def wanted(self, slice_name: str) -> int:
        rows = await self._rows("/v1/slices", "slices")
        return sum(int(cast(int, each["wanted"])) for each in rows if each["slice"] == slice_name)

    async def waiting(self) -> list[str]:
        """Ids of proposals that wait for votes."""
        return [str(each["id"]) for each in await self._rows("/v1/proposals?state=pending&limit=100", "items")]

    async def state_of(self, proposal: str) -> str:
        found = cast(Row, await self._forge.api.read(f"/v1/proposals/{proposal}"))
        return str(cast(Row, found["proposal"])["state"])

    async def source(self, blueprint: str) -> str:
        """The blueprint's text, as it holds."""
        return str(cast(Row, await self._forge.api.read(f"/v1/blueprints/{blueprint}"))["source"])

    async def newest(self) -> str:
        """Id of the newest record of the audit, as the leader has it: others may be late."""
        rows = await self._rows("/v1/audit?limit=1", "items", node=await self._forge.until_leader())
        return str(cast(Row, rows[0]["record"])["id"]) if rows else ""

    async def applied_since(self, newest: str) -> list[Applied]:
        """Every change that others than the stage made after that record, the oldest first."""
        found: list[Applied] = []
        for row in await self._rows("/v1/audit?limit=500", "items", node=await self._forge.until_leader()):
            record = cast(Row, row["record"])
            if record["id"] == newest:
                break
            actor = cast(Row, record["actor"])
            if record["kind"] in ("applied", "break_glass", "rolled_back") and actor["id"] != STAGE:
                found.append(
                    Applied(
                        id=str(record["id"]),
                        actor=str(actor["id"]),
                        kind=str(actor.get("kind", "")),
                        operation=str(record["operation"]),
                        subject=str(record.get("subject", "")),
                    )
                )
        return found[::-1]

    async def quiet(self) -> bool:
        """No slice of the shop had an error or refused a call lately, no call failed anywhere, and no alert lasts."""
        for name in SLICES:
            seconds = await self._seconds(name)
            if any(
                sum(each or 0.0 for each in seconds.get(series, ())[-QUIET_S:]) for series in ("errors", "rejected")
            ):
                return False
        return not await self._failed_calls() and not [
            each for each in await self.alerts() if each["name"] not in SLOW_TO_END
        ]

    async def _failed_calls(self) -> bool:
        """In the time that a diagnosis looks back at: what one scenario broke is not to be found in the next."""
        since = SystemClock().unix_ms() - FAILED_S * 1_000
        return bool(await self._rows(f"/v1/traces?limit=1&since_ms={since}&text=%22failed%22:true", "traces"))

    async def left_behind(self) -> list[tuple[str, str]]:
        """What scenarios or answers may have left, as requests that take it back."""
        found: list[tuple[str, str]] = []
        for row in await self._rows("/v1/nodes", "nodes"):
            if row.get("cordoned") or row.get("leaving"):
                verb = "activate" if row.get("leaving") else "uncordon"
                found.append(("POST", f"/v1/nodes/{row['node']}/{verb}"))
        for kind in ("freezes", "incidents"):
            rows = await self._rows(f"/v1/{kind}", "items")
            found += [("DELETE", f"/v1/{kind}/{row['subject']}") for row in rows]
        for row in await self._rows("/v1/controller", "items"):
            if row.get("pin"):
                found.append(("DELETE", f"/v1/slices/{row['slice']}/pin"))
        return found

    async def _below(self, name: str, figure: str, bound: float) -> bool:
        values = [each for each in (await self._seconds(name)).get(figure, ())[-10:] if each is not None]
        return bool(values) and sum(values) / len(values) < bound

    async def _serves(self, name: str, count: int) -> bool:
        rows = await self._rows("/v1/slices", "slices")
        return sum(int(cast(int, each["serving"])) for each in rows if each["slice"] == name) == count

    async def _failed(self, name: str) -> bool:
        rows = await self._rows("/v1/slices", "slices")
        return any(each["slice"] == name and each["failed"] for each in rows)

    async def _alerted(self, name: str) -> bool:
        return any(each["name"] == name for each in await self.alerts())

    async def _not_alerted(self, name: str) -> bool:
        return not await self._alerted(name)

    async def _cordoned(self, name: str, wanted: bool) -> bool:
        rows = await self._rows("/v1/nodes", "nodes")
        return any(each["node"] == name and bool(each.get("cordoned")) == wanted for each in rows)

    async def _seconds(self, name: str) -> dict[str, list[float | None]]:
        found = cast(Row, await self._forge.api.read(f"/v1/slices/{name}/window"))
        return msgspec.convert(found["seconds"], dict[str, list[float | None]])

    async def _rows(self, path: str, member: str, *, node: str = "") -> list[Row]:
        found = cast(Row, await self._forge.api.read(path, node=node))
        return msgspec.convert(found[member], list[Row])


SLOW_TO_END: Final = frozenset(
    {"ForecastOverCapacity", "ErrorBudgetBurns", "ErrorBudgetBurnsFast", "ErrorBudgetBurnsSlowly", "NodeMemoryHigh"}
)
"""They look at hours, or at this machine: a scenario before may have left them."""
