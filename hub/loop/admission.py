"""How an accepted connection becomes a client: made, then let in or refused with a line, and opened."""

from http import HTTPStatus
from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple

from hub.close_reasons import CloseReason, told_to_people
from hub.config.allowed_hosts import Hosts
from hub.loop.core import Core, Step
from hub.net.listeners import Address, Socket
from hub.net.sockets import PeerGone
from hub.protocol.encoding import Encoding
from hub.protocol.line_transport import LineTransport
from hub.protocol.sniff import http_answer
from hub.protocol.ws_connection import WebSocket
from hub.protocol.ws_handshake import Terms
from hub.rooms.outbox import Outbox
from hub.session.client import Client, Transport
from hub.session.inbox import Inbox
from hub.session.mode import Mode

MESSAGE_BYTES: Final = 64 * 1024
"""A message may be several lines, a text that was pasted; each of them is held to --max-line."""


class Listener(NamedTuple):
    """A listening socket, and what those who come in by it speak."""

    sock: Socket
    transport: Transport
    port: int


class Admission(Step):
    """Makes clients, numbers them, and has the rules of who may come in. An id is never used again."""

    def __init__(self, core: Core, mode: Mode) -> None:
        super().__init__(core)
        self._account, self._mode, settings = core.account, mode, core.settings
        self._next_id = 1
        self._hosts = Hosts(settings.host, settings.allowed_hosts)
        self._page_hosts = Hosts(settings.web_host, settings.allowed_hosts)
        self._exempt = [ip_network(cidr) for cidr in settings.per_ip_exempt]

    def admit(self, fd: int, address: Address, listener: Listener, now: float, limit: str = "") -> None:
        """Let in who came by this listener, or refuse them: by a rule, or for a limit of the system."""
        client = self._make(fd, address, listener, now)
        self._counters.accepted += 1
        self._log("accepted", level="debug", id=client.id, peer=client.peer, transport=client.transport)
        refusal = (CloseReason.SERVER_FULL, f"limit={limit}") if limit else self._refusal(client.address)
        if refusal:
            self._refuse(client, *refusal, now)
        else:
            self._let_in(client, now)

    def _make(self, fd: int, address: Address, listener: Listener, now: float) -> Client:
        settings, transport = self._settings, listener.transport
        encoding: Encoding = "crlf" if settings.eol == "crlf" else "lf"
        if transport == "websocket":
            inbox, encoding = Inbox(self._websocket(listener.port), now), "frames"
        else:
            cr_ends = settings.line_end == "cr"
            lines = LineTransport(settings.max_line_bytes, telnet=settings.telnet, cr_ends=cr_ends)
            inbox = Inbox(lines, now)
        host, port = address[0], address[1]
        client = Client(self._next_id, fd, host, port, network_of(host), transport, inbox, now)
        is_mute = transport == "write-only"
        client.outbox = Outbox(client.id, client, self._account, encoding, write_only=is_mute)
        self._next_id += 1
        return client

    def _websocket(self, port: int) -> WebSocket:
        whole, most = self._settings.mode == "echo", self._settings.max_line_bytes
        terms = Terms(self._hosts, port, self._page_hosts, self._status.page_port, self._status.hint)
        most_in_all = most if whole or not most else max(most, MESSAGE_BYTES)
        return WebSocket(terms, max_message_bytes=most_in_all, max_line_bytes=most, whole=whole)

    def _refusal(self, address: str) -> tuple[CloseReason, str] | None:
        """Why a client from there may not come in, and the limit that says so."""
        most, per_ip, connections = self._settings.max_clients, self._settings.max_per_ip, self._connections
        if most and len(connections.by_fd) >= most:
            return CloseReason.SERVER_FULL, f"limit={most}"
        if per_ip and connections.per_address[address] >= per_ip and not self._is_exempt(address):
            return CloseReason.PER_IP_LIMIT, f"limit={per_ip}"
        return None

    def _is_exempt(self, address: str) -> bool:
        its = ip_network(address)
        exempt = (other for other in self._exempt if other.version == its.version)
        return its.network_address.is_loopback or any(its.overlaps(other) for other in exempt)

    def _refuse(self, client: Client, reason: CloseReason, detail: str, now: float) -> None:
        """A single send, our end of stream, one discard, close: a refused peer costs one turn at most."""
        close = client.ending
        close.reason, close.detail, close.is_stranger = reason, detail, True
        told, is_browser = f"* bye {told_to_people(reason, detail)}", client.transport == "websocket"
        line = http_answer(HTTPStatus.SERVICE_UNAVAILABLE, told) if is_browser else f"{told}\r\n".encode()
        try:
            if is_browser or (self._settings.notices and client.transport != "write-only"):
                client.outbox.refused_with(len(line), self._sockets.send(client.fd, line))
            self._sockets.shutdown_write(client.fd)
            self._sockets.receive(client.fd, self._budgets.discard_bytes)
        except PeerGone:
            pass  # The peer was turned away all the same.
        self._sockets.close(client.fd)
        self._counters.closed[reason] += 1
        self._close_log.record(client, now)
        client.outbox.release()

    def _let_in(self, client: Client, now: float) -> None:
        self._connections.add(client)
        self._counters.peak = max(self._counters.peak, len(self._connections.clients))
        if client.close.reason is not None:  # The poller could not watch the client.
            return
        self._ready.received.append(client)  # Its idle time starts at the next stamp, which is after it came.
        if client.transport == "websocket":
            self._timers.handshake.touch(client.id, now)
        elif self._mode.opens_late:
            self._timers.opening.touch(client.id, now)
        else:
            self.open(client)

    def open(self, client: Client) -> None:
        """From OPENING to OPEN: the client joins what its mode has, is greeted and shown the history, and its
        idle time starts. The loop sees to it that they are not too many in one turn.

        The greeting and the history go in LF unless telnet was spoken: when a client's first line end came
        must not show in what it sees.
        """
        client.phase = "open"
        self._timers.opening.forget(client.id)
        self._timers.handshake.forget(client.id)
        self._ready.received.append(client)
        self.guard(client, self._mode.joined)
        if self._settings.eol == "auto" and client.transport != "websocket":
            client.outbox.fix_encoding()


def network_of(host: str) -> str:
    """What a per-address limit counts: the IPv4 address, or the /64 that one IPv6 site usually has."""
    if ":" not in host:
        return host
    address = ip_address(host.partition("%")[0])
    if address.version == 6 and not address.is_loopback:
        return str(ip_network((address, 64), strict=False))
    return str(address)
