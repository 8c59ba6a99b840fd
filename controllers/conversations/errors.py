"""What conversations refuse."""

from __future__ import annotations

from runtime.errors import RuntimeFault


class ConversationFault(RuntimeFault):
    """Base of the package's errors."""

    code = "conversation_fault"


class ConversationNotFound(ConversationFault):
    """There is none of that id, or it is somebody else's: who asks learns no more than this."""

    code = "conversation_not_found"
    remedy = "List yours: aether conversation list; or begin a new one."

    def __init__(self, identity: str) -> None:
        super().__init__(f"you have no conversation {identity[:40]!r}")


class ConversationBusy(ConversationFault):
    """It is being answered."""

    code, retryable = "conversation_busy", True
    remedy = "Wait until the answer is there, or begin another conversation."

    def __init__(self, identity: str) -> None:
        super().__init__(f"conversation {identity} is being answered")


class ConversationFull(ConversationFault):
    """It has as many turns as a conversation may have."""

    code = "conversation_full"
    remedy = "Begin a new one; what was said stays where it is."

    def __init__(self, identity: str, turns_max: int) -> None:
        super().__init__(f"conversation {identity} has {turns_max} turns, which is the limit")


class ShelfFull(ConversationFault):
    """More than a conversation may keep of how far its graphs came."""

    code = "shelf_full"
    remedy = "Keep fewer steps of a graph, or begin a new conversation."


class NameInvalid(ConversationFault):
    """What a graph keeps has a name that none may have."""

    code = "shelf_name_invalid"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name[:80]!r} is no name of what a graph keeps")
