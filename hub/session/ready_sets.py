"""What the steps of a turn leave for one another.

Rooms and modes never call upward: they append, mark here, and the loop looks. A mark costs one dict
store, is idempotent, and keeps its place in the line.
"""

from dataclasses import dataclass, field

from hub.close_reasons import CloseReason
from hub.rooms.room import Room
from hub.session.client import Client


@dataclass(slots=True, eq=False)
class Marks:
    """Whom the next steps have to look at."""

    readable: dict[int, Client] = field(default_factory=dict)
    """Clients, by id, with bytes in the kernel or lines in the backlog that the hub wants to read."""
    flush: dict[int, Client] = field(default_factory=dict)
    """Clients, by id, with private output, or whom the kernel just called writable."""
    rooms: dict[Room, None] = field(default_factory=dict)
    """Rooms with lines that some hearer has not been handed."""
    noted: dict[Room, None] = field(default_factory=dict)
    """Rooms with announcements of this turn."""
    ended: dict[int, Client] = field(default_factory=dict)
    """Clients, by id, whose reason is recorded and not yet settled."""
    finished: dict[int, Client] = field(default_factory=dict)
    """Ended clients, by id, that have nothing more to get, or whose connection is of no more use."""
    given_up: list[Client] = field(default_factory=list)
    """Ended clients whose time to take the rest and to close is over."""
    heard: list[Client] = field(default_factory=list)
    """Clients that sent data since activity was last stamped."""
    took: list[Client] = field(default_factory=list)
    """Clients whose kernel took talk since activity was last stamped."""

    def put(
        self, client: Client, data: bytes, *, owed: bool = False, raw: bool = False, messages: int = 0
    ) -> None:
        """Queue private output: whole canonical lines, or raw bytes, which may be so many messages."""
        if client.deaf and not owed:
            client.unsent_private_bytes += len(data)
            return
        client.put(data, owed=owed, raw=raw, messages=messages)
        self.flush[client.id] = client

    def end(
        self,
        client: Client,
        reason: CloseReason,
        detail: str = "",
        *,
        due: float | None = None,
        decided: float | None = None,
    ) -> None:
        """Record why this connection ends. The first reason wins; nothing is closed here.

        `due` and `decided` are given where a timer decided, in seconds on the loop's clock.
        """
        if client.reason is not None:
            return
        client.reason = reason
        client.detail = detail
        client.due = due
        client.decided = decided
        self.ended[client.id] = client
