"""Clients by the hundred in one poll loop, lines and WebSockets, with a record of what each said and heard.

A line is `NAME NUMBER filler`, so that who said it and when is known wherever it is found. What came is kept
as lines that end in LF, whatever the wire. Clients may be late, cut or reset; the test says afterwards what
each should have heard.
"""

import re
import select
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Self

from tests.support import PATIENCE_S, HubProcess, Peer, ThreadHub
from tests.unit.protocol.support import close, masked, request_to, text

Hub = ThreadHub | HubProcess
AT_ONCE = 1 << 20
FAREWELL = re.compile(rb"\* bye [^\n]*\n\Z")


class Polled(Peer):
    """One client with lines. `via` is the port of a proxy."""

    wire = "lines"

    def __init__(
        self,
        hub: Hub,
        name: str,
        *,
        host: str = "127.0.0.1",
        via: int = 0,
        eol: bytes = b"\n",
        receive_buffer: int = 0,
    ) -> None:
        super().__init__(via or self.port_of(hub), host, receive_buffer=receive_buffer)
        self.name = name.encode()
        self.port: int = self.sock.getsockname()[1]
        self.sock.setblocking(False)
        self.is_in = True
        """Whether it may speak."""
        self.said: list[bytes] = []
        self.heard = bytearray()
        self.count = 0
        """How many whole lines that is."""
        self.ended = ""
        """How the hub's side ended as seen from here: "", "fin" or "reset"."""
        self.out = bytearray()
        """What its kernel has not taken; it goes out with later turns."""
        self._eol = eol

    @staticmethod
    def port_of(hub: Hub) -> int:
        """The port for this wire."""
        return hub.port

    @property
    def lines(self) -> list[bytes]:
        """What it heard, without line ends; a part of a line counts as one."""
        return bytes(self.heard).removesuffix(b"\n").split(b"\n") if self.heard else []

    def say(self, *lines: bytes, at_once: int = AT_ONCE) -> None:
        """To the room; at most so many bytes now."""
        self.said += lines
        self.put(b"".join(map(self.encoded, lines)), at_once)

    def number(self, filler: bytes) -> bytes:
        """The next of its numbered lines."""
        return b"%s %d %s" % (self.name, len(self.said), filler)

    def encoded(self, line: bytes) -> bytes:
        """A line on this wire."""
        return line + self._eol

    def leave(self) -> None:
        """End in order; what the hub still sends is read."""
        self.half_close()

    def put(self, data: bytes, at_once: int = AT_ONCE) -> None:
        """Bytes for the hub."""
        self.out += data
        self.flush(at_once)

    def flush(self, at_once: int = AT_ONCE) -> None:
        """Send what waits, as far as the kernel takes it."""
        try:
            del self.out[: self.sock.send(self.out[:at_once])]
        except BlockingIOError:
            pass
        except OSError:  # Its end has been seen, or is about to be.
            self.out.clear()

    def take(self) -> None:
        """Read once."""
        try:
            data = self.sock.recv(1 << 16)
        except BlockingIOError:
            return
        except ConnectionError:
            self.ended = "reset"
            return
        heard = self.decoded(data)
        self.heard += heard
        self.count += heard.count(b"\n")
        self.ended = "" if data else "fin"

    def decoded(self, data: bytes) -> bytes:
        """What came, as lines."""
        return data.replace(b"\r", b"")


class PolledWs(Polled):
    """One client with a WebSocket; a message is a line."""

    wire = "websocket"

    def __init__(self, hub: Hub, name: str, **options: Any) -> None:
        super().__init__(hub, name, **options)
        self.is_in = False
        self.put(request_to(hub.ws_port))

    @staticmethod
    def port_of(hub: Hub) -> int:
        return hub.ws_port

    def encoded(self, line: bytes) -> bytes:
        return text(line)

    def leave(self) -> None:
        self.put(close(1000))

    def decoded(self, data: bytes) -> bytes:
        self.seen += data
        if not self.is_in:
            head, found, self.seen = self.seen.rpartition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ") or not found, head
            self.is_in = bool(found)
        heard = bytearray()
        for opcode, payload in self._frames() if self.is_in else ():
            if opcode == 0x89:
                self.put(masked(10, payload))
            elif opcode == 0x81:
                heard += payload + b"\n"
            else:
                assert opcode == 0x88, (opcode, payload)
        return bytes(heard)

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        data, at = self.seen, 0
        while len(data) > at + 1:
            opcode, size, start = data[at], data[at + 1], at + 2
            if size > 125:
                assert size == 126
                start += 2
                size = int.from_bytes(data[start - 2 : start], "big")
            if len(data) < start + size:
                break
            at = start + size
            yield opcode, data[start:at]
        self.seen = data[at:]


WIRES: dict[str, type[Polled]] = {each.wire: each for each in (Polled, PolledWs)}


class Crowd:
    """All of them, and their poller."""

    def __init__(self) -> None:
        self.clients: list[Polled] = []
        self._by_fd: dict[int, Polled] = {}
        self._poller = select.epoll()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients:
            client.close()
        self._poller.close()

    def join(self, hub: Hub, clients: Sequence[Polled]) -> list[Polled]:
        """These come along; they are in the room when this returns."""
        self.clients += clients
        self.attend(clients)
        self.until(lambda: all(client.is_in for client in clients))
        self.until(lambda: hub.open_clients() == sum(not client.ended for client in self.clients))
        return list(clients)

    def attend(self, clients: Sequence[Polled]) -> None:
        """Read what they get."""
        for client in clients:
            self._by_fd[client.sock.fileno()] = client
            self._poller.register(client.sock, select.EPOLLIN)

    def forget(self, *clients: Polled) -> None:
        """Read no more from these."""
        for client in clients:
            self._poller.unregister(client.sock)
            del self._by_fd[client.sock.fileno()]

    def turn(self, timeout_s: float = 0.0) -> None:
        """Read from everyone who has something, send for everyone who can."""
        for fd, _ in self._poller.poll(timeout_s):
            client = self._by_fd[fd]
            client.take()
            if client.ended:
                self.forget(client)
                client.close()
        for client in self._by_fd.values():
            if client.out:
                client.flush()

    def until(self, is_so: Callable[[], object], patience_s: float = PATIENCE_S) -> float:
        """Turns until it is so, and how long that took; AssertionError when patience ends."""
        start = time.monotonic()
        while not is_so():
            assert time.monotonic() < start + patience_s, f"still not so after {patience_s} s: {is_so}"
            self.turn(0.01)
        return time.monotonic() - start

    def listen_for(self, seconds: float) -> None:
        """Turns for so long, which is the pace of those who talk."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.turn(left)

    def talk(self, speakers: Sequence[Polled], lines: int, filler: bytes = b"...") -> None:
        """Each says so many lines more, all in turn, and everybody listens meanwhile."""
        for _ in range(lines):
            for client in speakers:
                client.say(client.number(filler))
            self.turn()

    def talk_for(
        self, speakers: Sequence[Polled], listener: Polled, seconds: float, over: Callable[[], bool] = bool
    ) -> list[float]:
        """Two hundred lines a second until the time is over, or it is; seconds that each took, sorted.

        The speakers take turns: what a hub that is held up for a moment reads of one speaker would else be
        4 KiB and more, and who sends so much at once is asked to wait for slow subscribers.
        """
        first, said_s, taken = listener.count, list[float](), list[float]()
        next_s = time.monotonic()
        end = next_s + seconds
        while (now := time.monotonic()) < end and not over():
            if now >= next_s:
                self.talk([speakers[len(said_s) % len(speakers)]], 1, b"x" * 240)
                said_s.append(now)
                next_s += 0.005
            self.turn(max(0.0, next_s - time.monotonic()))
            while len(taken) < listener.count - first:
                taken.append(time.monotonic() - said_s[len(taken)])
        return sorted(taken)

    def until_heard(self, clients: Sequence[Polled], lines: int, patience_s: float = PATIENCE_S) -> float:
        """Turns until each of them heard so many lines in all."""
        return self.until(lambda: all(each.count >= lines or each.ended for each in clients), patience_s)


def said(clients: Sequence[Polled]) -> int:
    """How many lines they said."""
    return sum(len(client.said) for client in clients)


def assert_same_story(
    listeners: Sequence[Polled], speakers: Sequence[Polled], cut: Collection[Polled] = ()
) -> None:
    """All listeners heard the same, to the byte: every line of every speaker, once and in its order.

    Of those who were cut the first lines, and nothing torn; and those heard a beginning of the same.
    """
    story = listeners[0].heard
    for client in listeners:
        assert client.heard == story, f"{client.name!r} and {listeners[0].name!r} heard different things"
    for client in cut:  # There is a farewell where one was cut between two lines.
        assert story.startswith(FAREWELL.sub(b"", client.heard)), f"{client.name!r} heard something else"
    told: dict[bytes, list[bytes]] = {client.name: [] for client in (*speakers, *cut)}
    for line in listeners[0].lines:
        told[line.split(b" ", 1)[0]].append(line)
    for client in (*speakers, *cut):
        lines = told[client.name]
        assert lines == (client.said[: len(lines)] if client in cut else client.said), client.name
