"""All kinds of clients do anything at any moment, in every mixture of settings, against one model of a room.

What each client gets is held against the log of its room: whole lines and whole frames, in order, none twice,
none missing but those that a notice counts, nothing behind a Close. The books balance after every step.
The seed of a run is printed.
"""

from __future__ import annotations

import os
import random
import re
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

import pytest

from hub.config.values import NO_RATE, Rate
from hub.control.mailbox import Stop
from hub.loop.snapshot_maker import queued_bytes
from hub.net.sockets import Sockets
from hub.rooms.accounting import Account
from hub.rooms.log import Log
from hub.rooms.room import Room
from hub.session.client import Client, Phase
from tests.loop.support import SMALL_LAG, SteppedHub
from tests.support import PAIRS, PATIENCE_S
from tests.unit.protocol.support import close, masked, more, request_to, text

TELNET = re.compile(rb"\xff(\xff|[\xfb-\xfe].)", re.DOTALL)
GAP = re.compile(rb"\* skipped (\d+) lines")
STEPS = int(os.environ.get("HUBBUB_TEST_STEPS", "200"))
KINDS = ("line", "crlf", "telnet", "websocket", "read-only", "write-only")


class Frame(NamedTuple):
    opcode: int
    payload: bytes


def frames(data: bytes) -> Iterator[Frame]:
    """The whole frames of a server; ValueError for what is none. An unfinished one at the end is left out."""
    at = 0
    while len(data) - at >= 2:
        opcode, size = data[at] & 15, data[at + 1]
        if not (data[at] & 0xF0 == 0x80 and opcode in (1, 2, 8, 9, 10) and size < 128):
            raise ValueError(f"no header at {at}: {data[at : at + 20]!r}")
        at += 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[at : at + width], "big")
            at += width
        if len(data) - at < size:
            return
        yield Frame(opcode, data[at : at + size])
        at += size


class Grudging(Sockets):
    """The real calls, but the kernel takes less than it could, and stops anywhere.

    Not for edge triggering: who is refused bytes while there is room is not told again.
    """

    def __init__(self, random_: random.Random) -> None:
        super().__init__()
        self._random = random_
        self.generous = False

    def send(self, sock: socket.socket, data: bytes) -> int:
        """A part of it."""
        amounts = [0, 0, 0, 1, 2, 3, 5, 500] if sock.fileno() % 3 else [1, 500, 70_000, 70_000, 70_000]
        most = self._random.choice(amounts)
        return super().send(sock, data if self.generous else data[:most])

    def send_many(self, sock: socket.socket, buffers: Sequence[bytes]) -> int:
        """A part of them."""
        return super().send_many(sock, buffers) if self.generous else self.send(sock, b"".join(buffers))


@dataclass
class Actor:
    """One client: its socket, what it said, and what it got."""

    kind: str
    sock: socket.socket
    client: Client
    name: bytes
    lazy: bool
    """It reads only now and then."""
    out: bytearray = field(default_factory=bytearray)
    """What its own kernel has not taken yet."""
    got: bytearray = field(default_factory=bytearray)
    said: int = 0
    gone: bool = False
    spoiled: bool = False
    """It reset, so that what it got may end anywhere."""

    def lines(self) -> list[bytes]:
        """What it got, without ends; a part of a line at the end is left out."""
        if self.kind == "websocket":
            head, _, rest = bytes(self.got).partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101 "):
                return []
            return list(self._messages(rest))
        got = bytes(self.got).replace(b"\r\n", b"\n")
        if self.kind == "telnet":
            got = TELNET.sub(lambda found: found[0][:1] * (found[0] == b"\xff\xff"), got)
        return got.split(b"\n")[:-1]

    def _messages(self, data: bytes) -> Iterator[bytes]:
        closed = False
        for one in frames(data):
            assert not closed, "nothing comes behind a Close"
            closed = one.opcode == 8
            if one.opcode == 1:
                yield one.payload.decode().encode()
            elif one.opcode == 2:
                yield one.payload
            elif one.opcode == 10:
                assert one.payload == b"?"


class Storm:
    """One hub, some actors, and what every room got."""

    def __init__(self, hub: SteppedHub, random_: random.Random) -> None:
        self.hub, self.random = hub, random_
        self.actors: list[Actor] = []
        self.names = 0
        self.ports = {
            "websocket": hub.ws_port, "read-only": hub.read_only_port, "write-only": hub.write_only_port
        }  # fmt: skip
        self.kinds = [kind for kind in KINDS if self.ports.get(kind, hub.port)]

    def come(self, kind: str | None = None) -> None:
        hub, kind = self.hub, kind or self.random.choice(self.kinds)
        port = self.ports.get(kind, hub.port)
        sock = socket.socket()
        if self.random.random() < 0.7:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        number = sock.getsockname()[1]
        client = hub.turns_until(
            lambda: next(
                (c for c in hub.hub.connections.by_fd.values() if c.peer.endswith(f":{number}")), None
            )
        )
        self.names += 1
        lazy = self.random.random() < 0.4
        actor = Actor(kind, sock, client, b"a%d" % self.names, lazy)
        if kind == "websocket":
            actor.out += request_to(hub.ws_port)
        if kind == "telnet":
            actor.out += b"\xff\xfd\x03"
        self.actors.append(actor)

    def step(self) -> None:
        alive = [actor for actor in self.actors if not actor.gone]
        if len(alive) < 4 or self.random.random() < 0.05:
            self.come()
            return
        actor, deeds = self.random.choice(alive), Storm.DEEDS
        deed = self.random.choices([name for name, _ in deeds], [weight for _, weight in deeds])[0]
        getattr(self, deed)(actor)
        self.push(actor)
        for other in alive:
            if not other.lazy:
                self.takes_all(other)
        if self.random.random() < 0.6:
            self.hub.now_s += self.random.choice([0, 0.01, 0.03, 0.1, 0.5])
        self.hub.turns(self.random.randrange(3))

    DEEDS = (
        ("says", 30), ("says_in_bulk", 6), ("says_in_parts", 5), ("takes_some", 12), ("takes_all", 2),
        ("asks", 6), ("moves", 5), ("pings", 6), ("half_closes", 1), ("closes", 1), ("resets", 0.5),
        ("offends", 0.5), ("time_passes", 3), ("quits", 0.5),
    )  # fmt: skip

    def content(self, actor: Actor, size: int) -> bytes:
        actor.said += 1
        end = self.random.choice([b"", b"\xc3\xa9", b"\xff"] if actor.kind in ("line", "crlf") else [b""])
        return b"%b:%d " % (actor.name, actor.said) + b"x" * size + end

    def put(self, actor: Actor, contents: Iterable[bytes]) -> None:
        for content in contents:
            if actor.kind == "websocket":
                actor.out += text(content)
            else:
                actor.out += content + (b"\n" if actor.kind == "line" else b"\r\n")

    def says(self, actor: Actor) -> None:
        size = self.random.choice([0, 5, 200, 2000])
        self.put(actor, [self.content(actor, size) for _ in range(self.random.choice([1, 1, 3, 10]))])

    def says_in_bulk(self, actor: Actor) -> None:
        self.put(actor, [self.content(actor, 700) for _ in range(self.random.choice([20, 60]))])

    def says_in_parts(self, actor: Actor) -> None:
        if actor.kind != "websocket":
            return self.says(actor)
        one, two, three = (self.content(actor, 20) for _ in range(3))
        if self.hub.settings.mode == "echo":
            actor.out += text(one + two, fin=False) + masked(9, b"?") + more(three, fin=True)
            return None
        actor.out += text(one + b"\r\n" + two[:3], fin=False) + masked(9, b"?")
        actor.out += more(two[3:], fin=False) + more(b"\n" + three, fin=True)
        return None

    def takes_some(self, actor: Actor) -> None:
        self.take(actor, self.random.choice([1, 100, 1000, 20_000]))

    def takes_all(self, actor: Actor) -> None:
        self.take(actor, 1 << 30)

    def asks(self, actor: Actor) -> None:
        if self.hub.settings.mode == "chat":
            self.put(actor, [self.random.choice([b"/who", b"/stats", b"/rooms", b"/nick q", b"/whois you"])])

    def moves(self, actor: Actor) -> None:
        if self.hub.settings.mode == "chat":
            self.put(actor, [b"/join " + self.random.choice([b"tea", b"den", b"lobby"])])

    def pings(self, actor: Actor) -> None:
        if actor.kind == "websocket":
            actor.out += masked(9, b"?") * self.random.choice([1, 1, 50])
        elif actor.kind == "telnet":
            actor.out += b"\xff\xfd\x06" * self.random.choice([1, 20])

    def half_closes(self, actor: Actor) -> None:
        self.push(actor)
        if not actor.out:
            with suppress(OSError):
                actor.sock.shutdown(socket.SHUT_WR)

    def closes(self, actor: Actor) -> None:
        if actor.kind == "websocket":
            actor.out += close(1000)
        else:
            self.half_closes(actor)

    def resets(self, actor: Actor) -> None:
        actor.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        actor.sock.close()
        actor.gone = actor.spoiled = True

    def offends(self, actor: Actor) -> None:
        if actor.kind == "websocket":
            actor.out += self.random.choice(
                [b"\xff\xff\xff\xff", masked(1, b"\xff"), masked(3), text(b"y" * 9000), masked(0, b"z")]
            )
        else:
            actor.out += b"y" * 9000

    def time_passes(self, actor: Actor) -> None:
        self.hub.now_s += self.random.choice([1, 2, 5])

    def quits(self, actor: Actor) -> None:
        if self.hub.settings.mode == "chat":
            self.put(actor, [b"/quit"])

    def push(self, actor: Actor) -> None:
        """Into the kernel, now and then in small pieces."""
        size = self.random.choice([1, 7, 1 << 20, 1 << 20])
        try:
            while actor.out and not actor.gone:
                del actor.out[: actor.sock.send(actor.out[:size])]
                size = 1 << 20
        except BlockingIOError:
            return
        except OSError:  # It talks on behind its end, so that what the kernel held for it was lost.
            actor.spoiled = True
            actor.out.clear()

    def take(self, actor: Actor, most: int) -> None:
        if actor.gone:
            return
        try:
            while most > 0:
                data = actor.sock.recv(min(most, 1 << 16))
                if not data:
                    actor.gone = True
                    actor.sock.close()
                    return
                actor.got += data
                most -= len(data)
        except BlockingIOError:
            return
        except TimeoutError:
            return
        except OSError:
            actor.gone = actor.spoiled = True

    def assert_books(self) -> None:
        hub = self.hub.hub
        books, queued = hub.account, queued_bytes(hub.connections.by_fd.values())
        assert books.owed + books.replayed == books.delivered + books.skipped + books.unsent + queued
        open_ = len(hub.connections.clients)
        assert hub.counters.accepted == open_ + sum(hub.counters.closed.values())
        for client in hub.connections.by_fd.values():
            assert client.outbox.item_bytes == sum(len(piece.data) for piece in client.outbox.items)
            assert client.outbox.own_bytes >= 0 and client.outbox.own_lines >= 0
        for room in hub.rooms.all():
            lag = max((outbox.lag_bytes for outbox in room.subscribers.values()), default=0)
            assert lag < 4 * SMALL_LAG, "lag is bounded"

    def end(self) -> None:
        """Everybody reads all there is, and the hub drains."""
        for _ in range(400):
            for actor in self.actors:
                self.push(actor)
                self.take(actor, 1 << 30)
            self.hub.now_s += 0.02
            self.hub.turns()
        self.assert_books()
        self.hub.mailbox.post(Stop())
        while not self.hub.loop.is_drained:
            for actor in self.actors:
                self.take(actor, 1 << 30)
            self.hub.turns()
            self.hub.now_s += 0.02
        for actor in self.actors:  # What the kernel still holds comes in its own time.
            if not actor.gone:
                actor.sock.settimeout(PATIENCE_S)
            self.take(actor, 1 << 30)
            assert actor.gone


def assert_heard(actor: Actor, log: list[tuple[int, bytes]], self_echo: bool) -> None:
    """What one client got in a broadcast is the log from somewhere on, with the gaps that it was told of."""
    heard = [line for line in actor.lines() if not line.startswith(b"* ") or GAP.fullmatch(line)]
    due = [line for who, line in log if self_echo or who != actor.client.id]
    first = next((line for line in heard if not GAP.fullmatch(line)), None)
    if first is None:
        return
    skipped = sum(int(gap[1]) for gap in map(GAP.fullmatch, heard[: heard.index(first)]) if gap)
    at = due.index(first) - skipped
    assert at >= 0
    for line in heard:
        if gap := GAP.fullmatch(line):
            at += int(gap[1])
        else:
            assert line == due[at]
            at += 1
    if actor.client.close.reason == "server_shutdown" and not (
        actor.spoiled or actor.client.outbox.unsent_bytes
    ):
        assert at == len(due), "nothing is missing at the end"


def assert_heard_in_chat(actor: Actor, logs: dict[bytes, tuple[int, int]]) -> None:
    """No line twice, and the lines of each stay of a room in the room's order."""
    seen: dict[int, int] = {}
    for line in actor.lines():
        if line in logs:
            room, at = logs[line]
            assert at > seen.get(room, -1), line
            seen[room] = at
        else:
            assert line.startswith(b"* "), line


class Journal:
    """What every room got, by the number of its log: lines, and who said each."""

    def __init__(self) -> None:
        self.logs: dict[int, list[tuple[int, bytes]]] = {}

    def make_room(self, name: str, key: str, account: Account, log: Log) -> Room:
        """A room that keeps what it gets."""
        made = JournalRoom(name, key, account, log)
        made.lines = self.logs[log.number] = []
        return made


class JournalRoom(Room):
    """A room that keeps what it gets."""

    lines: list[tuple[int, bytes]]

    def extend(self, lines: Iterable[bytes], size: int, sender: int) -> None:
        """Add lines of one sender."""
        lines = list(lines)
        self.lines += ((sender, line) for line in lines)
        super().extend(lines, size, sender)


def play(seed: int, **settings: Any) -> None:
    """One storm, and what everybody got."""
    print(f"seed {seed} {settings}")
    random_, journal = random.Random(seed), Journal()
    sockets = Grudging(random_) if settings["trigger"] == "level" and seed % 4 else Sockets()
    usual = {"max_lag_bytes": SMALL_LAG, "read_only_port": 0, "history": 7, "idle_timeout_s": 100}
    if settings["mode"] != "echo":
        usual["write_only_port"] = 0
    with (
        SteppedHub(sockets=sockets, make_room=journal.make_room, **(usual | settings)) as hub,
        ExitStack() as stack,
    ):
        storm = Storm(hub, random_)
        stack.callback(lambda: [actor.sock.close() for actor in storm.actors])
        for kind in storm.kinds:
            storm.come(kind)
        for _ in range(STEPS):
            storm.step()
            storm.assert_books()
        if isinstance(sockets, Grudging):
            sockets.generous = seed % 4 == 1
        storm.end()
        for actor in storm.actors:
            check(actor, hub, journal.logs)
        faults = [fields for event, fields in hub.log if event == "fault"]
        assert not faults, faults
        print(dict(hub.hub.counters.closed), hub.hub.account)


def check(actor: Actor, hub: SteppedHub, logs: dict[int, list[tuple[int, bytes]]]) -> None:
    client = actor.client
    assert client.phase is Phase.CLOSED
    if actor.kind == "write-only":
        assert not actor.got
    if client.outbox.farewell_sent and not actor.spoiled:
        end = f"reason={client.close.reason}".encode()
        assert end in bytes(actor.got[-200:]) or not actor.lines(), bytes(actor.got[-200:])
    if hub.settings.mode == "broadcast":
        assert_heard(actor, logs[hub.hub.rooms.lobby.log.number], hub.settings.hears_itself)
    elif hub.settings.mode == "chat":
        places = {
            line: (room, at)
            for room, log in logs.items()
            for at, (speaker, line) in enumerate(log)
            if speaker
        }
        assert_heard_in_chat(actor, places)
    else:
        heard = [line for line in actor.lines() if not line.startswith(b"* ")]
        numbers = [int(n) for line in heard for n in re.findall(rb"a\d+:(\d+) ", line)]
        assert numbers == list(range(1, len(numbers) + 1))


RATES = (NO_RATE, Rate(200, "s", 20))
MIXTURES = [
    (mode, slow, self_echo, rate)
    for mode, slow, self_echo, rate in product(
        ("broadcast", "chat", "echo"),
        ("disconnect", "skip", "wait"),
        (True, False),
        (NO_RATE, Rate(200, "s", 20)),
    )
    if (self_echo or mode != "echo") and (slow != "wait" or mode == "broadcast")
]


@pytest.mark.promise("order-balance")
@pytest.mark.parametrize(("mode", "slow", "self_echo", "rate"), MIXTURES, ids=str)
def test_any_mixture_leaves_whole_streams_and_a_balanced_account(
    mode: str, slow: str, self_echo: bool, rate: Rate
) -> None:
    seed = int(os.environ.get("HUBBUB_TEST_SEED", random.randrange(1 << 32)))
    trigger, read = PAIRS[seed % len(PAIRS)]
    play(
        seed,
        mode=mode,
        slow=slow,
        self_echo=self_echo,
        line_rate=rate,
        trigger=trigger,
        read=read,
        announce=(0, 50)[seed // 3 % 2],
    )
