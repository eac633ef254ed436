"""A simulated network on which deeds are done one by one, and what its clients heard.

A deed is done, then `run` lets time pass until nothing is left to do. `heard` is what a client got, line by
line, in the words of the model (model.py): announcements stand as one line for each who did something.
"""

import re
from collections.abc import Iterator
from typing import Any

from hub.control.mailbox import WantRows
from tests.sim.journal import frame
from tests.sim.peers import Peer
from tests.sim.plan import Plan
from tests.sim.world import World

LINE, WEBSOCKET, VIEWER = range(3)
WIDE = (65536, 65536, 65536)
_NEGOTIATION = re.compile(rb"\xff[\xfb-\xfe].|\xff\xf1", re.DOTALL)
_AGE = re.compile(r"^(\* history: .*), the newest .* old$")
_FACT = re.compile(r"(.+) (joined|left|is now \S+)")
MOST_TURNS = 5000


class SimNet:
    def __init__(self, trigger: str, read: str, mode: str, **settings: Any) -> None:
        settings = {"telnet": True, "notices": True} | settings
        plan = Plan(
            seed=0, mode=mode, trigger=trigger, read=read, slow="disconnect", self_echo=True, mix="viewers",
            settings=settings,
        )  # fmt: skip
        self.world = World(plan)
        self._heard: dict[int, tuple[int, list[str]]] = {}
        """By client, of how many bytes, and which lines these were."""
        self.wrote: set[int] = set()
        """Clients that sent something."""

    @property
    def now(self) -> float:
        return self.world.kernel.now

    def peer(self, key: int) -> Peer:
        return self.world.peers[key]

    def connect(self, which: int, sizes: tuple[int, int, int] = WIDE) -> int:
        self.world.do(["connect", which, 1, *sizes, 0])
        return len(self.world.peers) - 1

    def write(self, key: int, data: bytes) -> None:
        self.wrote.add(key)
        self.peer(key).has_negotiated |= b"\xff" in data  # Not all that it sends is activity, then.
        self.peer(key).remote.outbox += data
        self.peer(key).tcp.pump()

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
        works = hub.writer.has_work or hub.closer.has_work
        return bool(waits or works or self.world.kernel.epoll.has_events())

    def ask(self) -> int:
        rows: list[int] = []
        self.world.mailbox.post(WantRows(lambda found: rows.append(len(found))))
        self.run(0.01)
        return rows[0]

    def heard(self, key: int) -> list[str]:
        peer = self.peer(key)
        size = len(peer.tcp.taken)
        if self._heard.get(key, (-1, []))[0] != size:
            self._heard[key] = size, lines_of(bytes(peer.tcp.taken), websocket=peer.websocket)
        return self._heard[key][1]

    def ends(self) -> dict[int, str]:
        keys = {peer.name: key for key, peer in enumerate(self.world.peers)}
        closed = [end for event, end in self.world.log if event == "closed"]
        return {keys[str(end["peer"])]: str(end["reason"]) for end in closed}


def lines_of(wire: bytes, *, websocket: bool) -> list[str]:
    """The whole lines in a stream; announcements one by one, in order where one follows another."""
    raw = _texts(wire) if websocket else _NEGOTIATION.sub(b"", wire).split(b"\n")[:-1]
    lines: list[str] = []
    for line in raw:
        lines += facts_of(_AGE.sub(r"\1", line.removesuffix(b"\r").decode()))
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
    rest = bytearray(wire.partition(b"\r\n\r\n")[2])
    while (found := frame(rest)) is not None:
        opcode, payload, size = found
        del rest[:size]
        if opcode == 1:
            yield payload
