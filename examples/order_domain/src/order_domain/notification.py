"""The notification slice: what customers are told."""

from __future__ import annotations

from infra.database import Database
from order_domain.model import Message
from runtime.sdk import get, idempotent, slice_


@slice_(name="notification", version="1.0.0")
class Notification:
    """Messages by customer, each told once."""

    def __init__(self, database: Database) -> None:
        self._messages = database.collection("messages", Message, indexes=("customer",))

    @idempotent
    async def tell(self, message: Message) -> None:
        """The same message id again is the same message."""
        await self._messages.put(message.message_id, message)

    @idempotent
    @get("/customers/{customer}/messages")
    async def messages(self, customer: str) -> list[Message]:
        """The customer's messages, at most a hundred."""
        return [found.value for found in await self._messages.query("customer", customer, limit=100)]
