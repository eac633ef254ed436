"""Echo servers in Python that limit and count nothing: `echo_servers.py LIBRARY FORM PORT`.

The forms are those of the echo benchmark that uvloop ships: a protocol that writes back whatever came and so
frames nothing, and streams with one readline for each line.
"""

import asyncio
import importlib
import socket
import sys
from collections.abc import Sequence
from typing import cast

LISTEN_BACKLOG = 4096


class Echo(asyncio.Protocol):
    """A client; its bytes go back in the call that brings them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the library."""
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Called by the library."""
        self.transport.write(data)


async def echo_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send each line back until the client ends. Nothing waits for a client that does not read."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def serve(form: str, port: int) -> None:
    """Serve until the process is ended."""
    if form == "protocol":
        server = await asyncio.get_running_loop().create_server(
            Echo, "127.0.0.1", port, backlog=LISTEN_BACKLOG
        )
    else:
        server = await asyncio.start_server(echo_lines, "127.0.0.1", port, backlog=LISTEN_BACKLOG)
    await server.serve_forever()


def main(arguments: Sequence[str]) -> None:
    """The command line: asyncio or uvloop, protocol or streams, the port."""
    library, form, port = arguments
    # uvloop is no dependency of hubbub, and nothing but this line names it to the type checker.
    run = importlib.import_module(library).run
    run(serve(form, int(port)))


if __name__ == "__main__":
    main(sys.argv[1:])
