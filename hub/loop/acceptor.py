"""The door: accept who comes, within a budget, or refuse with a line.

With no descriptor left a failed accept consumes nothing, so the listener stays readable and a loop that
only tries again spins. A spare descriptor is given up for one accept, to tell that peer so; where even
that fails, the door is shut for a moment. (libuv and redis guard themselves in the same way.)
"""

from __future__ import annotations

import ipaddress
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from hub.close_reasons import CloseReason
from hub.config.allowed_hosts import Hosts
from hub.loop.close_log import ending_of
from hub.loop.context import Hub
from hub.net.sockets import Address, NotAccepted, PeerGone, show_address
from hub.protocol.encoding import Form
from hub.protocol.line_decoder import LineBuffer
from hub.protocol.sniff import http_answer
from hub.protocol.telnet import TelnetFilter
from hub.protocol.ws_connection import WebSocket
from hub.session.client import Client, Transport

if TYPE_CHECKING:
    import socket

MESSAGE_BYTES: Final = 64 * 1024
"""A message may be several lines, a text that was pasted; each of them is held to --max-line."""
SHUT_S: Final = 0.25
"""How long the door stays shut when no descriptor can be had."""
MOST_VANISHED: Final = 64
"""So many failed accepts in a row are no peers that went away: the system lets nobody in (EPERM, say), and
leaves who waits in the backlog, so that trying on would spin."""


class Listener(NamedTuple):
    """One listening socket, and what those who come in by it speak."""

    sock: socket.socket
    transport: Transport
    port: int


class Door:
    """The listeners, and the rules of who may come in."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._listeners: dict[int, Listener] = {}
        self._lost: list[Listener] = []
        self._spare = hub.sockets.spare()
        self._next_id = 1
        self._opens_at: float | None = None
        self._vanished = 0
        settings = hub.settings
        self._exempt = [ipaddress.ip_network(cidr) for cidr in settings.per_ip_exempt]
        self._hosts = Hosts(settings.host, settings.allowed_hosts)
        self._page_hosts = Hosts(settings.web_host, settings.allowed_hosts)

    def open(self) -> None:
        """Bind and listen. Raises OSError, with the address in its message."""
        hub, settings = self._hub, self._hub.settings
        hub.addresses = self._listen("line", settings.port)
        if settings.ws:
            hub.ws_addresses = self._listen("websocket", settings.ws_port)
        if settings.read_only_port is not None:
            hub.read_only_addresses = self._listen("read-only", settings.read_only_port)

    def _listen(self, transport: Transport, port: int) -> tuple[str, ...]:
        bound = self._hub.sockets.listen(self._hub.settings.host, port)
        for sock, _ in bound:
            self._listeners[sock.fileno()] = Listener(sock, transport, sock.getsockname()[1])
            self._hub.poller.watch(sock.fileno())
        return tuple(address for _, address in bound)

    def close(self) -> None:
        """Accept no more. Whoever still waits in the backlog is reset by the kernel."""
        for fd, listener in self._listeners.items():
            self._hub.poller.forget(fd)
            self._hub.sockets.close(listener.sock)
        for listener in self._lost:
            self._hub.sockets.close(listener.sock)
        self._listeners.clear()
        self._lost.clear()
        self._opens_at = None
        self._spare.release()

    def is_listener(self, fd: int) -> bool:
        """Whether this descriptor is one of the door's."""
        return fd in self._listeners

    def timeout(self, now: float) -> float:
        """Seconds until the door opens again, for ever while it is not shut."""
        return math.inf if self._opens_at is None else max(0.0, self._opens_at - now)

    def tend(self, now: float) -> None:
        """Open the door again when its time has come and a descriptor is there."""
        if self._opens_at is None or now < self._opens_at:
            return
        try:
            if self._spare.refill():
                for fd in self._listeners:
                    self._hub.poller.watch(fd)
                self._opens_at = None
                return
        except OSError:  # epoll_ctl(2) has no memory: later, perhaps.
            pass
        self._shut(now)

    def _shut(self, now: float) -> None:
        """Look at nobody for a moment; whoever comes waits in the backlog."""
        for fd in self._listeners:
            self._hub.poller.forget(fd)
        self._opens_at = now + SHUT_S

    def admit(self, fd: int, now: float) -> None:
        """Take those who wait at this listener, up to the budget; the others are reported again."""
        listener = self._listeners[fd]
        for _ in range(self._hub.budgets.accepts):
            accepted = self._hub.sockets.accept(listener.sock)
            if accepted is NotAccepted.VANISHED:
                if self._nobody_gets_in(now):
                    return
                continue
            self._vanished = 0
            if accepted is NotAccepted.NO_RESOURCES and not self._refuse_with_spare(listener, now):
                return
            if isinstance(accepted, tuple):
                self._receive(self._client(*accepted, listener, now), now)
            elif accepted is NotAccepted.NO_LISTENER:
                self._lose(fd)
                return
            elif accepted is NotAccepted.NOBODY:
                return

    def _lose(self, fd: int) -> None:
        """The kernel would report it in every wait, for good. Its number stays taken: nothing closes here."""
        listener = self._listeners.pop(fd)
        self._lost.append(listener)
        self._hub.poller.forget(fd)
        self._hub.log("listener_lost", transport=listener.transport, port=listener.port)

    def _nobody_gets_in(self, now: float) -> bool:
        """One more that was not let in; whether they were too many, and the door had to be shut."""
        self._vanished = (self._vanished + 1) % MOST_VANISHED
        if not self._vanished:
            self._shut(now)
        return not self._vanished

    def _receive(self, client: Client, now: float) -> None:
        hub = self._hub
        refusal = self._refusal(client)
        if refusal:
            self._refuse(client, *refusal, now)
            return
        hub.counters.accepted += 1
        hub.per_address[client.address] += 1
        hub.by_fd[client.fd] = hub.clients[client.id] = client
        hub.counters.peak = max(hub.counters.peak, len(hub.clients))
        hub.interest(client)
        if client.reason is not None:  # It could not be watched.
            return
        hub.marks.heard.append(client)  # Its idle time starts at the next stamp, which is after it came.
        if client.websocket is not None:  # It joins when its handshake is done.
            hub.timers.handshake.touch(client.id, now)
            return
        hub.guarded(client, hub.mode.joined)
        if client.fresh:
            hub.timers.pause.touch(client.id, now)

    def _client(self, sock: socket.socket, address: Address, listener: Listener, now: float) -> Client:
        settings, is_line = self._hub.settings, listener.transport != "websocket"
        client = Client(
            id=self._next_id,
            sock=sock,
            fd=sock.fileno(),
            peer=show_address(address),
            address=_network_of(address[0]),
            joined_at=now,
            active_at=now,
            heard_at=now,
            lines=LineBuffer(settings.max_line_bytes),
            telnet=TelnetFilter() if settings.telnet and is_line else None,
            form=Form.CRLF if settings.eol == "crlf" else Form.LF,
            transport=listener.transport,
            read_only=listener.transport == "read-only",
        )
        if not is_line:
            client.opening, client.form = None, Form.FRAMES
            client.websocket = self._websocket(listener.port)
        self._next_id += 1
        return client

    def _websocket(self, port: int) -> WebSocket:
        hub, whole, most = self._hub, self._hub.settings.mode == "echo", self._hub.settings.max_line_bytes
        return WebSocket(
            max_message_bytes=most if whole or not most else max(most, MESSAGE_BYTES),
            max_line_bytes=most,
            whole=whole,
            hosts=self._hosts,
            page_hosts=self._page_hosts,
            port=port,
            page_port=hub.page_port,
            hint=hub.hint,
        )

    def _refusal(self, client: Client) -> tuple[CloseReason, str] | None:
        """Why this one may not come in, and the limit that says so."""
        hub = self._hub
        most, per_ip = hub.settings.max_clients, hub.settings.max_per_ip
        if most and len(hub.by_fd) >= most:
            return CloseReason.SERVER_FULL, f"limit={most}"
        if per_ip and hub.per_address[client.address] >= per_ip and not self._is_exempt(client.address):
            return CloseReason.PER_IP_LIMIT, f"limit={per_ip}"
        return None

    def _is_exempt(self, address: str) -> bool:
        network = ipaddress.ip_network(address)
        if network.network_address.is_loopback:
            return True
        return any(network.version == exempt.version and network.overlaps(exempt) for exempt in self._exempt)

    def _refuse(self, client: Client, reason: CloseReason, detail: str, now: float) -> None:
        """One send, our end of stream, one discard, close: a refused peer costs one turn at most."""
        hub = self._hub
        client.reason, client.detail = reason, detail
        line = f"* bye reason={reason} {detail}\r\n".encode()
        if client.websocket is not None:
            line = http_answer(HTTPStatus.SERVICE_UNAVAILABLE, line.decode().strip())
        try:
            if hub.settings.notices or client.websocket is not None:
                client.bytes_out = hub.sockets.send(client.sock, line)
                client.farewell_sent = client.bytes_out == len(line)
            hub.sockets.shutdown_write(client.sock)
            hub.sockets.receive(client.sock, hub.budgets.discard_bytes)
        except PeerGone:
            pass  # It was turned away all the same.
        hub.sockets.close(client.sock)
        hub.counters.accepted += 1
        hub.counters.refused += 1
        hub.counters.closed[reason] += 1
        hub.record(ending_of(client, hub.wall_s(now), now))

    def _refuse_with_spare(self, listener: Listener, now: float) -> bool:
        """Tell the next one that there is no room; False when there is none, or the door had to be shut."""
        self._spare.release()
        accepted = self._hub.sockets.accept(listener.sock)
        if isinstance(accepted, tuple):
            self._refuse(
                self._client(*accepted, listener, now), CloseReason.SERVER_FULL, "limit=descriptors", now
            )
        if self._spare.refill() and accepted is not NotAccepted.NO_RESOURCES:
            return accepted is not NotAccepted.NOBODY  # accept(2) says EMFILE before it looks who waits.
        self._shut(now)
        return False


def _network_of(host: str) -> str:
    """What a per-address limit counts: the IPv4 address, or the /64 that one IPv6 site usually has."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.version == 6 and not address.is_loopback:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
