"""People who come and go where a few talk all the time: what each hears is one piece of one story."""

from __future__ import annotations

import random
import select
import time
from collections.abc import Callable

from tests.e2e.chat_clients import PATIENCE_S, Talker, WsTalker

SPEAKERS, VISITORS = 5, 50
SPEAK_EVERY_S, CHANGE_EVERY_S = 0.01, 0.1
EVERY_RESET = 10


class Traffic:
    """Five who talk and hear everything, and fifty at a time who say one line each and go again."""

    def __init__(self, port: int, ws_port: int, seed: int) -> None:
        self._port, self._ws_port = port, ws_port
        self._chance = random.Random(seed)
        self._poller = select.epoll()
        self._by_fd: dict[int, Talker] = {}
        self._here: list[Talker] = []
        self._said = 0
        self.visitors: list[Talker] = []
        self.speakers = [self._add(Talker(port, number)) for number in range(SPEAKERS)]

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        for talker in [*self.speakers, *self.visitors]:
            talker.sock.close()
        self._poller.close()

    @property
    def resets(self) -> int:
        """How many visitors were killed."""
        return sum(not visitor.alive for visitor in self.visitors)

    def run(self, seconds: float) -> None:
        """Talk while people come and go; then everybody leaves."""
        start_s = time.monotonic()
        self._say(self.speakers[0], b"the start")
        self._until(lambda: b"the start" in self.speakers[0].raw)
        speak_s = change_s = start_s
        while (now_s := time.monotonic()) < start_s + seconds:
            if now_s >= speak_s:
                speak_s += SPEAK_EVERY_S
                for speaker in self.speakers:
                    self._say(speaker, b"speaker %d" % speaker.number)
            if now_s >= change_s:
                change_s += CHANGE_EVERY_S
                self._change()
            self._turn(0.002)
        self._all_go()
        self._until(lambda: not any(talker.reads for talker in self.visitors))
        self._say(self.speakers[0], b"the end")
        self._until(lambda: b"the end" in self.speakers[0].raw[-64:])

    def check(self) -> int:
        """AssertionError where somebody did not hear one whole piece of the story; how many lines it has."""
        heard = self.speakers[0].canonical()
        story = heard[heard.index(b" the start\n") :]
        lines = story.splitlines(keepends=True)
        ends, at = {}, 0
        for line in lines:
            assert line not in ends, f"{line!r} comes twice"
            ends[line] = at
            at += len(line)
        for number, visitor in enumerate(self.visitors):
            if visitor.alive:
                self._check_piece(number, visitor.canonical(), story, ends)
            elif not isinstance(visitor, WsTalker):  # It was killed: the last line may be cut off.
                piece, _, _ = visitor.canonical().rpartition(b"\n")
                assert piece in story[ends.get(piece.split(b"\n")[0] + b"\n", 0) :]
        return len(lines)

    def _check_piece(self, number: int, heard: bytes, story: bytes, starts: dict[bytes, int]) -> None:
        first, _, _ = heard.partition(b"\n")
        at = starts[first + b"\n"]
        assert heard == story[at : at + len(heard)], f"visitor {number}: {heard[:1000]!r}"
        assert heard.endswith(b"\n") and b" visitor %d\n" % number in heard, f"visitor {number}: {heard!r}"

    def _change(self) -> None:
        self._all_go()
        for _ in range(VISITORS):
            number = len(self.visitors)
            kind, port = ((Talker, self._port), (WsTalker, self._ws_port))[number % 2]
            visitor = self._add(kind(port, number // 2))
            self.visitors.append(visitor)
            self._here.append(visitor)
            self._say(visitor, b"visitor %d" % number)

    def _all_go(self) -> None:
        for visitor in self._here:
            if self._chance.randrange(EVERY_RESET):
                visitor.leave()
            else:
                visitor.kill()
        self._here.clear()

    def _say(self, talker: Talker, what: bytes) -> None:
        talker.put(talker.encoded(b"%d %b" % (self._said, what)))
        self._said += 1
        talker.flush()

    def _add(self, talker: Talker) -> Talker:
        self._by_fd[talker.sock.fileno()] = talker
        self._poller.register(talker.sock.fileno(), select.EPOLLIN)
        return talker

    def _turn(self, timeout_s: float) -> None:
        for fd, _ in self._poller.poll(timeout_s):
            talker = self._by_fd[fd]
            talker.take()
            if not talker.reads:
                self._poller.unregister(fd)
                talker.sock.close()

    def _until(self, is_so: Callable[[], bool]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < end_s, f"still not done after {PATIENCE_S:g} s"
            self._turn(0.05)
