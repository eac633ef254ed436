"""The accept step: let in those who come, within a budget, or refuse them with a line.

With no descriptor left a failed accept consumes nothing, so the listener stays readable and a loop that
only tries again spins. A spare descriptor is given up for one accept, to tell that peer so; where even
that fails, the listeners are left alone for a moment. (libuv and redis guard themselves in the same way.)
"""

import ipaddress
import math
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final, NamedTuple

from hub.close_reasons import CloseReason
from hub.loop.client_factory import ClientFactory
from hub.loop.close_log import CloseLog
from hub.loop.core import Core, Step
from hub.loop.faults import Log
from hub.loop.opener import Opener
from hub.net.poller import Poller
from hub.net.sockets import NotAccepted, PeerGone, Socket
from hub.protocol.sniff import http_answer
from hub.session.client import Client, Transport
from hub.session.mode import Mode

PAUSE_S: Final = 0.25
"""How long nobody is accepted when no descriptor can be had."""
MOST_VANISHED: Final = 64
"""So many failed accepts in a row are no peers that went away: the system lets nobody in (EPERM, say), and
leaves those who wait in the backlog, so that trying on would spin."""


class Listener(NamedTuple):
    """A listening socket, and what those who come in by it speak."""

    sock: Socket
    transport: Transport
    port: int


class Acceptor(Step):
    """The listeners, and the rules of who may come in."""

    def __init__(
        self,
        core: Core,
        poller: Poller,
        mode: Mode,
        opener: Opener,
        factory: ClientFactory,
        close_log: CloseLog,
        log: Log,
    ) -> None:
        super().__init__(core)
        self._poller = poller
        self._opens_late = mode.opens_late
        self._opener = opener
        self._factory = factory
        self._close_log = close_log
        self._log = log
        self.listeners: dict[int, Listener] = {}
        self._lost: list[Listener] = []
        self.spare = core.sockets.spare()
        self.resumes_at: float | None = None
        """When the listeners are looked at again; None while they are."""
        self._vanished = 0
        self._exempt = [ipaddress.ip_network(cidr) for cidr in core.settings.per_ip_exempt]

    def open(self) -> None:
        """Bind and listen. Raises OSError, with the address in its message."""
        for transport, port in self._ports():
            bound = self._sockets.listen(self._settings.host, port)
            for sock, _ in bound:
                self.listeners[sock.fileno()] = Listener(sock, transport, sock.getsockname()[1])
                self._poller.watch(sock.fileno())
            self._status.addresses[transport] = tuple(address for _, address in bound)

    def _ports(self) -> Iterator[tuple[Transport, int]]:
        settings = self._settings
        yield "line", settings.port
        if settings.ws:
            yield "websocket", settings.ws_port
        if settings.read_only_port is not None:
            yield "read-only", settings.read_only_port
        if settings.write_only_port is not None:
            yield "write-only", settings.write_only_port

    def close(self) -> None:
        """Accept no more. A peer that still waits in the backlog is reset by the kernel."""
        for fd, listener in self.listeners.items():
            self._poller.forget(fd)
            self._sockets.close(listener.sock)
        for listener in self._lost:
            self._sockets.close(listener.sock)
        self.listeners.clear()
        self._lost.clear()
        self.resumes_at = None
        self.spare.release()

    def is_listener(self, fd: int) -> bool:
        """Whether this descriptor is a listener's."""
        return fd in self.listeners

    def timeout(self, now: float) -> float:
        """Seconds until the listeners are looked at again, infinite while they are."""
        return math.inf if self.resumes_at is None else max(0.0, self.resumes_at - now)

    def step(self, now: float) -> None:
        """Look at the listeners again when the time has come and a descriptor is there."""
        if self.resumes_at is None or now < self.resumes_at:
            return
        try:
            if self.spare.refill():
                for fd in self.listeners:
                    self._poller.watch(fd)
                self.resumes_at = None
                return
        except OSError:  # epoll_ctl(2) has no memory: later, perhaps.
            pass
        self._pause(now)

    def _pause(self, now: float) -> None:
        """Look at no listener for a moment; those who come wait in the backlog."""
        for fd in self.listeners:
            self._poller.forget(fd)
        self.resumes_at = now + PAUSE_S

    def accept(self, fd: int, now: float) -> None:
        """Take those who wait at this listener, up to the budget; the others are reported again."""
        listener = self.listeners[fd]
        for _ in range(self._budgets.accepts):
            accepted = self._sockets.accept(listener.sock)
            if accepted is NotAccepted.VANISHED:
                if self._nobody_gets_in(now):
                    return
                continue
            self._vanished = 0
            if accepted is NotAccepted.NO_RESOURCES and not self._refuse_with_spare(listener, now):
                return
            if isinstance(accepted, tuple):
                self._let_in(self._factory.make(*accepted, listener.transport, listener.port, now), now)
            elif accepted is NotAccepted.NO_LISTENER:
                self._lose(fd)
                return
            elif accepted is NotAccepted.NOBODY:
                return

    def _lose(self, fd: int) -> None:
        """The kernel would report it in every wait, for good. Its number stays taken: nothing closes here."""
        listener = self.listeners.pop(fd)
        self._lost.append(listener)
        self._poller.forget(fd)
        self._log("listener_lost", transport=listener.transport, port=listener.port)

    def _nobody_gets_in(self, now: float) -> bool:
        """Another peer that was not let in; whether they were too many, and the listeners are left alone."""
        self._vanished = (self._vanished + 1) % MOST_VANISHED
        if not self._vanished:
            self._pause(now)
        return not self._vanished

    def _let_in(self, client: Client, now: float) -> None:
        refusal = self._refusal(client)
        if refusal:
            self._refuse(client, *refusal, now)
            return
        counters = self._counters
        counters.accepted += 1
        self._connections.add(client)
        counters.peak = max(counters.peak, len(self._connections.clients))
        if client.close.reason is not None:  # The poller could not watch the client.
            return
        self._ready.received.append(client)  # Its idle time starts at the next stamp, which is after it came.
        if client.transport == "websocket":
            self._timers.handshake.touch(client.id, now)
        elif self._opens_late:
            self._timers.opening.touch(client.id, now)
        else:
            self._opener.open(client)

    def _refusal(self, client: Client) -> tuple[CloseReason, str] | None:
        """Why this client may not come in, and the limit that says so."""
        most, per_ip, connections = self._settings.max_clients, self._settings.max_per_ip, self._connections
        if most and len(connections.by_fd) >= most:
            return CloseReason.SERVER_FULL, f"limit={most}"
        address = client.address
        if per_ip and connections.per_address[address] >= per_ip and not self._is_exempt(address):
            return CloseReason.PER_IP_LIMIT, f"limit={per_ip}"
        return None

    def _is_exempt(self, address: str) -> bool:
        network = ipaddress.ip_network(address)
        if network.network_address.is_loopback:
            return True
        return any(network.version == exempt.version and network.overlaps(exempt) for exempt in self._exempt)

    def _refuse(self, client: Client, reason: CloseReason, detail: str, now: float) -> None:
        """A single send, our end of stream, one discard, close: a refused peer costs one turn at most."""
        client.close.reason, client.close.detail = reason, detail
        line = f"* bye reason={reason} {detail}\r\n".encode()
        if client.transport == "websocket":
            line = http_answer(HTTPStatus.SERVICE_UNAVAILABLE, line.decode().strip())
        tells = self._settings.notices or client.transport == "websocket"
        try:
            if tells and client.transport != "write-only":
                client.outbox.refused_with(len(line), self._sockets.send(client.sock, line))
            self._sockets.shutdown_write(client.sock)
            self._sockets.receive(client.sock, self._budgets.discard_bytes)
        except PeerGone:
            pass  # The peer was turned away all the same.
        self._sockets.close(client.sock)
        self._counters.accepted += 1
        self._counters.refused += 1
        self._counters.closed[reason] += 1
        self._close_log.record(client, self._status.wall_s(now), now)
        client.outbox.release()

    def _refuse_with_spare(self, listener: Listener, now: float) -> bool:
        """Tell the next peer that there is no room; False when there is none, or the listeners are left
        alone."""
        self.spare.release()
        accepted = self._sockets.accept(listener.sock)
        if isinstance(accepted, tuple):
            client = self._factory.make(*accepted, listener.transport, listener.port, now)
            self._refuse(client, CloseReason.SERVER_FULL, "limit=descriptors", now)
        if self.spare.refill() and accepted is not NotAccepted.NO_RESOURCES:
            return accepted is not NotAccepted.NOBODY  # accept(2) says EMFILE before it looks who waits.
        self._pause(now)
        return False
