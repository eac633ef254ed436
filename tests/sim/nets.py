"""Two networks with one face, for tests that do the same on both: a simulated one, and real sockets.

A deed is done, then `run` lets time pass until nothing is left to do. `heard` is what a client got, line by
line, in the words of the model (model.py): announcements stand as one line for each who did something.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Protocol

from hub.control.mailbox import Stop, WantRows
from tests.loop.support import SteppedHub
from tests.sim.peers import Peer as SimPeer
from tests.sim.plan import Plan
from tests.sim.world import World
from tests.support import Peer
from tests.unit.protocol.support import request

LINE, WEBSOCKET, VIEWER = range(3)
WIDE = (65536, 65536, 65536)
_NEGOTIATION = re.compile(rb"\xff[\xfb-\xfe].|\xff\xf1", re.DOTALL)
_FACT = re.compile(r"(.+) (joined|left|is now \S+)")
MOST_TURNS = 5000


class Net(Protocol):
    """What a test may do with a hub and its clients, which go by the order of their coming."""

    now: float
    ws_host: str

    def connect(self, which: int, sizes: tuple[int, int, int]) -> int: ...
    def write(self, key: int, data: bytes) -> None: ...
    def half_close(self, key: int) -> None: ...
    def reset(self, key: int) -> None: ...
    def is_stranger(self, key: int) -> None: ...
    def run(self, seconds: float) -> None: ...
    def jump(self, seconds: float) -> None: ...
    def ask(self) -> int: ...
    def heard(self, key: int) -> list[str]: ...
    def ends(self) -> dict[int, str]: ...
    def drain(self) -> None: ...
    def close(self) -> None: ...


class SimNet:
    """A world without a plan: every step is told."""

    def __init__(self, trigger: str, read: str, mode: str, **settings: Any) -> None:
        settings = {"telnet": True, "notices": True} | settings
        plan = Plan(
            seed=0, mode=mode, trigger=trigger, read=read, slow="disconnect", self_echo=True, mix="viewers",
            settings=settings,
        )  # fmt: skip
        self.world = World(plan)
        self.ws_host = "localhost:9001"
        self.most_descriptors = 1 << 20
        self._heard: dict[int, tuple[int, list[str]]] = {}
        """By client, of how many bytes, and which lines these were."""

    @property
    def now(self) -> float:
        """Seconds."""
        return self.world.kernel.now

    def peer(self, key: int) -> SimPeer:
        """The client's side."""
        return self.world.peers[key]

    def connect(self, which: int, sizes: tuple[int, int, int] = WIDE) -> int:
        """A new client; a browser has sent its request."""
        self.world.do(["connect", which, 1, *sizes, 0])
        return len(self.world.peers) - 1

    def write(self, key: int, data: bytes) -> None:
        """Some bytes, on their way unless the link stands still."""
        self.peer(key).has_negotiated |= b"\xff" in data  # Not all that it sends is activity, then.
        self.peer(key).remote.outbox += data
        self.peer(key).tcp.pump()

    def half_close(self, key: int) -> None:
        """Our end of stream."""
        self.peer(key).half_close()

    def reset(self, key: int) -> None:
        """RST."""
        self.peer(key).reset()

    def run(self, seconds: float) -> None:
        """So much time passes; a question wakes the hub up at its end."""
        world = self.world
        world.steps.extend([["wait", seconds], ["turn"], ["ask", 0], ["turn"]])
        for _ in range(MOST_TURNS):
            world.turn()
            if not (world.steps or world.quiet_s or self._is_busy()):
                return
        raise AssertionError("it does not come to rest")

    def _is_busy(self) -> bool:
        hub, ready = self.world.hub, self.world.hub.ready
        waits = ready.readable or ready.writable or ready.rooms or ready.notices
        return bool(
            waits or hub.writer.has_work or hub.closer.has_work or self.world.kernel.epoll.has_events()
        )

    def is_stranger(self, key: int) -> None:
        """What it is sent is no lines."""
        self.peer(key).follower.refused = True

    def jump(self, seconds: float) -> None:
        """The clock jumps while the hub is not looking."""
        self.world.do(["jump", seconds])

    def ask(self) -> int:
        """How many rows the page would show."""
        rows: list[int] = []
        self.world.mailbox.post(WantRows(lambda found: rows.append(len(found))))
        self.run(0.01)
        return rows[0]

    def heard(self, key: int) -> list[str]:
        """What its kernel was given so far."""
        peer = self.peer(key)
        size = len(peer.tcp.taken)
        if self._heard.get(key, (-1, []))[0] != size:
            self._heard[key] = size, lines_of(bytes(peer.tcp.taken), websocket=peer.websocket)
        return self._heard[key][1]

    def ends(self) -> dict[int, str]:
        """By client."""
        return _ends(self.world.log, {peer.name: key for key, peer in enumerate(self.world.peers)})

    def drain(self) -> None:
        """Everybody reads, then the hub is asked to stop; the last looks of the simulation."""
        world = self.world
        world.settle()
        world.outcome.when_settled()
        world.mailbox.post(Stop())
        for _ in range(MOST_TURNS):
            if world.loop.is_drained:
                break
            world.turn()
        world.outcome.when_drained()

    def close(self) -> None:
        """Nothing to give back."""


class RealNet:
    """Sockets on loopback, and a clock that only the test moves."""

    def __init__(self, trigger: str, read: str, mode: str, **settings: Any) -> None:
        self._stack = contextlib.ExitStack()
        self._hub = self._stack.enter_context(
            SteppedHub(trigger=trigger, read=read, mode=mode, read_only_port=0, **settings)
        )
        self._peers: list[Peer] = []
        self._names: dict[str, int] = {}
        self._kinds: list[int] = []
        self._got: list[bytes] = []
        self.ws_host = f"localhost:{self._hub.ws_port}"
        viewers = self._hub.hub.status.addresses["read-only"][0]
        self._ports = (self._hub.port, self._hub.ws_port, int(viewers.rsplit(":", 1)[1]))

    @property
    def now(self) -> float:
        """Seconds."""
        return self._hub.now_s

    def connect(self, which: int, sizes: tuple[int, int, int] = WIDE) -> int:
        """A new client, accepted."""
        counters = self._hub.hub.counters
        before = counters.accepted
        peer = Peer(self._ports[which])
        self._stack.callback(peer.close)
        host, port = peer.sock.getsockname()
        self._peers.append(peer)
        self._kinds.append(which)
        self._got.append(b"")
        self._names[f"{host}:{port}"] = len(self._peers) - 1
        self._hub.turns_until(lambda: counters.accepted > before)
        if which == WEBSOCKET:
            self.write(len(self._peers) - 1, request(Host=self.ws_host))
        return len(self._peers) - 1

    def write(self, key: int, data: bytes) -> None:
        """Some bytes; they have arrived when this returns."""
        self._hub.deliver(self._peers[key], data)

    def half_close(self, key: int) -> None:
        """Our end of stream, which has arrived."""
        self._hub.deliver(self._peers[key], b"", fin=True)

    def reset(self, key: int) -> None:
        """RST. What had come before is kept."""
        self._take(key)
        self._peers[key].reset()

    def run(self, seconds: float) -> None:
        """So much time passes, in one step."""
        self._hub.turns(2)
        self._hub.settle()
        self._hub.now_s += seconds
        self._hub.turns(3)
        self._hub.settle()
        while any([self._take(key) for key in range(len(self._peers))]):
            self._hub.turns(2)
            self._hub.settle()

    def _take(self, key: int) -> bool:
        """Read what is there, and close at the hub's end of stream; whether that came."""
        sock = self._peers[key].sock
        if sock.fileno() < 0:
            return False
        sock.setblocking(False)
        try:
            while data := sock.recv(1 << 20):
                self._got[key] += data
        except OSError as error:
            if isinstance(error, BlockingIOError):
                return False
        sock.close()
        return True

    def is_stranger(self, key: int) -> None:
        """Nobody else reads it here."""

    def jump(self, seconds: float) -> None:
        """The clock jumps."""
        self._hub.now_s += seconds

    def ask(self) -> int:
        """How many rows the page would show."""
        rows: list[int] = []
        self._hub.mailbox.post(WantRows(lambda found: rows.append(len(found))))
        self._hub.turns_until(lambda: bool(rows))
        return rows[0]

    def heard(self, key: int) -> list[str]:
        """What it has read so far."""
        self._take(key)
        return lines_of(self._got[key], websocket=self._kinds[key] == WEBSOCKET)

    def ends(self) -> dict[int, str]:
        """By client."""
        return _ends(self._hub.log, self._names)

    def drain(self) -> None:
        """Ask the hub to stop, and see it to its end."""
        self._hub.stop()

    def close(self) -> None:
        """Give all descriptors back."""
        self._stack.close()


def _ends(log: list[tuple[str, dict[str, object]]], keys: dict[str, int]) -> dict[int, str]:
    return {keys[str(end["peer"])]: str(end["reason"]) for event, end in log if event == "closed"}


def lines_of(wire: bytes, *, websocket: bool) -> list[str]:
    """The whole lines in a stream; announcements one by one, in order where one follows another."""
    raw = _texts(wire) if websocket else _NEGOTIATION.sub(b"", wire).split(b"\n")[:-1]
    lines: list[str] = []
    for line in raw:
        lines += facts_of(line.removesuffix(b"\r").decode())
    return in_order(line for line in lines if not line.startswith("* bye "))


def facts_of(line: str) -> list[str]:
    """`* ann, bob joined; cy left` as three lines; any other line as it is."""
    parts = [_FACT.fullmatch(part) for part in line.removeprefix("* ").split("; ")]
    if not line.startswith("* ") or None in parts:
        return [line]
    return [f"* {who} {part[2]}" for part in parts if part for who in part[1].split(", ")]


def in_order(lines: Any) -> list[str]:
    """Announcements that follow one another, sorted: in which order they stand is not promised."""
    sorted_: list[str] = []
    run: list[str] = []
    for line in lines:
        if _FACT.fullmatch(line.removeprefix("* ")) and line.startswith("* "):
            run.append(line)
            continue
        sorted_ += [*sorted(run), line]
        run = []
    return sorted_ + sorted(run)


def _texts(wire: bytes) -> Iterator[bytes]:
    """The text messages of a server's stream (RFC 6455, section 5.2), behind its answer to the handshake."""
    _, _, rest = wire.partition(b"\r\n\r\n")
    while len(rest) >= 2:
        length, start = rest[1], 2
        if length == 126:
            length, start = int.from_bytes(rest[2:4], "big"), 4
        if len(rest) < start + length:
            return
        if rest[0] & 0x0F == 1:
            yield rest[start : start + length]
        rest = rest[start + length :]
