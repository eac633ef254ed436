"""The ready sets: which clients and rooms the next step of a turn must look at.

Rooms and modes never call upward: they append, mark here, and the loop looks. A mark costs one dict store, is
idempotent, and keeps its place in the line.
"""

from hub.close_reasons import CloseReason
from hub.rooms.room import Room
from hub.session.client import Client, Time
from hub.session.read_gate import ENDED


class ReadySets:
    """What the steps of a turn leave for one another. What is kept by id is looked for by id."""

    __slots__ = (
        "abort", "closing", "finished", "notices", "readable", "received", "rooms", "took", "writable"
    )  # fmt: skip

    def __init__(self) -> None:
        self.readable: dict[Client, None] = {}
        """Clients with bytes in the kernel, or with parsed lines, that the hub wants to read."""
        self.writable: dict[Client, None] = {}
        """Clients with something in their outbox, or that the kernel just called writable."""
        self.rooms: dict[Room, None] = {}
        """Rooms with lines that some subscriber has not been handed."""
        self.notices: dict[Room, None] = {}
        """Rooms with notices of this turn."""
        self.closing: dict[int, Client] = {}
        """Clients whose close reason is recorded and not yet settled."""
        self.finished: dict[int, Client] = {}
        """Closing clients that have nothing more to get, or whose connection is of no more use."""
        self.abort: list[Client] = []
        """Closing clients whose time to take the rest and to close is over."""
        self.received: list[Client] = []
        """Clients that sent data since activity was last stamped."""
        self.took: list[Client] = []
        """Clients whose kernel took talk since activity was last stamped."""

    def put(
        self, client: Client, data: bytes, *, owed: bool = False, own: bool = False, raw: bool = False,
        lines: int = -1,
    ) -> None:  # fmt: skip
        """Queue what one client alone gets: whole canonical lines, or raw bytes.

        What a client said is owed, and counted so by the caller; `own` is what this client said itself.
        """
        client.outbox.put(data, owed=owed, own=own, raw=raw, lines=lines)
        self.writable[client] = None

    def end(
        self, client: Client, reason: CloseReason, detail: str = "", *, due: Time = None, decided: Time = None
    ) -> None:
        """Record why this connection ends. The first reason wins; nothing is closed here.

        `due` and `decided` are given where a timer decided, in seconds on the loop's clock.
        """
        close = client.ending
        if close.reason is not None:
            return
        close.reason, close.detail, close.due, close.decided = reason, detail, due, decided
        client.gate.add(ENDED)
        self.closing[client.id] = client
