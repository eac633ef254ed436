"""Poller, sockets and mailbox of the hub, on a simulated kernel: only what touches a descriptor is replaced.

The hub's own code stays: how masks are kept, how errors become reasons, how commands are taken.
"""

import select
import socket
from collections import deque
from typing import cast

from hub.control.mailbox import Mailbox
from hub.loop.event_loop import EventLoop
from hub.net.poller import Poller
from hub.net.sockets import Sockets, SpareDescriptor
from tests.sim.kernel import Bell, Description, Kernel
from tests.sim.tcp import Listener


class SimPoller(Poller):
    def __init__(self, trigger: str, kernel: Kernel) -> None:
        super().__init__(trigger, cast(select.epoll, kernel.epoll))


class SimSockets(Sockets):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self._kernel = kernel
        self.listeners: list[Listener] = []

    def listen(self, host: str, port: int) -> list[tuple[socket.socket, str]]:
        listener = Listener(self._kernel, 9000 + len(self.listeners))
        self.listeners.append(listener)
        return [(cast(socket.socket, listener), f"127.0.0.1:{listener.port}")]

    def spare(self) -> SpareDescriptor:
        return SimSpare(self._kernel)


class SimSpare(SpareDescriptor):
    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        super().__init__()

    def release(self) -> None:
        if self._fd is not None:
            self._kernel.close(self._fd)
            self._fd = None

    def refill(self) -> bool:
        if self._fd is None:
            try:
                self._fd = self._kernel.open(Description())
            except OSError:
                return False
        return True

    @property
    def held(self) -> bool:
        return self._fd is not None


class SimMailbox(Mailbox):
    def __init__(self, kernel: Kernel) -> None:
        self._commands = deque()
        self._bell = Bell()
        self.bells = (kernel.open(self._bell),)  # One: signals are no business of a simulation.

    def _ring(self) -> None:
        self._bell.ring()

    def _silence(self) -> None:
        self._bell.rung = 0


def watch_the_closer(loop: EventLoop, kernel: Kernel) -> None:
    """Only there a client's descriptor may be closed: everywhere else a batch may still hold it."""
    step = loop.hub.closer.step

    def watched(now: float) -> None:
        kernel.may_close = True
        step(now)
        kernel.may_close = False

    loop.hub.closer.step = watched  # type: ignore[method-assign]
