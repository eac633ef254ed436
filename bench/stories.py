"""What the rooms of a soak said, as far as anybody has heard it: all who are in one must hear the same.

A story is one room's lines in the order of whoever has heard most. Everybody else must hear that, line by
line from where it came in; so a line that is lost, doubled or out of place for one client is found when
that client hears the next. That the story itself lacks nothing shows in the numbers: each sender counts.
"""

import re
from collections import deque
from typing import Final

KEPT_LINES: Final = 4000
"""Of each room, minutes of its talk: for those who hear later than others, and for newcomers' history."""

Line = tuple[int, int]
"""A sender's number, and the number of its line."""

_LINE = re.compile(r"<[^> ]+> (soak (\d+) (\d+) .*)")


class Wrong(Exception):
    """A client heard what it should not, or did not hear what it should."""


def text_of(line: Line) -> str:
    """What is said; lines differ in length, and both sides know each byte."""
    sender, number = line
    return f"soak {sender} {number} {'ü' * (sender % 7)}{'x' * ((sender + 31 * number) % 90)}."


def read(heard: str) -> Line | None:
    """Which line this is; None for notices and for what others say. Raises Wrong where a byte differs."""
    found = _LINE.fullmatch(heard)
    if found is None:
        return None
    line = int(found[2]), int(found[3])
    if found[1] != text_of(line):
        raise Wrong(f"heard {heard!r} for {text_of(line)!r}")
    return line


class Story:
    """One room's lines."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque()
        self._first = 0
        self._where: dict[Line, int] = {}
        self._next: dict[int, int] = {}

    def find(self, line: Line) -> int | None:
        """Where it stands; None when nobody has heard it so far, or all have forgotten it."""
        return self._where.get(line)

    def hear(self, at: int, line: Line) -> None:
        """Somebody hears this line as number `at`. Raises Wrong where others heard another."""
        end = self._first + len(self._lines)
        if at < self._first:
            return  # Nobody remembers; who is so far behind is not compared.
        if at < end:
            known = self._lines[at - self._first]
            if known != line:
                raise Wrong(f"heard {line} where others heard {known}")
            return
        expected = self._next.get(line[0], 0)
        if line[1] != expected:
            raise Wrong(f"heard {line} where {expected} is the sender's next")
        self._append(line, end)

    def _append(self, line: Line, at: int) -> None:
        self._lines.append(line)
        self._where[line] = at
        self._next[line[0]] = line[1] + 1
        if len(self._lines) > KEPT_LINES:
            del self._where[self._lines.popleft()]
            self._first += 1


class Ear:
    """One client in a room: from the first line that it hears it follows the story."""

    def __init__(self, story: Story, *, begins: bool = False) -> None:
        self._story = story
        self._waiting: list[Line] = []
        self._at = 0 if begins else -1

    def hear(self, line: Line) -> int:
        """How many lines could be compared now. Raises Wrong.

        A newcomer that reads of its first line before all others waits for somebody who knows more.
        """
        self._waiting.append(line)
        if self._at < 0:
            self._at = self._where_it_begins()
        if self._at < 0:
            return 0
        heard, self._waiting = self._waiting, []
        for each in heard:
            self._story.hear(self._at, each)
            self._at += 1
        return len(heard)

    def _where_it_begins(self) -> int:
        found = self._story.find(self._waiting[0])
        return -1 if found is None else found
