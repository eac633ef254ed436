"""The connections of made-up clients: plain TCP, and WebSocket with the same verbs.

Neither keeps what it hears, so a client costs the same however long it stays. Faults of the network are
OSErrors here, whatever the library called them.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import WebSocketException

CONNECT_WITHIN_S = 10.0
READ_BYTES = 1 << 16
SHUTDOWN = b"reason=server_shutdown"


class HubEnds(Exception):
    """The hub said that it shuts down."""


class Connection(Protocol):
    """What a client needs of its connection."""

    async def say(self, *lines: str) -> None:
        """Send these lines, and wait while the hub does not take them. Raises OSError."""

    async def listen(self) -> None:
        """Read and forget until the other side ends. Raises OSError; HubEnds when the farewell says so."""

    def lines(self) -> AsyncIterator[str]:
        """What it hears, line by line without their ends, until the other side ends. Raises OSError."""

    async def close_in_order(self) -> None:
        """Have the hub end this connection in order, behind everything that it owes. Raises OSError."""

    def reset(self) -> None:
        """RST instead of FIN."""


class Tcp:
    """A TCP client. Clients that misbehave use the writer's transport."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, *lines: str) -> None:
        """Send these lines. Raises OSError."""
        await self.send("".join(f"{line}\n" for line in lines).encode())

    async def send(self, data: bytes) -> None:
        """Send bytes as they are. Raises OSError."""
        self.writer.write(data)
        await self.writer.drain()

    async def listen(self) -> None:
        """Read and forget until end of stream. Raises OSError and HubEnds."""
        end = b""
        while data := await self.reader.read(READ_BYTES):
            end = (end + data)[-200:]
        if SHUTDOWN in end:
            raise HubEnds

    async def lines(self) -> AsyncIterator[str]:
        """What it hears, line by line without their ends, until end of stream. Raises OSError."""
        while line := await self.reader.readline():
            yield line.decode(errors="replace").rstrip("\r\n")

    async def close_in_order(self) -> None:
        """Send the end of the stream; reading goes on. Raises OSError."""
        self.writer.write_eof()

    def reset(self) -> None:
        """RST instead of FIN: socket(7), SO_LINGER with a time of 0."""
        _reset(self.writer.transport)


class WebSocket:
    """A WebSocket client: one line is one text message."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def say(self, *lines: str) -> None:
        """Send these lines. Raises OSError."""
        with _as_os_error():
            for line in lines:
                await self._connection.send(line)

    async def listen(self) -> None:
        """Read and forget until the other side closes. Raises OSError and HubEnds."""
        end: str | bytes = b""
        with _as_os_error():
            async for message in self._connection:
                end = message
        if SHUTDOWN in (end.encode() if isinstance(end, str) else end):
            raise HubEnds

    async def lines(self) -> AsyncIterator[str]:
        """What it hears, line by line, until the other side closes. Raises OSError."""
        with _as_os_error():
            async for message in self._connection:
                yield message if isinstance(message, str) else message.decode(errors="replace")

    async def close_in_order(self) -> None:
        """Ask the hub (in chat mode) to close: behind a Close of our own nothing is heard. Raises OSError."""
        await self.say("/quit")

    def reset(self) -> None:
        """RST instead of FIN."""
        _reset(self._connection.transport)


@contextlib.asynccontextmanager
async def dial(address: str, *, receive_buffer: int = 0) -> AsyncIterator[Tcp]:
    """A TCP client of `host:port`, closed at the end whatever happens. Raises OSError.

    `receive_buffer` bytes make a small one, socket(7) SO_RCVBUF, which has to be set before connecting.
    """
    host, port = split(address)
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setblocking(False)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):  # wait_for of 3.11 may swallow a cancellation.
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=READ_BYTES)
    except BaseException:
        sock.close()
        raise
    try:
        yield Tcp(reader, writer)
    finally:
        writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()


@contextlib.asynccontextmanager
async def dial_websocket(address: str) -> AsyncIterator[WebSocket]:
    """A WebSocket client of `host:port`, closed at the end whatever happens. Raises OSError."""
    with _as_os_error():
        connection = await connect_websocket(
            f"ws://{address}/", compression=None, proxy=None, open_timeout=CONNECT_WITHIN_S, close_timeout=1
        )
    try:
        yield WebSocket(connection)
    finally:
        await connection.close()


def split(address: str) -> tuple[str, int]:
    """`host:port` as a pair; IPv6 hosts are in brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _reset(transport: asyncio.WriteTransport) -> None:
    """socket(7), SO_LINGER with a time of 0."""
    sock: socket.socket = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    try:
        yield
    except WebSocketException as error:
        raise ConnectionError(str(error)) from error
