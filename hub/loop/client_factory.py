"""How a client is made of an accepted connection: its transport, its inbox and its outbox."""

import ipaddress
from typing import Final

from hub.config.allowed_hosts import Hosts
from hub.config.settings import Settings
from hub.loop.status import Status
from hub.net.sockets import Address, Socket, show_address
from hub.protocol.encoding import Encoding
from hub.protocol.line_transport import LineTransport
from hub.protocol.ws_connection import WebSocket
from hub.rooms.accounting import Account
from hub.rooms.outbox import Outbox
from hub.session.client import Client, Transport
from hub.session.inbox import Inbox

MESSAGE_BYTES: Final = 64 * 1024
"""A message may be several lines, a text that was pasted; each of them is held to --max-line."""


class ClientFactory:
    """Makes clients and numbers them; an id is never used again."""

    def __init__(self, settings: Settings, account: Account, status: Status) -> None:
        self._settings = settings
        self._account = account
        self._status = status
        self._next_id = 1
        self._hosts = Hosts(settings.host, settings.allowed_hosts)
        self._page_hosts = Hosts(settings.web_host, settings.allowed_hosts)

    def make(self, sock: Socket, address: Address, transport: Transport, port: int, now: float) -> Client:
        """The client of a connection that came in by this port."""
        settings = self._settings
        if transport == "websocket":
            inbox, encoding = Inbox(self._websocket(port), now), Encoding.FRAMES
        else:
            inbox = Inbox(LineTransport(settings.max_line_bytes, telnet=settings.telnet), now)
            encoding = Encoding.CRLF if settings.eol == "crlf" else Encoding.LF
        client = Client(
            self._next_id, sock, show_address(address), network_of(address[0]), transport, inbox, now
        )
        is_mute = transport == "write-only"
        client.outbox = Outbox(client.id, client, self._account, encoding, write_only=is_mute)
        self._next_id += 1
        return client

    def _websocket(self, port: int) -> WebSocket:
        whole, most = self._settings.mode == "echo", self._settings.max_line_bytes
        return WebSocket(
            max_message_bytes=most if whole or not most else max(most, MESSAGE_BYTES),
            max_line_bytes=most,
            whole=whole,
            hosts=self._hosts,
            page_hosts=self._page_hosts,
            port=port,
            page_port=self._status.page_port,
            hint=self._status.hint,
        )


def network_of(host: str) -> str:
    """What a per-address limit counts: the IPv4 address, or the /64 that one IPv6 site usually has."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.version == 6 and not address.is_loopback:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
