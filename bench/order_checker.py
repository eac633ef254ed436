"""The check that all clients in a room of a soak hear the same lines in the same order.

`RoomLines` holds a room's lines in the order in which the client that is ahead of all others heard them.
Every other client must hear the same, line by line from where it came in; so a line that is lost, doubled
or out of place for one client is found when that client hears the next. That no line is missing for all
shows in the numbers, because each sender counts its lines.
"""

import re
from collections import deque
from typing import Final

KEPT_LINES: Final = 4000
"""Lines kept of each room, minutes of its talk: for clients that lag, and for the history of newcomers."""

Line = tuple[int, int]
"""A sender's number, and the number of the line among the sender's own."""

_LINE = re.compile(r"<[^> ]+> (soak (\d+) (\d+) .*)")


class DeliveryError(Exception):
    """A client heard what it should not, or did not hear what it should."""


def text_of(line: Line) -> str:
    """The line's text; lines differ in length, and sender and receivers know each byte."""
    sender, number = line
    return f"soak {sender} {number} {'ü' * (sender % 7)}{'x' * ((sender + 31 * number) % 90)}."


def read(heard: str) -> Line | None:
    """The line that was heard; None for notices and others' talk. Raises DeliveryError for a wrong byte."""
    found = _LINE.fullmatch(heard)
    if found is None:
        return None
    line = int(found[2]), int(found[3])
    if found[1] != text_of(line):
        raise DeliveryError(f"heard {heard!r} for {text_of(line)!r}")
    return line


class RoomLines:
    """The lines of a room, as far as any client has heard them."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque()
        self._first = 0
        self._where: dict[Line, int] = {}
        self._next: dict[int, int] = {}

    def find(self, line: Line) -> int | None:
        """The line's place; None when no client has heard it so far, or when it was dropped as too old."""
        return self._where.get(line)

    def hear(self, at: int, line: Line) -> None:
        """Note that a client hears this line as number `at`. Raises DeliveryError if others heard another."""
        end = self._first + len(self._lines)
        if at < self._first:
            return  # The line was dropped: a client so far behind is not compared.
        if at < end:
            known = self._lines[at - self._first]
            if known != line:
                raise DeliveryError(f"heard {line} where others heard {known}")
            return
        expected = self._next.get(line[0], 0)
        if line[1] != expected:
            raise DeliveryError(f"heard {line} where {expected} is the sender's next")
        self._append(line, end)

    def _append(self, line: Line, at: int) -> None:
        self._lines.append(line)
        self._where[line] = at
        self._next[line[0]] = line[1] + 1
        if len(self._lines) > KEPT_LINES:
            del self._where[self._lines.popleft()]
            self._first += 1


class OrderChecker:
    """Checks what a client hears: from its first line on it must hear what the room heard."""

    def __init__(self, room: RoomLines, *, begins: bool = False) -> None:
        self._room = room
        self._waiting: list[Line] = []
        self._at = 0 if begins else -1

    def hear(self, line: Line) -> int:
        """How many lines could be compared now. Raises DeliveryError.

        A newcomer that reads its first line before all other clients waits until one of them has read it.
        """
        self._waiting.append(line)
        if self._at < 0:
            self._at = self._where_it_begins()
        if self._at < 0:
            return 0
        heard, self._waiting = self._waiting, []
        for each in heard:
            self._room.hear(self._at, each)
            self._at += 1
        return len(heard)

    def _where_it_begins(self) -> int:
        found = self._room.find(self._waiting[0])
        return -1 if found is None else found
