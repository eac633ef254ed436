"""A room is a log, a client is a position.

The lines that a room gets in one turn are joined once into one *chunk* of canonical LF bytes, and
everyone who is in step is handed the same bytes object; so Python's work per turn is lines + clients,
never lines x clients. Who fell behind stays at its offset and gets all that it misses in its next send.
Offsets are canonical bytes since the room began; they only rise. A room knows no transport and never
calls upward: it appends, and the loop looks. (Prior art: the replication backlog of redis, with a node
and an offset per replica.)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from sys import maxsize
from typing import Final

from hub.rooms.accounting import Account
from hub.rooms.chunk import Chunk
from hub.rooms.sender_runs import Runs, note, spans
from hub.session.client import Client, Piece

MOST_CAUGHT_UP: Final = 8
"""A room that waited for most of its hearers goes on when no more than one in so many is behind."""

PIECE_BYTES: Final = 64 * 1024
"""About so much of a log is one piece of private output."""


@dataclass(slots=True, eq=False)
class Room:
    """One log and the people in it."""

    name: str
    key: str
    """What the name is unique by."""
    account: Account
    number: int = 0
    """Unlike the name it is never used again."""
    members: dict[int, Client] = field(default_factory=dict)
    hearers: dict[int, Client] = field(default_factory=dict)
    """The members that are owed lines; who takes nothing may still be a member."""
    chunks: list[Chunk] = field(default_factory=list)
    head: int = 0
    """The number of the next line."""
    end: int = 0
    """The offset of the next line."""
    intake: int = 0
    """Bytes appended since the flush pass under way began."""
    speaker: int = 0
    """The id of the client that said every line since `speaker_since`, but for the hub's own."""
    speaker_since: int = 0
    talk_end: int = 0
    """Where the last line ends that somebody said; the hub's own do not count."""
    slow: dict[int, Client] = field(default_factory=dict)
    """Hearers that the last pass did not bring up to date, so only they can hold the log back."""
    behind: dict[int, Client] = field(default_factory=dict)
    """Hearers that lag by more than half of what is allowed."""
    stalled: dict[int, Client] = field(default_factory=dict)
    """Those of them that take nothing for the moment."""
    catching_up: bool = False
    """Most were behind, and not all have caught up that can."""
    pressed: dict[int, Client] = field(default_factory=dict)
    """Those of them that were about to be cut and take bytes: the senders wait for them for a moment."""
    held: dict[int, Client] = field(default_factory=dict)
    """Senders that are not read until the room has caught up."""
    hurried: bool = False
    """Some were held, so whoever was behind then has to take something within a time."""
    notes: list[tuple[str, str]] = field(default_factory=list)
    """Announcements of this turn, (who, did what), to become one line."""
    own: Runs | None = None
    """Who said what since the last chunk, where nobody gets its own lines back; None where everybody does."""
    _pending: list[bytes] = field(default_factory=list)
    _pending_talk: bool = False

    def append(self, line: bytes, speaker: int) -> None:
        """Add one line, content without its end. `speaker` is the id of who said it, 0 for the hub itself."""
        self.extend((line,), len(line) + 1, speaker)

    def extend(self, lines: Iterable[bytes], size: int, speaker: int) -> None:
        """Add lines of one speaker, `size` canonical bytes in all. Everybody who hears now is owed them."""
        if speaker not in (0, self.speaker):
            self.speaker, self.speaker_since = speaker, self.talk_end
        before = len(self._pending)
        self._pending.extend(lines)
        self.head += len(self._pending) - before
        self.end += size
        if speaker:
            self.talk_end = self.end
        self.intake += size
        self.account.owed += size * len(self.hearers)
        if self.own is not None and speaker in self.hearers:
            self._keep_from(self.hearers[speaker], self.own, len(self._pending) - before, size)
        self._pending_talk |= speaker != 0

    def seal(self) -> None:
        """Make the lines appended since the last time into one chunk."""
        if not self._pending:
            return
        count = len(self._pending)
        self._pending.append(b"")
        lf = b"\n".join(self._pending)
        start, talk = self.end - len(lf), self._pending_talk
        self.chunks.append(Chunk(lf, self.head - count, start, count, talk, self.own))
        if self.own:
            self.own = {}
        self._pending = []
        self._pending_talk = False

    def enter(self, client: Client, history: int, most_bytes: int = maxsize) -> None:
        """Make the client a member and hearer; its position is set back by `history` lines that fit."""
        self.seal()
        client.room = self
        there = self._back(0 if client.deaf else history, most_bytes)
        client.position, client.offset = max(there, client.seen.get(self.number, there))
        client.entered = self.end
        self._find_own(client)
        self.account.replayed += client.owed_bytes
        self.members[client.id] = client
        if client.deaf:
            return
        self.hearers[client.id] = client
        if client.blocked or client.offset != self.end:
            self.slow[client.id] = client

    def leave(self, client: Client) -> None:
        """Forget the client. What it is still owed is the caller's to keep (`rest_for`) or count."""
        self.stop_hearing(client)
        client.remember(self.number, (self.head, self.end))
        self.members.pop(client.id, None)
        self.held.pop(client.id, None)
        client.held = False
        client.own_lines = client.own_bytes = 0
        client.room = None

    def stop_hearing(self, client: Client) -> None:
        """From the next line on the client is owed nothing."""
        self.hearers.pop(client.id, None)
        self.slow.pop(client.id, None)
        self.behind.pop(client.id, None)
        self.stalled.pop(client.id, None)
        self.pressed.pop(client.id, None)
        self.set_pace()

    def index(self, offset: int) -> int:
        """The index of the chunk in which `offset` stands; len(chunks) when it is the head."""
        if self.chunks and self.chunks[-1].start == offset:  # In step but for the newest: the common case.
            return len(self.chunks) - 1
        return bisect_right(self.chunks, offset, key=_end)

    def lines_between(self, offset: int, stop: int, but: int = 0) -> list[Piece]:
        """The sealed lines from `offset` up to `stop` as pieces that are owed; but for a client's own."""
        found: list[bytes] = []
        for index in range(self.index(offset), len(self.chunks)):
            chunk = self.chunks[index]
            if chunk.start >= stop:
                break
            if chunk.own is None and chunk.start >= offset and chunk.end <= stop:
                found.append(chunk.lf)
                continue
            for start, end, own in spans(chunk.own, but, max(offset, chunk.start), min(stop, chunk.end)):
                if not own:
                    found.append(chunk.lf[start - chunk.start : end - chunk.start])
        return [Piece(-1, data, owed=True) for data in _joined(found)]

    def tail(self, lines: int, most_bytes: int) -> bytes:
        """The last lines that the log has, at most so many of them, and whole ones of so many bytes."""
        self.seal()
        _, offset = self._back(lines, most_bytes)
        chunks = self.chunks[self.index(offset) :]
        return b"".join(chunk.lf[max(0, offset - chunk.start) :] for chunk in chunks)

    def is_only_itself_to(self, client: Client) -> bool:
        """Nobody else said anything that the client is owed here, history aside."""
        return self.speaker == client.id and max(client.offset, client.entered) >= self.speaker_since

    @property
    def is_congested(self) -> bool:
        """Every sender has to wait, whoever it is: cheaper to ask than `congested_for` of each."""
        waits = self.catching_up and len(self.behind) - len(self.stalled) > 1
        return waits or 2 * (len(self.behind) - 1) > len(self.hearers)

    @property
    def most_are_behind(self) -> bool:
        """Senders have to wait anyway."""
        return self.catching_up or 2 * len(self.behind) >= len(self.hearers)

    @property
    def most_are_slow(self) -> bool:
        """Most hearers still have something to take; a pressed one and a sender that hears itself aside."""
        return 2 * (len(self.slow) - 2) >= len(self.hearers) - 2

    def set_pace(self) -> None:
        """After a change of who is behind or stalled: does everybody wait until nearly all have caught up?

        Waiting only while most are behind would leave the others hovering just below the limit.
        """
        moving = len(self.behind) - len(self.stalled)
        if 2 * len(self.behind) >= len(self.hearers) and moving:
            self.catching_up = True
        elif MOST_CAUGHT_UP * moving <= len(self.hearers):
            self.catching_up = False

    def congested_for(self, sender: Client) -> bool:
        """This sender has to wait: for most of its hearers, or, if it sends in bulk, for a pressed one.

        Most is more than half, and they are behind when they lag by more than half of what is allowed.
        """
        if sender.bulk and len(self.pressed) > (sender.id in self.pressed):
            return True
        others = len(self.hearers) - (sender.id in self.hearers)
        behind = len(self.behind) - (sender.id in self.behind)
        moving = behind - len(self.stalled) + (sender.id in self.stalled)
        return 2 * behind > others or (self.catching_up and moving > 0)

    def trim(self, reached: int, history: int, history_bytes: int) -> None:
        """Drop chunks that nobody needs: all hearers but the slow ones have got to offset `reached`."""
        needed = min((client.offset for client in self.slow.values()), default=reached)
        needed = min(needed, reached)
        kept, drop = self.head - history, 0
        for chunk in self.chunks:
            in_history = chunk.first + chunk.count > kept and self.end - chunk.end < history_bytes
            if chunk.end > needed or in_history:
                break
            drop += 1
        del self.chunks[:drop]

    def _keep_from(self, client: Client, own: Runs, lines: int, size: int) -> None:
        """The lines just appended are this hearer's own, and it is not owed them."""
        self.account.owed -= size
        client.own_lines += lines
        client.own_bytes += size
        note(own, client.id, self.end - size, self.end)

    def _find_own(self, client: Client) -> None:
        """In the history that it is about to get there may be lines of its own."""
        client.own_lines = client.own_bytes = 0
        for chunk in self.chunks[self.index(client.offset) :] if self.own is not None else ():
            for start, end, own in spans(chunk.own, client.id, max(client.offset, chunk.start), chunk.end):
                client.own_lines += own and chunk.lines(start, end)
                client.own_bytes += own and end - start

    def _back(self, lines: int, most_bytes: int) -> tuple[int, int]:
        """Number and offset of the line so many before the head, or of the first that is kept and fits."""
        position, offset, border = self.head, self.end, self.end - most_bytes
        for chunk in reversed(self.chunks):
            if chunk.count <= lines and chunk.start >= border:
                position, offset = chunk.first, chunk.start
                lines -= chunk.count
                continue
            while lines:
                start = chunk.start + chunk.lf.rfind(b"\n", 0, offset - chunk.start - 1) + 1
                if start < border:
                    break
                position, offset = position - 1, start
                lines -= 1
            break
        return position, offset


def _joined(parts: list[bytes]) -> Iterator[bytes]:
    """The same in pieces of some size: a room where each turn had one line has thousands of parts."""
    start = size = 0
    for index, part in enumerate(parts):
        size += len(part)
        if size >= PIECE_BYTES:
            yield b"".join(parts[start : index + 1])
            start, size = index + 1, 0
    if size:
        yield b"".join(parts[start:])


def _end(chunk: Chunk) -> int:
    return chunk.end


class RoomsFull(Exception):
    """There are as many rooms as --max-rooms allows."""


class Rooms:
    """All rooms by key; the lobby is always there, any other room goes with its last member."""

    LOBBY = "lobby"

    def __init__(self, account: Account, max_rooms: int, *, self_echo: bool = True) -> None:
        self._account = account
        self._max_rooms = max_rooms
        self._numbers = count(1)
        self._self_echo = self_echo
        self.lobby = self._make(self.LOBBY, self.LOBBY, 0)
        self._by_key: dict[str, Room] = {self.LOBBY: self.lobby}

    def __len__(self) -> int:
        return len(self._by_key)

    def all(self) -> list[Room]:
        """Every room there is."""
        return list(self._by_key.values())

    def find_or_make(self, key: str, name: str) -> Room:
        """The room under this key, made when there is none; RoomsFull past the limit."""
        room = self._by_key.get(key)
        if room is None:
            if self._max_rooms and len(self._by_key) >= self._max_rooms:
                raise RoomsFull
            room = self._by_key[key] = self._make(name, key, next(self._numbers))
        return room

    def discard_if_empty(self, room: Room) -> None:
        """Let an empty room go."""
        if not room.members and room is not self.lobby:
            self._by_key.pop(room.key, None)

    def _make(self, name: str, key: str, number: int) -> Room:
        return Room(name, key, self._account, number, own=None if self._self_echo else {})
