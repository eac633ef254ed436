"""What the loop asks of a mode, and how much one turn may bring to it."""

from collections.abc import Callable
from dataclasses import dataclass
from sys import maxsize
from typing import Protocol

from hub.session.client import Client
from hub.session.commons import Audience


@dataclass(frozen=True, kw_only=True)
class Intake:
    """How much one turn may bring."""

    room_bytes: int
    """Into one room, between two starts of its pass: an eighth of the lag that is allowed, or what a send
    buffer takes at once."""
    client_lines: int = 512
    """From one client in chat, where each line costs work of its own."""
    command_lines: int = 16
    """A command costs as much as so many lines."""
    line_bytes: int = 512
    """A line of chat costs as much as reading so many bytes."""
    outbox_bytes: int = 256 * 1024
    """Outbox beyond which a client is not read; it may pass this by one answer."""


TakeText = Callable[[Client, bytes, int], bool]
"""Take so many lines of a client that are this text, each with its LF, or say no. None waits in its inbox."""


class Mode(Audience, Protocol):
    """What a turn does with the people and their lines."""

    opens_late: bool
    """A line client joins only when it is known to speak lines, not at once when it is accepted."""

    sends_back: bool
    """What a client says goes to itself alone, as it came, so whole lines need not come here."""

    @property
    def text(self) -> TakeText | None:
        """For a mode that does not look at single lines: a read that is nothing but lines need not be cut."""

    def joined(self, client: Client) -> None:
        """The client is open: it becomes a member of what the mode has."""

    def lines(self, client: Client, most: int = maxsize) -> None:
        """Take at most so many lines from the client's inbox, as the intake allows; what stays waits.

        Work beyond the reading is charged to the turn's budget.
        """

    def left(self, client: Client) -> None:
        """The client has ended: forget it. Its room no longer counts it, its nick is free."""

    def nick(self, client: Client) -> str:
        """What the client is called; empty where nobody has a name."""
