"""The writer with a hub without a loop: a reader far behind gets everything in several sends."""

import contextlib
import socket

from tests.unit.support import SPEAKER, a_client, a_hub


def received(peer: socket.socket) -> bytes:
    """All that waits at this end of a socket pair."""
    got = b""
    with contextlib.suppress(BlockingIOError):
        while data := peer.recv(1 << 20):
            got += data
    return got


def test_reader_that_needs_several_sends_gets_every_line() -> None:
    """A reader that stopped for 2000 turns comes back; one send is at most 256 chunks."""
    ours, peer = socket.socketpair()
    with ours, peer, a_hub() as hub:
        ours.setblocking(False)
        peer.setblocking(False)
        client, room = a_client(1, hub.account, fd=ours.fileno()), hub.rooms.lobby
        hub.connections.add(client)
        hub.mode.joined(client)
        said = [b"x" * 500_000] + [b"line %d" % number for number in range(2000)]
        for line in said:
            room.append(line, SPEAKER)
            room.log.seal()
            hub.ready.rooms[room] = None
            hub.writer.slice(0.0)
        assert room.trailing == {client.id: client.outbox}, "or the test shows nothing"
        got = b""
        for _ in range(100):
            got += received(peer)
            hub.ready.writable[client] = None  # What epoll would say now.
            hub.writer.slice(0.0)
        assert got == b"".join(line + b"\n" for line in said)
        assert not room.trailing and client.outbox.is_empty
