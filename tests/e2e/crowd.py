"""A crowd in one room: line and WebSocket clients in one epoll loop that compare what each of them hears.

Run as a process of its own, so that the hub has a processor for itself:

    python -m tests.e2e.crowd '{"port": 9000, "ws_port": 9001, "each": 50, "lines": 100, "seed": 1}'

The hub has to be in broadcast mode. It ends with 0 and a line of JSON when everyone heard every line of
every speaker, once, in that speaker's order, and all in the same order. WebSocket clients run on the client
side of the `websockets` library; a message is a line.

Nobody keeps what it heard. The client that is furthest writes the story on, and everyone else must hear
what is written; so the first byte that differs is found when it comes, in memory for one.
"""

from __future__ import annotations

import json
import random
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

PROBE, START, END = b"probe\n", b"the start\n", b"the end\n"
PATIENCE_S = 240.0
EVERY_LATE, EVERY_SPEAKER = 5, 4
LATE_BUFFER_BYTES, LATE_READ_BYTES, READ_BYTES = 1 << 15, 2000, 1 << 16
LATE_BYTES = 250_000
"""So much is said before those who are late read: more than all kernel buffers between two take."""
TELNET_NOP = b"\xff\xf1"
WORDS = ("ž", "grüß dich", "\N{GRINNING FACE}", "x" * 120, "y" * 300, "", "z" * 2500, "日本語" * 20)
"""What lines end in: their sizes are on both sides of 126 bytes, where a frame's header changes."""


class Story:
    """What the room said between START and END, as far as anybody has heard it."""

    def __init__(self) -> None:
        self.text = bytearray()

    def match(self, at: int, piece: bytes, who: str) -> int:
        """Somebody at `at` heard `piece`; where it stands then. AssertionError if others heard otherwise."""
        known = self.text[at : at + len(piece)]
        assert piece.startswith(known), f"{who} heard {piece[:300]!r} at {at}, others {bytes(known[:300])!r}"
        self.text += piece[len(known) :]
        return at + len(piece)

    @property
    def is_told(self) -> bool:
        return self.text.endswith(END)


class Member:
    """One client of the crowd: some read late, so that the hub's kernel refuses bytes, anywhere in a line."""

    def __init__(self, port: int, number: int, story: Story) -> None:
        self.sock = socket.socket()
        self._read_bytes = READ_BYTES
        self.is_late = number % EVERY_LATE == 0
        if self.is_late:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LATE_BUFFER_BYTES)
            self._read_bytes = LATE_READ_BYTES
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setblocking(False)
        self.who = f"{type(self).__name__} {number}"
        self.out = bytearray()
        self.to_say: deque[bytes] = deque()
        self.is_in = False
        """It has heard something, so it is in the room."""
        self.at = -1
        """Where it stands in the story; -1 before the start."""
        self._story = story
        self._early = b""

    @property
    def is_done(self) -> bool:
        return self._story.is_told and self.at == len(self._story.text)

    def say(self, lines: list[bytes]) -> None:
        """Lines for the room; `flush` sends them."""
        raise NotImplementedError

    def heard(self, data: bytes) -> bytes:
        """What came from the hub as canonical bytes."""
        raise NotImplementedError

    def flush(self) -> bool:
        """Send what waits; whether all of it is gone."""
        try:
            while self.out:
                del self.out[: self.sock.send(self.out)]
        except BlockingIOError:
            return False
        return True

    def read(self) -> None:
        """Take one read's worth, and compare it."""
        data = self.sock.recv(self._read_bytes)
        assert data, f"{self.who} was cut at {self.at}"
        piece = self.heard(data)
        if self.at < 0:
            piece = self._wait_for_start(piece)
        if self.at >= 0:
            self.at = self._story.match(self.at, piece, self.who)

    def _wait_for_start(self, piece: bytes) -> bytes:
        self._early += piece
        self.is_in = self.is_in or PROBE in self._early
        before, found, after = self._early.partition(START)
        if not found:
            return b""
        assert before.replace(PROBE, b"") == b"", f"{self.who} heard {before!r} before the start"
        self.at = 0
        return after


class LineMember(Member):
    """A client with LF, with CRLF, or one that speaks telnet; a line's content here has no CR."""

    def __init__(self, port: int, number: int, story: Story) -> None:
        super().__init__(port, number, story)
        self._end = (b"\n", b"\r\n")[number % 2]
        if number % 3 == 0:
            self.out += TELNET_NOP

    def say(self, lines: list[bytes]) -> None:
        self.out += b"".join(line + self._end for line in lines)

    def heard(self, data: bytes) -> bytes:
        return data.replace(b"\r", b"")


class WsMember(Member):
    """A WebSocket client; several lines said at once are one message."""

    def __init__(self, port: int, number: int, story: Story) -> None:
        super().__init__(port, number, story)
        self._protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/"), max_size=None)
        self._protocol.send_request(self._protocol.connect())
        self._take_writes()

    def say(self, lines: list[bytes]) -> None:
        self._protocol.send_text(b"\n".join(lines))
        self._take_writes()

    def heard(self, data: bytes) -> bytes:
        self._protocol.receive_data(data)
        lines = []
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode is not Opcode.PING:
                assert (event.opcode, event.fin) == (Opcode.TEXT, True), f"{self.who} got {event}"
                lines.append(bytes(event.data) + b"\n")
        assert self._protocol.state is State.OPEN, f"{self.who}: {self._protocol.handshake_exc}"
        self._take_writes()
        return b"".join(lines)

    def _take_writes(self) -> None:
        self.out += b"".join(self._protocol.data_to_send())


class Crowd:
    """All members and their poller."""

    def __init__(self, port: int, ws_port: int, each: int, seed: int) -> None:
        self.story = Story()
        self._chance = random.Random(seed)
        self._poller = select.epoll()
        self._by_fd: dict[int, Member] = {}
        self._end_s = time.monotonic() + PATIENCE_S
        for number in range(each):
            self._add(LineMember(port, number, self.story))
            self._add(WsMember(ws_port, number, self.story))
        self.members = list(self._by_fd.values())

    def close(self) -> None:
        for member in self.members:
            member.sock.close()
        self._poller.close()

    def gather(self) -> None:
        """Until everyone has heard a probe; then the story starts for all."""
        while not all(member.is_in for member in self.members):
            self.members[0].say([PROBE[:-1]])
            self.turn(0.05)
        self.members[0].say([START[:-1]])
        self._until(lambda: all(member.at >= 0 for member in self.members))

    def talk(self, lines: int) -> None:
        """Some of each kind say that many numbered lines, in the order of chance; some read only then."""
        late = [fd for fd, member in self._by_fd.items() if member.is_late]
        for fd in late:
            self._poller.unregister(fd)
        speakers = self._speakers()
        for who, speaker in enumerate(speakers):
            words = self._chance.choices(WORDS, k=lines)
            speaker.to_say.extend(f"{who} {count} {word}".encode() for count, word in enumerate(words))
        while speakers:
            for speaker in self._chance.sample(speakers, min(len(speakers), 8)):
                count = min(self._chance.choice((1, 1, 2, 5)), len(speaker.to_say))
                speaker.say([speaker.to_say.popleft() for _ in range(count)])
                speaker.flush()
            speakers = [speaker for speaker in speakers if speaker.to_say]
            self.turn(0)
            if late and len(self.story.text) > LATE_BYTES:
                self._hear_again(late)
        self._hear_again(late)
        self._until(lambda: self.story.text.count(b"\n") >= self.said(lines))
        self.members[0].say([END[:-1]])
        self._until(lambda: all(member.is_done for member in self.members))

    def _hear_again(self, late: list[int]) -> None:
        while late:
            self._poller.register(late.pop(), select.EPOLLIN)

    def said(self, lines: int) -> int:
        """How many lines are in the story when so many are said by each speaker."""
        return lines * len(self._speakers())

    def turn(self, timeout_s: float) -> None:
        """Read from everyone who has something, send for everyone who can."""
        assert time.monotonic() < self._end_s, f"{sum(not one.is_done for one in self.members)} still wait"
        for fd, _ in self._poller.poll(timeout_s):
            self._by_fd[fd].read()
        for member in self.members:
            if member.out:
                member.flush()

    def check(self, lines: int) -> None:
        """The story has each line once, and each speaker's in order."""
        numbers: dict[bytes, list[int]] = {}
        for line in bytes(self.story.text).removesuffix(END).splitlines():
            who, count, _ = line.split(b" ", 2)
            numbers.setdefault(who, []).append(int(count))
        assert len(numbers) * lines == self.said(lines)
        assert all(counted == list(range(lines)) for counted in numbers.values()), numbers

    def _speakers(self) -> list[Member]:
        return [member for at, member in enumerate(self.members) if at // 2 % EVERY_SPEAKER == 1]

    def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self.turn(0.05)

    def _add(self, member: Member) -> None:
        member.flush()
        self._by_fd[member.sock.fileno()] = member
        self._poller.register(member.sock.fileno(), select.EPOLLIN)


def run(port: int, ws_port: int, each: int, lines: int, seed: int) -> dict[str, float]:
    """Gather, talk, compare; what it came to."""
    with ExitStack() as stack:
        crowd = Crowd(port, ws_port, each, seed)
        stack.callback(crowd.close)
        crowd.gather()
        started_s = time.monotonic()
        crowd.talk(lines)
        seconds = time.monotonic() - started_s
        crowd.check(lines)
        said = crowd.said(lines)
        return {"members": len(crowd.members), "lines": said, "seconds": round(seconds, 1)}


if __name__ == "__main__":
    print(json.dumps(run(**json.loads(sys.argv[1]))))
