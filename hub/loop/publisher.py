"""The publish step: what the page may see, made on the loop's own clock.

Totals are published at most once a second and cost the same however many clients there are. Rows are
made only while somebody asked, a slice each turn; questions that come meanwhile share the next round.
"""

from collections.abc import Callable, Sequence
from heapq import nlargest
from typing import Final

from hub.control.mailbox import Command, WantClient, WantClosed, WantRooms, WantRows
from hub.control.snapshots import ClientRow
from hub.loop.core import Core, Step
from hub.loop.snapshot_maker import client_row, room_row, summary
from hub.session.client import Client
from hub.session.mode import Mode

PUBLISH_S: Final = 1.0


class Publisher(Step):
    """Publishes totals and answers questions."""

    def __init__(self, core: Core, mode: Mode) -> None:
        super().__init__(core)
        self._core, self._mode = core, mode
        self._publish_at = core.status.started_at
        self._asked: list[Callable[[Sequence[ClientRow]], None]] = []
        self._answering: list[Callable[[Sequence[ClientRow]], None]] = []
        self._clients: list[Client] = []
        self.rows: list[ClientRow] = []
        """Those of the round under way so far."""

    def timeout(self, now: float) -> float:
        """Seconds until there is something to publish; 0 while rows are being made."""
        return 0.0 if self._asked or self._answering else max(0.0, self._publish_at - now)

    def step(self, now: float) -> None:
        """Publish if it is time, and go on with the rows."""
        if now >= self._publish_at:
            self.publish(now)
        if self._asked and not self._answering:
            self._answering, self._asked = self._asked, []
            self._clients = list(self._connections.clients.values())
        if self._answering:
            self._continue_rows(now)

    def publish(self, now: float) -> None:
        """Hand the totals over now."""
        self._publish_at = now + PUBLISH_S
        self._core.turn_times.close_interval()
        self._core.on_summary(summary(self._core, now))

    def answer(self, command: Command, now: float) -> None:
        """A question from another thread."""
        match command:
            case WantRows(reply):
                self._asked.append(reply)
            case WantClient(id, reply_one):
                client = self._connections.clients.get(id)
                reply_one(self._row(client, now) if client else None)
            case WantClosed(offset, limit, reply_closed):
                reply_closed((self._close_log.page(offset, limit), len(self._close_log)))
            case WantRooms(offset, limit, reply_rooms):
                rooms = self._core.rooms.all()
                largest = nlargest(offset + limit, rooms, key=lambda room: room.size)
                reply_rooms(([room_row(room) for room in largest[offset:]], len(rooms)))

    def _row(self, client: Client, now: float) -> ClientRow:
        return client_row(client, self._mode.nick(client), now)

    def _continue_rows(self, now: float) -> None:
        done = len(self.rows)
        self.rows += [self._row(client, now) for client in self._clients[done : done + self._budgets.rows]]
        if len(self.rows) == len(self._clients):
            rows, replies = self.rows, self._answering
            self._clients, self.rows, self._answering = [], [], []
            for reply in replies:
                reply(rows)
