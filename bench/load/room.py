"""The clients of a fan-out, gathered until a line of a writer has come to every reader.

Nothing is assumed of who receives what: a trial line shows how many clients receive a line of a writer, the
writers themselves among them in a hub, and that a delivery has the size that the wire says.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from bench.load.connect import Ears, Place, allow, close, connect, say
from bench.load.options import FanoutOptions
from bench.load.result import LoadError
from bench.load.verify import line_of
from bench.load.wire import Wire

QUIET_S, GREETING_S, ANSWER_S = 0.2, 10.0, 5.0
TRIALS = 3
"""A trial line may come before the server has let every reader in."""


@dataclass(frozen=True, slots=True)
class Room:
    """Readers and writers who hear each other, and what one line costs the server."""

    readers: list[socket.socket]
    writers: list[socket.socket]
    writers_hear: bool
    """Whether the lines come to writers as well, and count."""
    per_line: int
    """Deliveries of one line."""
    delivery_bytes: int

    def close(self) -> None:
        """Reset all connections."""
        close([*self.readers, *self.writers])


def gather(options: FanoutOptions, wire: Wire) -> Room:
    """Connect, subscribe, and try a line. Raises LoadError."""
    allow(options.readers + options.writers)
    sockets: list[socket.socket] = []
    try:
        readers = connect(Place(options.host, options.port), options.readers)
        sockets += readers
        writer_place = Place(options.host, options.writer_port or options.port)
        writers = connect(writer_place, options.writers, first=options.readers)
        sockets += writers
        return _introduce(readers, writers, line_of(options.size), wire)
    except OSError as error:
        close(sockets)
        raise LoadError(f"the server closed a connection: {error.strerror or error}") from None
    except BaseException:
        close(sockets)
        raise


def _introduce(readers: list[socket.socket], writers: list[socket.socket], line: bytes, wire: Wire) -> Room:
    ears = Ears([*readers, *writers])
    try:
        for sock in readers:
            if words := wire.hello() + wire.subscribe():
                say(sock, words)
        ready = wire.ready() or b""
        if not ears.until(lambda seen: ready in seen, _fds(readers), GREETING_S):
            raise LoadError(f"a reader is not subscribed within {GREETING_S:g} s: no {ready!r} came")
        for sock in writers:
            if words := wire.hello():
                say(sock, words)
        heard = _try_out(ears, readers, writers[0], line, wire)
    finally:
        ears.close()
    listening = heard & set(_fds(writers)) if wire.self_delivery else set[int]()
    return Room(readers, writers, bool(listening), len(readers) + len(listening), len(wire.delivery(line)))


def _try_out(
    ears: Ears, readers: Sequence[socket.socket], writer: socket.socket, line: bytes, wire: Wire
) -> set[int]:
    """Send lines until one has come to every reader; the clients that received it."""
    size, fds = len(wire.delivery(line)), _fds(readers)
    for _ in range(TRIALS):
        ears.until_quiet(QUIET_S, GREETING_S)
        ears.forget()
        say(writer, wire.message(line))
        if ears.until(lambda seen: len(seen) >= size, fds, ANSWER_S):
            break
    else:
        deaf = sum(len(ears.seen[fd]) < size for fd in fds)
        what = "did not receive a writer's line: is the server a hub in broadcast or chat mode?"
        raise LoadError(f"{deaf} of {len(fds)} readers {what}")
    ears.until_quiet(QUIET_S, GREETING_S)
    # On a busy machine a trial line may come after it was given up.
    odd = next((ears.seen[fd] for fd in fds if len(ears.seen[fd]) % size), None)
    if odd is not None:
        hint = ": a hubbub in chat mode needs --chat" if b"> " + line in odd else ""
        raise LoadError(f"a reader received {len(odd)} bytes and not {size}: {odd[:100]!r}{hint}")
    return {fd for fd, seen in ears.seen.items() if len(seen) >= size}


def _fds(sockets: Sequence[socket.socket]) -> list[int]:
    return [sock.fileno() for sock in sockets]
