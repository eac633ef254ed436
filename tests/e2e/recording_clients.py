"""Clients of a relay hub in one epoll loop, whose every byte is kept: what each heard, and how each ended.

Unlike those of `crowd`, they may be cut, reset or late; the test says afterwards what each should have
heard. A line is `NAME NUMBER filler`, so that who said it and when is known wherever it is found.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from tests.support import PATIENCE_S

Address = tuple[str, int]


class Voice:
    """One client with LF lines."""

    wire = "lines"

    def __init__(self, address: Address, name: str, *, family: int = socket.AF_INET) -> None:
        self.name = name
        self.sock = socket.socket(family)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(address)
        self.port: int = self.sock.getsockname()[1]
        self.sock.setblocking(False)
        self.heard = bytearray()
        """Canonical lines."""
        self.count = 0
        """How many whole ones that is."""
        self.said: list[bytes] = []
        self.ended = ""
        """How the hub's side ended as seen from here: "", "fin" or "reset"."""
        self._out = bytearray()

    @property
    def is_in(self) -> bool:
        """Whether it may speak."""
        return True

    @property
    def lines(self) -> list[bytes]:
        """What it heard, without line ends; a part of a line counts as one."""
        return bytes(self.heard).removesuffix(b"\n").split(b"\n") if self.heard else []

    def say(self, *lines: bytes) -> None:
        """To the room; what the kernel does not take goes out with later turns."""
        self.said += lines
        self._out += b"".join(self.encoded(line) for line in lines)
        self.flush()

    def encoded(self, line: bytes) -> bytes:
        """A line on this wire."""
        return line + b"\n"

    def leave(self) -> None:
        """End in order; what the hub still sends is read."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def flush(self) -> None:
        """Send what waits, as far as the kernel takes it."""
        try:
            while self._out:
                del self._out[: self.sock.send(self._out)]
        except BlockingIOError:
            pass
        except ConnectionError:
            self._out.clear()

    def read(self) -> None:
        """Take what has come."""
        try:
            data = self.sock.recv(1 << 16)
        except BlockingIOError:
            return
        except ConnectionError:
            self.ended = "reset"
            return
        if data:
            heard = self.decoded(data)
            self.heard += heard
            self.count += heard.count(b"\n")
        else:
            self.ended = "fin"

    def decoded(self, data: bytes) -> bytes:
        """What came, as canonical lines."""
        return data


class Browser(Voice):
    """One client with a WebSocket; a message is a line."""

    wire = "websocket"

    def __init__(self, address: Address, name: str, *, family: int = socket.AF_INET) -> None:
        super().__init__(address, name, family=family)
        host = f"[{address[0]}]" if family == socket.AF_INET6 and "." not in address[0] else address[0]
        host = host.removeprefix("::ffff:")
        self._protocol = ClientProtocol(parse_uri(f"ws://{host}:{address[1]}/"), max_size=None)
        self._protocol.send_request(self._protocol.connect())
        self._take_writes()

    @property
    def is_in(self) -> bool:
        return self._protocol.state is State.OPEN

    def encoded(self, line: bytes) -> bytes:
        self._protocol.send_text(line)
        return b"".join(self._protocol.data_to_send())

    def leave(self) -> None:
        self._protocol.send_close(1000)
        self._take_writes()

    def decoded(self, data: bytes) -> bytes:
        self._protocol.receive_data(data)
        heard = b""
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.CONT):
                heard += bytes(event.data) + b"\n" * event.fin
        assert self._protocol.handshake_exc is None, self._protocol.handshake_exc
        self._take_writes()
        return heard

    def _take_writes(self) -> None:
        self._out += b"".join(self._protocol.data_to_send())
        self.flush()


WIRES: dict[str, type[Voice]] = {voice.wire: voice for voice in (Voice, Browser)}


class Choir:
    """All voices and their poller."""

    def __init__(self) -> None:
        self.voices: list[Voice] = []
        self._by_fd: dict[int, Voice] = {}
        self._poller = select.epoll()

    def __enter__(self) -> Choir:
        return self

    def __exit__(self, *_: object) -> None:
        for voice in self.voices:
            voice.sock.close()
        self._poller.close()

    def join(self, voices: Sequence[Voice]) -> list[Voice]:
        """These sing along; returned when they may speak."""
        for voice in voices:
            self.voices.append(voice)
            self._by_fd[voice.sock.fileno()] = voice
            self._poller.register(voice.sock.fileno(), select.EPOLLIN)
        self.until(lambda: all(voice.is_in for voice in voices))
        return list(voices)

    def turn(self, timeout_s: float = 0.0) -> None:
        """Read from everyone who has something, send for everyone who can."""
        for fd, _ in self._poller.poll(timeout_s):
            voice = self._by_fd[fd]
            voice.read()
            if voice.ended:
                self.forget(voice)
                with suppress(OSError):  # The hub waits for our end of stream, but not for long.
                    voice.sock.shutdown(socket.SHUT_WR)
        for voice in self._by_fd.values():
            voice.flush()

    def forget(self, voice: Voice) -> None:
        """Read no more from this one."""
        self._poller.unregister(voice.sock.fileno())
        del self._by_fd[voice.sock.fileno()]

    def until(self, is_so: Callable[[], bool], patience_s: float = PATIENCE_S) -> float:
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

    def talk(self, speakers: Sequence[Voice], lines: int, filler: bytes = b"...") -> None:
        """Each says so many lines more, all in turn, and everybody listens meanwhile."""
        for _ in range(lines):
            for voice in speakers:
                voice.say(b"%s %d %s" % (voice.name.encode(), len(voice.said), filler))
            self.turn()

    def until_heard(self, voices: Sequence[Voice], lines: int, patience_s: float = PATIENCE_S) -> float:
        """Turns until each of them heard so many lines in all."""
        return self.until(lambda: all(voice.count >= lines or voice.ended for voice in voices), patience_s)


def assert_same_story(listeners: Sequence[Voice], speakers: Sequence[Voice]) -> None:
    """All listeners heard the same, to the byte: every line of every speaker, once and in its order."""
    story = listeners[0].heard
    for voice in listeners:
        assert voice.heard == story, f"{voice.name} and {listeners[0].name} heard different things"
    told: dict[bytes, list[bytes]] = {}
    for line in listeners[0].lines:
        told.setdefault(line.split(b" ", 1)[0], []).append(line)
    assert told == {voice.name.encode(): voice.said for voice in speakers if voice.said}
