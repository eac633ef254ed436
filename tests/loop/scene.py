"""A hub on a simulated kernel, and in its room a client that takes nothing while the others keep up."""

from collections.abc import Callable
from typing import Any

from hub.session.read_gate import ROOM
from tests.sim.stage import Stage

SMALL_LAG = 64 * 1024
"""The smallest lag limit that a user may set."""
LINE = b"x" * 63 + b"\n"
KERNEL_BYTES = 600
"""What the kernel of the slow one takes, which is no multiple of a line in any encoding."""


class Scene:
    """A slow one, which came first, a talker, and others. In chat all are members, nothing is announced."""

    def __init__(self, others: int = 0, *, listener: int = 0, **settings: Any) -> None:
        self.stage = Stage(**{"max_lag_bytes": SMALL_LAG, "announce": 0, **settings})
        self.hub = self.stage.hub
        [self.slow] = self.stage.join(listener=listener, out=KERNEL_BYTES, reads=False)
        self.talker, *self.others = self.stage.join(1 + others)
        self.client, self.sender = self.stage.client(self.slow), self.stage.client(self.talker)
        self.greeting_bytes = len(self.slow.got)

    @property
    def waits(self) -> bool:
        """Whether the talker is not read because of its room."""
        return self.sender.gate.has(ROOM)

    @property
    def heard(self) -> bytes:
        """What the slow one's kernel took behind its greeting."""
        return self.slow.got[self.greeting_bytes :]

    @property
    def end(self) -> str:
        """Why the slow one is closed; empty while it is not."""
        close = self.client.close
        return f"{close.reason} {close.detail}" if close.reason else ""

    def say(self, data: bytes) -> None:
        """The talker says this, as far as the hub reads it."""
        self.talker.send(data)
        self.stage.rest()

    def talk_until(self, look: Callable[[], object], data: bytes = LINE * 16) -> None:
        """The talker says this again and again."""
        for _ in range(1000):
            if look():
                return
            self.say(data)
        raise AssertionError(f"still not so: {look}")

    def fill(self, more: int = 20) -> None:
        """The slow one has got a part of a line, and is owed the rest of it and so many lines more."""
        self.talk_until(lambda: self.client.outbox.partial is not None, LINE)
        self.say(LINE * more)

    def takes(self, size: int = KERNEL_BYTES // 2) -> None:
        """The slow one takes so many bytes."""
        self.slow.takes(size)
        self.stage.rest()

    def reads(self) -> None:
        """The slow one reads from here on."""
        self.slow.reads = True
        self.stage.rest()

    def pass_s(self, seconds: float, *, signs: bool = False) -> None:
        """The time passes in steps of half a second, in which the slow one may take something."""
        for _ in range(round(2 * seconds)):
            if signs:
                self.takes()
            self.stage.pass_time(0.5)
