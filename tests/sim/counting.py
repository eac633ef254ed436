"""What one turn of a staged hub did, call by call; and how much of the hub's source ran meanwhile."""

import socket
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from hub.net.sockets import Address, NotAccepted
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

    def accept(self, listener: socket.socket) -> tuple[socket.socket, Address] | NotAccepted:
        self.turn.calls.append(("accept", listener.fileno(), 0))
        return super().accept(listener)

    def receive(self, sock: socket.socket, size: int) -> bytes | None:
        fd, data = sock.fileno(), super().receive(sock, size)
        self.turn.calls.append(("recv", fd, len(data or b"")))
        return data

    def has_input(self, sock: socket.socket) -> bool:
        self.turn.calls.append(("peek", sock.fileno(), 0))
        return super().has_input(sock)

    def send(self, sock: socket.socket, data: bytes) -> int:
        self.turn.calls.append(("try", sock.fileno(), len(data)))
        taken = super().send(sock, data)
        self.turn.calls.append(("send", sock.fileno(), taken))
        return taken

    def send_many(self, sock: socket.socket, buffers: Sequence[bytes]) -> int:
        self.turn.calls.append(("try", sock.fileno(), sum(map(len, buffers))))
        self.turn.calls.append(("parts", sock.fileno(), len(buffers)))
        taken = super().send_many(sock, buffers)
        self.turn.calls.append(("send", sock.fileno(), taken))
        return taken

    def close(self, sock: socket.socket) -> None:
        self.turn.calls.append(("close", sock.fileno(), 0))
        super().close(sock)


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
