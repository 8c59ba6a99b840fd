"""How much conversations may be."""

from __future__ import annotations

from typing import Final

TURNS_MAX: Final = 200  # of one conversation; with 16 KiB each it has 3 MiB
SAID_CHARS_MAX: Final = 8_000
TITLE_CHARS_MAX: Final = 80
EVENTS_MAX: Final = 1_000  # of one turn; an answer by rules has 20
EVENTS_BYTES_MAX: Final = 256 * 1024  # of one turn, before they are packed
IN_STORE_BYTES_MAX: Final = 16 * 1024
"""Of a turn's packed events; longer ones are content. In a value they are base64 (21 KiB) beside 8,000 characters of up
to four bytes (32 KB): 53 of 64 KiB."""
CARDS_MAX: Final = 20  # whose fate a conversation tells, the newest
STORE_BYTES_MAX: Final = 12 * 1024 * 1024  # of all turns and checkpoints, of quotas of 16 MiB each
SHOWN_BYTES_MAX: Final = 2 * 1024 * 1024  # of one page of turns: eight of the longest
ATTEMPTS_MAX: Final = 8
SHELF_NAMES_MAX: Final = 64  # of one conversation: a graph keeps its newest steps, two or three items each
SHELF_ITEM_BYTES_MAX: Final = 32 * 1024  # in the store; longer ones are content
SHELF_BYTES_MAX: Final = 256 * 1024  # of one conversation, in the store
SHELVED_BYTES_MAX: Final = 4 * 1024 * 1024  # of one item: a message between processes has 16 MiB
