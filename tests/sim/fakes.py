"""Poller, sockets and mailbox of the hub, on a simulated kernel: only what touches a descriptor is replaced.

The hub's own code stays: how masks are kept, how errors become reasons, how commands are taken.
"""

import select
from collections import deque
from collections.abc import Callable
from typing import cast

from hub.control.mailbox import Mailbox
from hub.loop.assembly import Hub
from hub.loop.closer import Closer
from hub.loop.flow_control import FlowControl
from hub.net.listeners import Address, Socket
from hub.net.poller import EVENTS_PER_WAIT, Poller
from hub.net.sockets import Sockets, SpareDescriptor
from hub.session.client import Client
from tests.sim.kernel import Bell, Description, Kernel, fail
from tests.sim.tcp import Listener, tcp_at


class SimPoller(Poller):
    def __init__(self, trigger: str, kernel: Kernel, events_per_wait: int = EVENTS_PER_WAIT) -> None:
        super().__init__(trigger, cast(select.epoll, kernel.epoll), events_per_wait)


class SimSockets(Sockets):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__(
            lambda fd, size: tcp_at(kernel, fd).recv(size),
            lambda fd, data: tcp_at(kernel, fd).send(data),
            lambda fd, buffers: tcp_at(kernel, fd).writev(buffers),
        )
        self._kernel = kernel
        self.listeners: list[Listener] = []

    def listen(self, host: str, port: int) -> list[tuple[Socket, str]]:
        listener = Listener(self._kernel, 9000 + len(self.listeners))
        self.listeners.append(listener)
        return [(cast(Socket, listener), f"127.0.0.1:{listener.port}")]

    def spare(self) -> SpareDescriptor:
        return SimSpare(self._kernel)

    def send_shared(self, fd: int, data: bytes) -> int:
        return self.send(fd, data)

    def _accept(self, listener: Socket) -> tuple[int, Address]:
        tcp = cast(Listener, listener).accept()
        return tcp.fd, tcp.address

    def _peek(self, fd: int) -> bytes:
        return tcp_at(self._kernel, fd).recv(1, peek=True)

    def _tcp_info(self, fd: int, size: int) -> bytes:
        return tcp_at(self._kernel, fd).tcp_info(size)

    def _shutdown_write(self, fd: int) -> None:
        tcp_at(self._kernel, fd).shutdown()

    def _close(self, fd: int) -> None:
        listening = {listener.fd: listener for listener in self.listeners}
        (listening.get(fd) or tcp_at(self._kernel, fd)).close()


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

    def ring(self) -> None:
        self._bell.ring()

    def _silence(self) -> None:
        self._bell.rung = 0


class WatchedCloser(Closer):
    """Only in its step a client's descriptor may be closed: everywhere else a batch may still hold it."""

    def __init__(self, hub: Hub, kernel: Kernel) -> None:
        super().__init__(hub, hub.mode, hub.writer)
        self._kernel = kernel
        self.before_close: Callable[[Client, float], None] = lambda client, now: None

    def slice(self, now: float) -> None:
        self._kernel.may_close = True
        super().slice(now)
        self._kernel.may_close = False

    def close(self, client: Client, now: float) -> None:
        self.before_close(client, now)
        super().close(client, now)
        client.fd < 0 or fail(f"{client.peer} is closed, and keeps the number of its descriptor")


class WatchedFlow(FlowControl):
    """Checks that a client which ends because it took nothing in time has something to take."""

    def stuck(self, client: Client, due: float, now: float) -> None:
        not client.outbox.is_empty or fail(f"{client.peer} ended as stuck, and had taken everything")
        super().stuck(client, due, now)


class WatchedHub(Hub):
    def make_flow(self) -> FlowControl:
        return WatchedFlow(self, self.intake.outbox_bytes)
