"""The publish step: what the page may see, made on the loop's own clock.

Totals are published at most once a second and cost the same however many clients there are. Rows are
made only while somebody asked, a slice each turn; questions that come meanwhile share the next round.
"""

from collections.abc import Callable, Sequence
from heapq import nlargest
from typing import Final

from hub.control.mailbox import Command, Stop, WantClient, WantClosed, WantRooms, WantRows
from hub.control.snapshots import ClientRow, Summary
from hub.loop.close_log import CloseLog
from hub.loop.core import Core, Step
from hub.loop.snapshot_maker import SnapshotMaker, client_row, room_row
from hub.loop.turn_histogram import TurnHistogram
from hub.rooms.registry import Registry
from hub.session.client import Client
from hub.session.mode import Mode

PUBLISH_S: Final = 1.0


class Publisher(Step):
    """Publishes totals and answers questions."""

    def __init__(
        self,
        core: Core,
        mode: Mode,
        rooms: Registry,
        maker: SnapshotMaker,
        close_log: CloseLog,
        turn_times: TurnHistogram,
        on_summary: Callable[[Summary], None],
        now: float,
    ) -> None:
        super().__init__(core)
        self._mode = mode
        self._rooms = rooms
        self._maker = maker
        self._close_log = close_log
        self._turn_times = turn_times
        self._on_summary = on_summary
        self._publish_at = now
        self._asked: list[Callable[[Sequence[ClientRow]], None]] = []
        self._answering: list[Callable[[Sequence[ClientRow]], None]] = []
        self._clients: list[Client] = []
        self._rows: list[ClientRow] = []

    @property
    def rows_made(self) -> int:
        """Rows of the round under way so far."""
        return len(self._rows)

    def timeout(self, now: float) -> float:
        """Seconds until there is something to publish; 0 while rows are being made."""
        if self._asked or self._answering:
            return 0.0
        return max(0.0, self._publish_at - now)

    def step(self, now: float) -> None:
        """Publish if it is time, and go on with the rows."""
        if now >= self._publish_at:
            self.publish(now)
        if self._asked and not self._answering:
            self._answering, self._asked = self._asked, []
            self._clients, self._rows = list(self._connections.clients.values()), []
        if self._answering:
            self._continue_rows(now)

    def publish(self, now: float) -> None:
        """Hand the totals over now."""
        self._publish_at = now + PUBLISH_S
        self._turn_times.close_interval()
        self._on_summary(self._maker.summary(now))

    def answer(self, command: Command, now: float) -> None:
        """A question from another thread."""
        if isinstance(command, WantRows):
            self._asked.append(command.reply)
        elif isinstance(command, WantClient):
            client = self._connections.clients.get(command.id)
            command.reply(client_row(client, self._mode.nick(client), now) if client else None)
        elif isinstance(command, WantClosed):
            command.reply((self._close_log.page(command.offset, command.limit), len(self._close_log)))
        elif isinstance(command, WantRooms):
            rooms = self._rooms.all()
            largest = nlargest(command.offset + command.limit, rooms, key=lambda room: len(room.members))
            command.reply(([room_row(room) for room in largest[command.offset :]], len(rooms)))
        else:
            assert isinstance(command, Stop), command

    def _continue_rows(self, now: float) -> None:
        done = len(self._rows)
        piece = self._clients[done : done + self._budgets.rows]
        self._rows += [client_row(client, self._mode.nick(client), now) for client in piece]
        if len(self._rows) == len(self._clients):
            rows, replies = self._rows, self._answering
            self._clients, self._rows, self._answering = [], [], []
            for reply in replies:
                reply(rows)
