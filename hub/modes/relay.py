"""What a line means: three modes behind one protocol. This module has the two relay modes; chat is next door.

A mode appends to rooms, queues private output, and marks; it never calls upward and knows no socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from sys import maxsize
from typing import Protocol

from hub.protocol.encoding import Form
from hub.rooms.accounting import Account
from hub.rooms.room import Room, Rooms
from hub.session.client import Client
from hub.session.ready_sets import Marks


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """How much one turn may bring."""

    room_bytes: int
    """Into one room, between two starts of its flush: an eighth of the lag that is allowed."""
    client_lines: int = 512
    """From one client in chat, where each line costs work of its own."""
    command_lines: int = 16
    """A command costs as much as so many lines."""
    line_bytes: int = 512
    """A line of chat costs as much as reading so many bytes."""
    private_bytes: int = 256 * 1024
    """Private output beyond which a client is not read; it may pass this by one answer."""


class Mode(Protocol):
    """What a turn does with the people and their lines."""

    def joined(self, client: Client) -> None:
        """A connection was accepted."""

    def lines(self, client: Client, most: int = maxsize) -> int:
        """Take at most so many lines from the client's backlog, as the intake allows; what stays waits.

        Returns what that cost beyond the reading, in bytes of the turn's read budget.
        """

    def left(self, client: Client) -> None:
        """The client has ended: forget it. Its room no longer counts it, its nick is free."""


class Echo:
    """A line goes back to its sender only, verbatim, in the form that the sender uses."""

    def __init__(self, account: Account, marks: Marks) -> None:
        self._account = account
        self._marks = marks

    def joined(self, client: Client) -> None:
        """An echo client is in no room and gets no greeting."""

    def lines(self, client: Client, most: int = maxsize) -> int:
        """The lines that were read go back as one piece: one copy and one send, however many they are.

        The messages of a WebSocket are frames already, ready to go back as they came.
        """
        lines = client.backlog[client.backlog_at : client.backlog_at + most]
        client.backlog_at += len(lines)
        if client.form is Form.FRAMES:
            self._echo(client, b"".join(lines), messages=len(lines))
            return 0
        lines.append(b"")
        self._echo(client, b"\n".join(lines))
        return 0

    def _echo(self, client: Client, echo: bytes, messages: int = 0) -> None:
        self._account.owed += len(echo)
        if client.deaf:
            self._account.unsent += len(echo)
            client.unsent_bytes += len(echo)
        else:
            self._marks.put(client, echo, owed=True, raw=messages > 0, messages=messages)

    def left(self, client: Client) -> None:
        """Nothing is kept about an echo client."""


class Broadcast:
    """A line goes to everyone in the one room, the sender included, verbatim. No greeting, no history."""

    def __init__(self, rooms: Rooms, marks: Marks, intake: Intake) -> None:
        self._rooms = rooms
        self._marks = marks
        self._intake = intake

    def joined(self, client: Client) -> None:
        """Everyone is in the lobby."""
        self._rooms.lobby.enter(client, history=0)

    def lines(self, client: Client, most: int = maxsize) -> int:
        """As many lines as fit into this turn of the room, in one step."""
        room = self._rooms.lobby
        start = client.backlog_at
        waiting = client.backlog if most >= len(client.backlog) else client.backlog[: start + most]
        stop, size = fitting(waiting, start, self._intake.room_bytes - room.intake)
        if stop == start and not room.intake:
            stop, size = start + 1, len(client.backlog[start]) + 1
        if stop > start:
            room.extend(client.backlog[start:stop], size, client.id)
            client.backlog_at = stop
            self._marks.rooms[room] = None
        return 0

    def left(self, client: Client) -> None:
        """The lobby forgets the client."""
        leave_room(client)


def fitting(lines: list[bytes], start: int, space: int) -> tuple[int, int]:
    """Where to stop so that the lines from `start` on take at most `space` canonical bytes, and how many."""
    if space <= 0:
        return start, 0
    size = sum(map(len, lines)) if start == 0 else sum(map(len, lines[start:]))
    size += len(lines) - start
    if size <= space:
        return len(lines), size
    stop, size = start, 0
    while stop < len(lines) and size + len(lines[stop]) < space:
        size += len(lines[stop]) + 1
        stop += 1
    return stop, size


def leave_room(client: Client) -> Room | None:
    """Take the client out of its room, if it is in one; returns the room."""
    room = client.room
    if room is not None:
        room.leave(client)
    return room
