"""The benchmark's caller: calls bench-orders as fast as it answers, and says how fast. Copied into a project."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Protocol

import msgspec

from runtime.sdk import deadline, post, slice_, use


class Item(msgspec.Struct, frozen=True):
    sku: str
    quantity: int
    unit_cents: int


class PlaceOrder(msgspec.Struct, frozen=True):
    order_id: str
    customer: str
    items: tuple[Item, ...]
    note: str = ""


class Placed(msgspec.Struct, frozen=True):
    order_id: str
    total_cents: int
    lines: int


class Orders(Protocol):
    async def place(self, order: PlaceOrder) -> Placed: ...


class Run(msgspec.Struct, frozen=True):
    order: PlaceOrder
    seconds: float
    callers: int


class Ran(msgspec.Struct, frozen=True):
    requests: int
    seconds: float
    p50_us: int
    p99_us: int


@slice_(name="bench-caller", version="1.0.0")
class BenchCaller:
    """Drives another slice from within the cluster."""

    def __init__(self, orders: Annotated[Orders, use("bench-orders")]) -> None:
        self._orders = orders

    @post("/bench/front")
    async def pass_on(self, order: PlaceOrder) -> Placed:
        return await self._orders.place(order)

    @deadline(ms=120_000)
    @post("/bench/calls")
    async def drive(self, run: Run) -> Ran:
        times: list[float] = []
        began = time.perf_counter()
        await asyncio.gather(*(self._call(run.order, began + run.seconds, times) for _ in range(run.callers)))
        taken = time.perf_counter() - began
        times.sort()
        p50, p99 = (int(times[int(len(times) * share)] * 1e6) for share in (0.5, 0.99))
        return Ran(len(times), taken, p50, p99)

    async def _call(self, order: PlaceOrder, end: float, times: list[float]) -> None:
        while (begun := time.perf_counter()) < end:
            await self._orders.place(order)
            times.append(time.perf_counter() - begun)
