"""The observe step: what the page may see, made on the loop's own clock.

Totals are published at most once a second and cost the same however many clients there are. Rows are
made only while somebody asked, a slice each turn; questions that come meanwhile share the next round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import nlargest
from typing import Final

from hub.control.mailbox import Command, Stop, WantClient, WantEndings, WantRooms, WantRows
from hub.control.snapshots import ClientRow, Summary
from hub.loop.context import Hub
from hub.loop.counters import client_row, room_row, summary
from hub.session.client import Client

PUBLISH_S: Final = 1.0


class Observer:
    """Publishes totals and answers questions."""

    def __init__(self, hub: Hub, on_summary: Callable[[Summary], None], now: float) -> None:
        self._hub = hub
        self._on_summary = on_summary
        self._publish_at = now
        self._asked: list[Callable[[Sequence[ClientRow]], None]] = []
        self._answering: list[Callable[[Sequence[ClientRow]], None]] = []
        self._clients: list[Client] = []
        self._rows: list[ClientRow] = []

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
            self._clients, self._rows = list(self._hub.clients.values()), []
        if self._answering:
            self._continue_rows(now)

    def publish(self, now: float) -> None:
        """Hand the totals over now."""
        self._publish_at = now + PUBLISH_S
        self._hub.turn_times.close_interval()
        self._on_summary(summary(self._hub, now))

    def answer(self, command: Command, now: float) -> None:
        """One question from another thread."""
        hub = self._hub
        if isinstance(command, WantRows):
            self._asked.append(command.reply)
        elif isinstance(command, WantClient):
            client = hub.clients.get(command.id)
            command.reply(client_row(client, now) if client else None)
        elif isinstance(command, WantEndings):
            command.reply((hub.ledger.page(command.offset, command.limit), len(hub.ledger)))
        elif isinstance(command, WantRooms):
            rooms = hub.rooms.all()
            largest = nlargest(command.offset + command.limit, rooms, key=lambda room: len(room.members))
            command.reply(([room_row(room) for room in largest[command.offset :]], len(rooms)))
        else:
            assert isinstance(command, Stop), command

    def _continue_rows(self, now: float) -> None:
        done = len(self._rows)
        piece = self._clients[done : done + self._hub.budgets.rows]
        self._rows += [client_row(client, now) for client in piece]
        if len(self._rows) == len(self._clients):
            rows, replies = self._rows, self._answering
            self._clients, self._rows, self._answering = [], [], []
            for reply in replies:
                reply(rows)
