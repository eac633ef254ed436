"""A hundred clients in one poller who all talk at once, and some of whom are killed in the middle of it.

The hub has to be in broadcast mode. Half of the clients are WebSockets; of the others every second ends its
lines with CRLF. What each is sent is kept as it came and looked at afterwards, so that a round costs
the machine next to nothing besides the hub: with twelve clients talking between two looks at the poller
a hundred of them say and hear 5,000 lines in well under a second.
"""

from __future__ import annotations

import random
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from tests.unit.protocol.support import close, request_to, text

PATIENCE_S = 60.0
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of 0: close(2) sends RST, socket(7)."""
WORDS = (b"", b"x", b"gr\xc3\xbc\xc3\x9f dich", b"\xf0\x9f\x98\x80 " * 3, b"y" * 119, b"z" * 130, b"w" * 400)
"""What lines end in: on both sides of 126 bytes, where the header of a frame changes."""
AT_ONCE = 12
"""At most so many talk between two looks at the poller."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One round: who talks, how much, and how many are killed."""

    seed: int
    clients: int = 100
    lines: int = 50
    killed: int = 10


class Talker:
    """One client: what it still has to say, what of that its kernel took, and all that it was sent."""

    def __init__(self, port: int, number: int) -> None:
        self.number = number
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.sock.setblocking(False)
        self.raw = bytearray()
        self.out = bytearray()
        self.borders: list[int] = []
        """Where in all that it says each of its tagged lines ends."""
        self.queued = self.sent = 0
        self.to_say: list[bytes] = []
        self.alive = self.reads = True

    def encoded(self, line: bytes) -> bytes:
        """A line on this client's kind of wire."""
        return line + (b"\n", b"\r\n")[self.number // 2 % 2]

    def put(self, data: bytes) -> None:
        """Say it as soon as the kernel takes it."""
        self.out += data
        self.queued += len(data)

    def say_next(self, count: int) -> None:
        """The next of its tagged lines."""
        for _ in range(min(count, len(self.to_say))):
            self.put(self.encoded(self.to_say.pop()))
            self.borders.append(self.queued)

    def flush(self, most: int = 1 << 20) -> None:
        """Hand at most so many bytes to the kernel."""
        try:
            took = self.sock.send(memoryview(self.out)[:most]) if self.out else 0
        except BlockingIOError:
            return
        self.sent += took
        self.out = self.out[took:]

    def take(self) -> None:
        """Read once. A hub that closes before we did is found out when the stream is compared."""
        data = self.sock.recv(1 << 18)
        self.raw += data
        self.reads = bool(data)

    def kill(self) -> None:
        """RST, whatever is under way."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.sock.close()
        self.alive = self.reads = False

    def leave(self) -> None:
        """An orderly end; the rest is still read."""
        self.sock.shutdown(socket.SHUT_WR)

    @property
    def lines_sent(self) -> int:
        """How many of its tagged lines its kernel took whole."""
        return sum(border <= self.sent for border in self.borders)

    def canonical(self) -> bytes:
        """What it was sent, as lines that end in LF."""
        return bytes(self.raw).replace(b"\r\n", b"\n")


class WsTalker(Talker):
    """The same as a WebSocket: a line is a message."""

    def __init__(self, port: int, number: int) -> None:
        super().__init__(port, number)
        self.put(request_to(port))

    def encoded(self, line: bytes) -> bytes:
        return text(line)

    def leave(self) -> None:
        self.put(close(1000))
        self.flush()

    def canonical(self) -> bytes:
        head, _, rest = bytes(self.raw).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return b"".join(messages(rest))


def messages(data: bytes) -> Iterator[bytes]:
    """Text messages as lines; AssertionError for any other frame, but for one Close at the very end."""
    at = 0
    while at < len(data):
        opcode, size, at = data[at], data[at + 1], at + 2
        if size == 126:
            size, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        payload, at = data[at : at + size], at + size
        if opcode == 0x88 and at == len(data):
            return
        assert opcode == 0x81 and len(payload) == size < 65536, f"frame {opcode:#x} of {size} before {at}"
        yield payload + b"\n"


class Round:
    """Everybody comes, everybody talks while some are killed, and everybody leaves."""

    def __init__(self, port: int, ws_port: int, plan: Plan) -> None:
        self.plan = plan
        self._chance = random.Random(plan.seed)
        self._poller = select.epoll()
        self._end_s = time.monotonic() + PATIENCE_S
        half = plan.clients // 2
        self.talkers = [Talker(port, number) for number in range(half)]
        self.talkers += [WsTalker(ws_port, half + number) for number in range(plan.clients - half)]
        self._by_fd = {talker.sock.fileno(): talker for talker in self.talkers}
        for fd in self._by_fd:
            self._poller.register(fd, select.EPOLLIN)
        self.doomed = self._chance.sample(self.talkers, plan.killed)
        self.stayers = [talker for talker in self.talkers if talker not in self.doomed]

    def __enter__(self) -> Round:
        return self

    def __exit__(self, *_: object) -> None:
        for talker in self.talkers:
            talker.sock.close()
        self._poller.close()

    def gather(self) -> None:
        """Until everybody is in the room, and has heard the line with which the story starts."""
        for talker in self.talkers:
            talker.put(talker.encoded(b"hello %d" % talker.number))
        self._until(lambda: all(b"hello" in talker.raw for talker in self.talkers))
        self.talkers[0].put(self.talkers[0].encoded(b"start"))
        self._until(lambda: all(b"start" in talker.raw for talker in self.talkers))

    def talk(self) -> None:
        """All say all they have, in the order of chance, and some go with a reset in the middle of a line."""
        chance, plan = self._chance, self.plan
        for talker in self.talkers:
            said = [b"%d:%d %b" % (talker.number, n, chance.choice(WORDS)) for n in range(plan.lines)]
            talker.to_say = said[::-1]
        total = plan.clients * plan.lines
        moments = sorted(chance.randrange(total // 20, total * 8 // 10) for _ in self.doomed)
        doomed, said_lines = list(self.doomed), 0
        while speakers := [talker for talker in self.talkers if talker.alive and talker.to_say]:
            for talker in chance.sample(speakers, min(len(speakers), chance.randrange(1, AT_ONCE + 1))):
                before = len(talker.to_say)
                talker.say_next(chance.choice((1, 1, 2, 5)))
                said_lines += before - len(talker.to_say)
                talker.flush(chance.choice((1, 30, 200, 1 << 20)))
            while doomed and moments[len(self.doomed) - len(doomed)] < said_lines:
                doomed.pop().kill()
            self.turn(0)
        assert not doomed
        self._until(lambda: not any(talker.out for talker in self.talkers if talker.alive))
        # Whatever anybody said is before this line: it goes out when the last lines have come back.
        self._until(self._all_is_heard)
        self.stayers[0].put(self.stayers[0].encoded(b"the end"))
        self._until(lambda: all(b"the end" in talker.raw[-64:] for talker in self.stayers))

    def leave(self) -> None:
        """The others end in order, and hear the hub's end."""
        for talker in self.stayers:
            talker.leave()
        self._until(lambda: not any(talker.reads for talker in self.stayers))

    def turn(self, timeout_s: float) -> None:
        """Read from whoever has something, send for whoever waits."""
        assert time.monotonic() < self._end_s, f"still not done after {PATIENCE_S:g} s"
        for fd, _ in self._poller.poll(timeout_s):
            talker = self._by_fd[fd]
            if talker.reads:
                talker.take()
                if not talker.reads:
                    self._poller.unregister(fd)
        for talker in self.talkers:
            if talker.out and talker.alive and (timeout_s or len(talker.out) > 2000):
                talker.flush()

    def check(self) -> str:
        """The one sequence of all who stayed, as a hash; AssertionError where anything is wrong with it."""
        told: dict[bytes, bytes] = {}
        for talker in self.stayers:
            heard = talker.canonical()
            story = heard[heard.index(b"start\n") :]
            told.setdefault(sha256(story).digest(), story)
        assert len(told) == 1, [story[:2000] for story in told.values()]
        ((digest, story),) = told.items()
        first, *lines, last = story.splitlines()
        assert (first, last) == (b"start", b"the end")
        self._check_senders(lines)
        return digest.hex()

    def _check_senders(self, lines: list[bytes]) -> None:
        said: dict[int, list[int]] = {talker.number: [] for talker in self.talkers}
        for line in lines:
            who, _, rest = line.partition(b":")
            number, _, word = rest.partition(b" ")
            assert word in WORDS, line
            said[int(who)].append(int(number))
        for talker in self.talkers:
            numbers = said[talker.number]
            assert numbers == list(range(len(numbers))), (talker.number, numbers)
            if talker.alive:
                assert len(numbers) == self.plan.lines, (talker.number, numbers)
            assert len(numbers) <= talker.lines_sent, (talker.number, numbers)

    def _all_is_heard(self) -> bool:
        """Whether the first of all, which is no WebSocket, has heard the last line of each who stayed."""
        heard, last = self.stayers[0].raw, self.plan.lines - 1
        return all(b"\n%d:%d " % (talker.number, last) in heard for talker in self.stayers)

    def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self.turn(0.05)


def play(port: int, ws_port: int, plan: Plan) -> str:
    """One round from the first connection to the last end; the hash of what everybody heard."""
    with Round(port, ws_port, plan) as round_:
        round_.gather()
        round_.talk()
        round_.leave()
        return round_.check()
