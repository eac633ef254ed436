"""What each client was to hear, and whether what its kernel was given is that.

The journal has every line of every room, noted when the room makes a chunk of it, and who was in which room
from which line to which. A follower reads the bytes that the simulated kernel took for one client, and
follows the journal: each line must be the next one of its room, but for the hub's own lines to it alone,
and for gaps that it is told of. What was delivered is added up, and the hub's account is held against that
to the byte.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from hub.rooms.accounting import Account
from hub.rooms.chunk import Chunk
from hub.rooms.log import Log
from hub.rooms.outbox import Outbox
from hub.rooms.room import Room
from tests.sim.kernel import fail

TAG = re.compile(rb"p(\d+)\.(\d+)~")
"""Stands in every line that is followed: who says it, and its number."""
_OWNER = re.compile(rb"p(\d+)\.")
_SKIPPED = re.compile(rb"\* skipped (\d+) lines")
_REPLAYED = re.compile(rb"\* history: (\d+) lines? of ")
_MOVED = b"* you are now in "
_WHISPER = re.compile(rb"<[^>]* to you> |<you to [^>]*> ")
_PRIVATE = (b"* ", b"<you to ")
_NEGOTIATION = re.compile(rb"\xff[\xfb-\xfe].|\xff\xf1", re.DOTALL)


@dataclass(slots=True)
class Stay:
    """A client's time in a room, from line number `start` on, and before `stop`."""

    room: int
    start: int
    shown: list[bytes] = field(default_factory=list)
    """The history that comes first."""
    stop: int | None = None


@dataclass
class Journal:
    """All that was said, by room, and all stays, by the address of the peer."""

    lines: dict[int, list[bytes]] = field(default_factory=dict)
    stays: dict[str, list[Stay]] = field(default_factory=dict)
    said: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    """By peer, the numbers of its lines with their text, room by room."""
    marked: bool = False
    """Clients are told that they are in another room, and what is history."""

    def note(self, room: int, chunk: Chunk) -> None:
        log = self.lines.setdefault(room, [])
        if chunk.first_line != len(log) or chunk.count != chunk.lf.count(b"\n"):
            fail(f"room {room} numbers its lines {chunk.first_line}, and there were {len(log)}")
        for line in chunk.lf.split(b"\n")[:-1]:
            log.append(line)
            if found := TAG.search(line):
                self.said.setdefault(int(found[1]), []).append((int(found[2]), line))

    def enter(self, room: int, peer: str, start: int, shown: list[bytes]) -> None:
        """A client joined: it gets the room's lines from number `start` on, and before them this history."""
        stays = self.stays.setdefault(peer, [])
        before = max((stay.stop or 0 for stay in stays if stay.room == room), default=0)
        missed = iter(self.lines.get(room, [])[before:start])
        all(line in missed for line in shown) or fail(f"{peer} is shown {shown}, it was there until {before}")
        any(line.startswith(b"* ") for line in shown) and fail(f"{peer} is shown notices as history: {shown}")
        stays.append(Stay(room, start, shown))

    def leave(self, room: int, peer: str, head: int) -> None:
        stay = self.stays[peer][-1]
        (stay.room == room and stay.stop is None) or fail(f"{peer} leaves room {room}, and it was in {stay}")
        stay.stop = head


class JournaledLog(Log):
    def __init__(self, log: Log, journal: Journal) -> None:
        super().__init__(log.number, self_echo=log.runs is None)
        self._journal = journal

    def seal(self) -> None:
        count = len(self.chunks)
        super().seal()
        if len(self.chunks) > count:
            self._journal.note(self.number, self.chunks[-1])


class JournaledRoom(Room):
    def __init__(self, name: str, key: str, account: Account, log: Log, journal: Journal) -> None:
        super().__init__(name, key, account, JournaledLog(log, journal))
        self._journal = journal

    def join(self, outbox: Outbox, history: Iterable[bytes] = ()) -> None:
        shown = list(history)
        super().join(outbox, shown)
        if outbox.id in self.subscribers:
            lines = [line.removesuffix(b"\n") for line in shown]
            self._journal.enter(self.log.number, outbox.owner.peer, outbox.next_line, lines)

    def leave(self, outbox: Outbox) -> None:
        if outbox.log is self.log:
            self._journal.leave(self.log.number, outbox.owner.peer, self.log.next_line)
        super().leave(outbox)


class Follower:
    """Reads the stream of one client. `number` is the peer's, `echoes` what is to come back in echo mode."""

    def __init__(self, journal: Journal, peer: str, number: int, *, websocket: bool, own_too: bool) -> None:
        self._journal, self._peer, self._number = journal, peer, number
        self._websocket, self._own_too = websocket, own_too
        self._head_done = not websocket
        self._wire = bytearray()
        self._read = 0
        self._stay = self._past = 0
        """In which of its stays the client is, and how much of the history of that it has."""
        self._early = 0
        """Moves that it was not told of yet."""
        self._at: int | None = None
        self._replayed = 0
        self.echoes: list[bytes] | None = None
        self._echoed = 0
        self.delivered = 0
        """Canonical bytes of whole lines that somebody said, or that its room got."""
        self.private: list[bytes] = []
        """The hub's own lines to this client alone."""
        self.pings = 0
        self.refused = False
        self.closes = 0

    def read(self, taken: bytes | bytearray) -> None:
        if len(taken) == self._read:
            return
        self._wire += taken[self._read :]
        self._read = len(taken)
        if not self._head_done:
            self._read_head()
        if self._head_done and not self.refused:
            if self._websocket:
                self._read_frames()
            else:
                self._read_lines()

    def heard(self, taken: bytes | bytearray) -> tuple[int, int]:
        if len(taken) != self._read:
            self.read(taken)
        if not self._wire:
            return self.delivered, self.delivered
        least, most = self.partial()
        return self.delivered + least, self.delivered + most

    def partial(self) -> tuple[int, int]:
        """Of the line that is not complete: the least and the most that may count as delivered."""
        tail, header, wanted = bytes(self._wire), 0, self._wanted()
        if not tail or self.refused or self._replayed or not self._head_done:
            return 0, 0
        if self._websocket:
            if tail[0] & 0x0F not in (1, 2):
                return 0, 0
            if self.echoes is not None:
                return len(tail), len(tail)
            header = 4 if tail[1:2] == b"\x7e" else 2
        payload = tail[header:]
        is_next = wanted is not None and wanted.startswith(payload.removesuffix(b"\r"))
        may_be_whisper = bool(_WHISPER.match(payload)) or (
            b"<".startswith(payload[:1]) and b"> " not in payload
        )
        if not (is_next or may_be_whisper):
            return 0, 0
        most = max(0, len(tail) - header + 1) if self._websocket else len(tail.removesuffix(b"\r"))
        is_private = any(start.startswith(payload) or payload.startswith(start) for start in _PRIVATE)
        return (0 if is_private or may_be_whisper else most), most

    def heard_all(self) -> bool:
        """The client is at the end of all its stays, and in the middle of nothing."""
        stays = self._journal.stays.get(self._peer, [])
        if self._wire:
            return False
        self._pass_on()
        if self.echoes is not None:
            return self._echoed == len(self.echoes)
        if not stays:
            return True
        stop = stays[-1].stop
        stop = len(self._journal.lines.get(stays[-1].room, ())) if stop is None else stop
        return self._stay == len(stays) - 1 and not self._shown and self._at == stop

    # Wire to lines.

    def _read_head(self) -> None:
        end = self._wire.find(b"\r\n\r\n")
        if end < 0:
            return
        self.refused = not self._wire.startswith(b"HTTP/1.1 101 ")
        del self._wire[: end + 4]
        self._head_done = True

    def _read_lines(self) -> None:
        if b"\xff" in self._wire and self.strips_telnet:
            self._wire = bytearray(_NEGOTIATION.sub(b"", bytes(self._wire)))
        lines = self._wire.split(b"\n")
        self._wire = bytearray(lines.pop())
        for line in lines:
            self._line(bytes(line.removesuffix(b"\r")))

    strips_telnet = True

    def _read_frames(self) -> None:
        while (found := frame(self._wire)) is not None:
            opcode, payload, size = found
            del self._wire[:size]
            self.pings += opcode == 9
            self.closes += opcode == 8
            if opcode in (1, 2):
                self._line(payload, size)

    # Lines to the journal.

    def _line(self, line: bytes, frame_size: int = 0) -> None:
        if self._replayed and not _SKIPPED.fullmatch(line):
            self._replayed -= 1
            return
        wanted = self._wanted()
        if line == wanted:
            self._take(frame_size or len(line) + 1, len(line) + 1)
        elif found := _SKIPPED.fullmatch(line):
            self._skip(int(found[1]))
        elif _WHISPER.match(line):
            self.delivered += len(line) + 1
        elif line.startswith(b"* ") or line.startswith(b"HTTP/") or not line:
            self.private.append(line)
            if found := _REPLAYED.match(line):
                self._replayed = 0 if self._shown else int(found[1])
            elif self._journal.marked and line.startswith(_MOVED) and self._early:
                self._early -= 1
            elif self._journal.marked and line.startswith(_MOVED):
                self._move()
        else:
            fail(f"{self._peer} got {line[:80]!r} in place of {wanted and wanted[:80]!r} ({self._at})")

    def _take(self, wire_size: int, size: int) -> None:
        if self.echoes is not None:
            self._echoed += 1
            self.delivered += wire_size if self._websocket else size
            return
        assert self._at is not None
        if self._shown:
            self._past += 1
        else:
            self._at += 1
        self.delivered += size

    def _wanted(self) -> bytes | None:
        """The next line that is to come, None where there is none yet."""
        if self.echoes is not None:
            return self.echoes[self._echoed] if self._echoed < len(self.echoes) else None
        self._pass_on()
        stays = self._journal.stays.get(self._peer)
        if not stays:
            return None
        assert self._at is not None
        if self._shown:
            return self._shown[0]
        lines = self._journal.lines.get(stays[self._stay].room, [])
        stop = stays[self._stay].stop
        return lines[self._at] if self._at < min(len(lines), len(lines) if stop is None else stop) else None

    def _pass_on(self) -> None:
        """Past its own lines, where it does not get these, and into the next room."""
        stays = self._journal.stays.get(self._peer)
        if not stays:
            return
        if self._at is None:
            self._at = stays[0].start
        while not self._shown:
            self._pass_own(stays[self._stay])
            if self._journal.marked or not self._is_to_move():
                return
            self._move()

    def _is_to_move(self) -> bool:
        """Its stay is over, and another one began."""
        stays = self._journal.stays[self._peer]
        return self._at == stays[self._stay].stop and self._stay + 1 < len(stays)

    @property
    def _shown(self) -> list[bytes]:
        """What of the history of its stay the client has still to get."""
        stays = self._journal.stays.get(self._peer, [])
        return stays[self._stay].shown[self._past :] if stays else []

    def _move(self) -> None:
        """Into the next room: all of this one has come."""
        stay, self._stay, self._past = self._journal.stays[self._peer][self._stay], self._stay + 1, 0
        self._at == stay.stop or fail(f"{self._peer} is told of the next room at {self._at} of {stay.stop}")
        self._at = self._journal.stays[self._peer][self._stay].start

    def _pass_own(self, stay: Stay) -> None:
        lines = self._journal.lines.get(stay.room, [])
        stop = len(lines) if stay.stop is None else min(stay.stop, len(lines))
        while (
            not self._own_too and self._at is not None and self._at < stop and self._is_own(lines[self._at])
        ):
            self._at += 1

    def _is_own(self, line: bytes) -> bool:
        found = _OWNER.search(line)
        return found is not None and int(found[1]) == self._number

    def _skip(self, count: int) -> None:
        for _ in range(count):
            if self._wanted() is None and self._is_to_move():
                self._move()  # A gap is told of before the answers that wait, and so before the next room.
                self._early += 1
            if self._wanted() is None:
                fail(f"{self._peer} is told of {count} lines, and there were not so many ({self._at})")
            assert self._at is not None
            self._at += 1


def frame(wire: bytearray) -> tuple[int, bytes, int] | None:
    """Opcode, payload and size on the wire of the first frame, None while it is not complete."""
    if len(wire) < 2:
        return None
    length, start = wire[1], 2
    if length == 126:
        length, start = int.from_bytes(wire[2:4], "big"), 4
    elif length == 127:
        length, start = int.from_bytes(wire[2:10], "big"), 10
    if len(wire) < start + length:
        return None
    return wire[0] & 0x0F, bytes(wire[start : start + length]), start + length
