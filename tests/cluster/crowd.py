"""Clients of a cluster in one poll loop, who compare what they hear, while they hear it.

All of them follow one story: the talk as the first of them heard it. So nobody keeps a copy, and the first
byte that differs fails the test. The story itself is checked while it grows: no line is in it twice, and
those of a sender are in their order. Lines of the hubs' own begin with `* ` and are kept apart.
"""

import re
import time
from collections import Counter
from collections.abc import Callable

from tests.polled import Crowd, Polled
from tests.support import HubProcess

LINE = re.compile(rb"(?:<([^>\s]+)> )?(\w+) (\d+) \.*")
TOLD = re.compile(rb"^\* [^\n]*\n", re.MULTILINE)
NOT_SENT = re.compile(rb"\* not sent: (\d+) lines?")
MISSING = re.compile(rb"\* (the record of the cluster went back|\d+ messages of the cluster) ")
BEGIN = b"begin"
BACKLOG_BYTES = 64 * 1024
"""A speaker whose kernel left so much of what it said waits, as one with a blocking socket would."""


class Story:
    """The one sequence of lines."""

    def __init__(self) -> None:
        self.talk = bytearray()
        self.count: Counter[bytes] = Counter()
        """How many lines of each sender are in it."""
        self.pause_s = 0.0
        """The longest time in which it did not grow."""
        self._last: dict[bytes, int] = {}
        self._grew_at = time.monotonic()

    def follow(self, at: int, talk: bytes) -> int:
        """The place behind `talk`, heard at this place. AssertionError where others heard something else."""
        known = self.talk[at : at + len(talk)]
        assert talk.startswith(known), _difference(bytes(known), talk)
        if len(talk) > len(known):
            self._grow(talk[len(known) :])
        return at + len(talk)

    def clock_anew(self) -> None:
        """Begin to look for the longest pause."""
        self.pause_s, self._grew_at = 0.0, time.monotonic()

    def _grow(self, talk: bytes) -> None:
        now = time.monotonic()
        self.pause_s, self._grew_at = max(self.pause_s, now - self._grew_at), now
        self.talk += talk
        for line in talk.split(b"\n")[:-1]:
            found = LINE.fullmatch(line)
            assert found is not None, line
            nick, name, number = found[1], found[2], int(found[3])
            assert nick in (None, name), line
            assert number > self._last.get(name, -1), f"after {self._last[name]}: {line!r}"
            self._last[name] = number
            self.count[name] += 1

    def holes(self, name: bytes) -> int:
        """How many lines of a sender are left out before its last one."""
        return self._last.get(name, -1) + 1 - self.count[name]


class Follower(Polled):
    """A client. What it hears before the line `begin` stays in `heard`; then it follows the story."""

    def __init__(self, hub: HubProcess, name: str, story: Story) -> None:
        super().__init__(hub, name)
        self.told: list[bytes] = []
        """Lines of its hub's own, without their ends."""
        self.refused = 0
        """Lines of which it was told that they were not sent."""
        self.at = -1
        """Its place in the story; -1 before it follows."""
        self._story, self._torn = story, b""

    def decoded(self, data: bytes) -> bytes:
        """What came and is no part of the story."""
        data = self._torn + data
        cut = data.rfind(b"\n") + 1
        self._torn = data[cut:]
        talk = self._without_told(data[:cut])
        if self.at >= 0:
            self.at = self._story.follow(self.at, talk)
            return b""
        before, begin, behind = talk.partition(BEGIN + b"\n")
        if begin:
            self.at = self._story.follow(0, behind)
        return before + begin

    def _without_told(self, data: bytes) -> bytes:
        if b"* " not in data:
            return data
        for line in TOLD.findall(data):
            self.told.append(line[:-1])
            if found := NOT_SENT.fullmatch(line[:-1]):
                self.refused += int(found[1])
        return TOLD.sub(b"", data)


class Witness(Follower):
    """A client that comes later: it keeps what it hears, which is to be the end of the story."""

    def decoded(self, data: bytes) -> bytes:
        """The talk of it."""
        data = self._torn + data
        cut = data.rfind(b"\n") + 1
        self._torn = data[cut:]
        return self._without_told(data[:cut])

    @property
    def is_at_end(self) -> bool:
        """The client has heard all up to the end of the story, and since when it came nothing is missing."""
        return bool(self.heard) and self._story.talk.endswith(self.heard)


class Speakers(Crowd):
    """All clients of all hubs. They say lines in turn at a pace, and everybody listens meanwhile."""

    def __init__(self, lines_per_s: int, filler: bytes = b".") -> None:
        super().__init__()
        self.story = Story()
        self.followers: list[Follower] = []
        self.cut: set[Follower] = set()
        """Those whose hub was killed."""
        self._lines_per_s, self._filler = lines_per_s, filler
        self._next_s = 0.0

    @property
    def alive(self) -> list[Follower]:
        """Those who may speak."""
        for each in self.followers:
            assert not each.ended or each in self.cut, (each.name, each.ended, each.told[-3:])
        return [each for each in self.followers if each not in self.cut]

    def come(self, hub: HubProcess, names: list[str], kind: type[Follower], mode: str) -> None:
        """Clients with these names, who say hello to one another, or are witnesses and say nothing yet."""
        made = [kind(hub, name, self.story) for name in names]
        self.clients += made
        self.followers += made
        self.attend(made)
        for each in made:
            if mode == "chat":
                each.put(b"/nick " + each.name + b"\n")
            if kind is Follower:
                each.put(b"hello from %s\n" % each.name)

    def begin(self) -> None:
        """Wait until all heard their own hello, which went through the cluster; then the story begins."""
        self.until(lambda: all(b"hello from %s\n" % each.name in each.heard for each in self.clients))
        self.clients[0].put(BEGIN + b"\n")
        self.until(lambda: all(each.at >= 0 for each in self.alive))

    def speak(self, lines: int) -> None:
        """So many lines in all."""
        said = 0
        while said < lines:
            said += self._round()

    def speak_until(self, is_so: Callable[[], object], patience_s: float = 60.0) -> float:
        """Talk until it is so; how long that took."""
        begun_s = time.monotonic()
        while not is_so():
            assert time.monotonic() < begun_s + patience_s, is_so
            self._round()
        return time.monotonic() - begun_s

    def speak_for(self, seconds: float) -> None:
        """Talk for so long."""
        end_s = time.monotonic() + seconds
        self.speak_until(lambda: time.monotonic() >= end_s, seconds + 60.0)

    def settle(self, patience_s: float = 60.0, went_back: bool = False) -> None:
        """Listen until each line that was said was heard by all, or was refused to its sender.

        Nobody is told of anything that is missing, and of a record that went back only where one did.
        """
        try:
            self.until(lambda: all(map(self._is_done, self.alive)), patience_s)
        except AssertionError:
            raise AssertionError(
                [self._account(each) for each in self.alive if not self._is_done(each)]
            ) from None
        for each in self.alive:
            assert self.story.holes(each.name) <= each.refused, self._account(each)
        for each in self.cut:  # What its hub had not handed on went with it: the end of what was said.
            assert self.story.holes(each.name) == 0, each.name
        told = {line for each in self.alive for line in each.told if MISSING.search(line)}
        assert {line for line in told if not went_back or b"went back" not in line} == set()

    def told(self, text: bytes) -> set[bytes]:
        """Which hubs told all their clients a line with this in it, by the first letter of their names."""
        hubs = {each.name[:1] for each in self.alive}
        return hubs - {each.name[:1] for each in self.alive if not any(text in line for line in each.told)}

    def _round(self) -> int:
        """A line of each; then everybody listens until the next round is due. Returns how many were said."""
        speakers = [each for each in self.alive if len(each.out) < BACKLOG_BYTES]
        for each in speakers:
            each.say(each.number(self._filler))
        now = time.monotonic()
        self._next_s = max(now - 0.1, self._next_s) + max(1, len(speakers)) / self._lines_per_s
        self.turn()
        while (left := self._next_s - time.monotonic()) > 0:
            self.turn(left)
        return len(speakers)

    def _is_done(self, each: Follower) -> bool:
        heard_all = each.is_at_end if isinstance(each, Witness) else each.at == len(self.story.talk)
        return heard_all and self.story.count[each.name] + each.refused == len(each.said)

    def _account(self, each: Follower) -> str:
        heard = len(each.heard) if isinstance(each, Witness) else each.at
        return (
            f"{each.name.decode()} said {len(each.said)}, of which {self.story.count[each.name]} were heard "
            f"and {each.refused} refused; {len(each.out)} bytes unsent; "
            f"at {heard} of {len(self.story.talk)} bytes; told {each.told[-2:]}"
        )


def _difference(known: bytes, talk: bytes) -> str:
    place = next((i for i, (a, b) in enumerate(zip(known, talk, strict=False)) if a != b), 0)
    return f"others heard {known[place - 60 : place + 60]!r}, and this one {talk[place - 60 : place + 60]!r}"
