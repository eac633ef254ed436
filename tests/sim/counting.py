"""What one turn of a staged hub did, call by call; and how much of the hub's source ran meanwhile."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from hub.net.listeners import Address, Socket
from hub.net.sockets import NotAccepted
from tests.sim.fakes import SimSockets
from tests.sim.kernel import Kernel


@dataclass
class Turn:
    """What one turn did. `calls` has (call, descriptor, bytes) in order; `counted` what counters gained."""

    wait_s: float = 0.0
    slept: bool = False
    """Nothing was ready, and it was willing to wait."""
    calls: list[tuple[str, int, int]] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)

    def count(self, call: str) -> int:
        return sum(name == call for name, _, _ in self.calls)

    def by_fd(self, call: str) -> Counter[int]:
        sizes: Counter[int] = Counter()
        for name, fd, size in self.calls:
            if name == call:
                sizes[fd] += size
        return sizes


class CountingSockets(SimSockets):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.turn = Turn()
        self.before_receive: Callable[[], None] = lambda: None

    def accept(self, listener: Socket) -> tuple[int, Address] | NotAccepted:
        self.turn.calls.append(("accept", listener.fileno(), 0))
        return super().accept(listener)

    def receive(self, fd: int, size: int) -> bytes | None:
        self.before_receive()
        data = super().receive(fd, size)
        self.turn.calls.append(("recv", fd, len(data or b"")))
        return data

    def has_input(self, fd: int) -> bool:
        self.turn.calls.append(("peek", fd, 0))
        return super().has_input(fd)

    def send(self, fd: int, data: bytes) -> int:
        self.turn.calls.append(("try", fd, len(data)))
        taken = super().send(fd, data)
        self.turn.calls.append(("send", fd, taken))
        return taken

    def send_many(self, fd: int, buffers: Sequence[bytes]) -> int:
        self.turn.calls.append(("try", fd, sum(map(len, buffers))))
        self.turn.calls.append(("parts", fd, len(buffers)))
        taken = super().send_many(fd, buffers)
        self.turn.calls.append(("send", fd, taken))
        return taken

    def close(self, fd: int) -> None:
        self.turn.calls.append(("close", fd, 0))
        super().close(fd)


@contextmanager
def counted_lines(of: str = "/hub/") -> Iterator[Counter[str]]:
    """How many lines of source the hub runs meanwhile: work that does not depend on the machine."""
    ran = Counter[str]()

    def local(frame: FrameType, event: str, arg: Any) -> Any:
        ran["lines"] += event == "line"
        return local

    def enter(frame: FrameType, event: str, arg: Any) -> Any:
        return local if of in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield ran
    finally:
        sys.settrace(before)
