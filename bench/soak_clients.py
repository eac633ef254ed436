"""The clients of a soak: they connect, join a room, talk and listen, and leave in one way or another.

Most are well-behaved, and whatever befalls them is a fault of the hub: each checks what it hears against
what its room heard, and a client that leaves in order has heard all its own lines by then. Other clients
stop reading, reset, or send garbage.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import Any

from bench.characters import SMALL_BUFFER
from bench.connections import Tcp, WebSocket, dial, dial_websocket
from bench.order_checker import DeliveryError, OrderChecker, RoomLines, read, text_of

LIFE_S, SHORTEST_S, LONGEST_S = 30.0, 1.0, 180.0
STALLS, RESETS, GARBAGE = 0.05, 0.05, 0.01
PEOPLE_IN_A_ROOM = 10
STALL_S = (15.0, 30.0)
GARBAGE_S = 5.0
PATIENCE_S = 20.0
QUESTIONS = "/history\n" * 400
"""With answers of 2 KB, more than a client may leave untaken: it ends as slow_consumer."""
WRONGS_KEPT = 20
RUSH_AT_ONCE = 30


@dataclass(slots=True)
class Tally:
    """What all clients did and heard. `wrong` holds the first things that went wrong, in words."""

    connected: int = 0
    here: int = 0
    said: int = 0
    heard: int = 0
    lives: int = 0
    wrongs: int = 0
    wrong: list[str] = field(default_factory=list)

    def complain(self, text: str) -> None:
        """Count something that went wrong, and keep the first texts."""
        self.wrongs += 1
        if len(self.wrong) < WRONGS_KEPT:
            self.wrong.append(text)


class Person:
    """A well-behaved client, for one connection."""

    def __init__(self, people: "People", number: int, room: int, *, resident: bool = False) -> None:
        self._people = people
        self._number = number
        self._room = room
        self._resident = resident
        self._checker = OrderChecker(people.rooms[room], begins=resident)
        self._said = 0
        self._own = 0
        self._last = ""
        self.is_in = asyncio.Event()
        """Set when the client has heard a line of its own and so is in the room."""

    async def live(self, connection: Tcp | WebSocket, *, reset: bool = False) -> None:
        """Join, talk, listen and leave. Raises DeliveryError, and OSError when the connection breaks."""
        await connection.say(f"/join room-{self._room}")
        hearing, talking = (
            asyncio.create_task(self._hear(connection)),
            asyncio.create_task(self._talk(connection)),
        )
        try:
            await asyncio.wait((hearing, talking), return_when=asyncio.FIRST_COMPLETED)
            if hearing.done():
                await hearing
                raise DeliveryError(f"was ended by the hub: {self._last!r}")
            await talking
            if reset:
                connection.reset()
                return
            await connection.close_in_order()
            await asyncio.wait_for(hearing, PATIENCE_S)
            if self._own != self._said:
                raise DeliveryError(f"heard {self._own} of its own {self._said} lines, then {self._last!r}")
        finally:
            await _end(hearing, talking)

    async def _talk(self, connection: Tcp | WebSocket) -> None:
        """Talk until this client's time or the whole run is over."""
        people, dice = self._people, self._people.dice
        life_s = min(max(SHORTEST_S, dice.expovariate(1 / LIFE_S)), LONGEST_S)
        loop = asyncio.get_running_loop()
        ends_s = float("inf") if self._resident else loop.time() + life_s
        while not people.over.is_set() and loop.time() < ends_s:
            await connection.say(text_of((self._number, self._said)))
            self._said += 1
            people.tally.said += 1
            pause_s = min(dice.expovariate(1 / people.pause_s), ends_s - loop.time())
            with suppress(TimeoutError):
                await asyncio.wait_for(people.over.wait(), max(0.0, pause_s))

    async def _hear(self, connection: Tcp | WebSocket) -> None:
        async for text in connection.lines():
            self._last = text
            line = read(text)
            if line is None:
                continue
            self._people.tally.heard += self._checker.hear(line)
            if line[0] == self._number:
                self._own += 1
                self.is_in.set()


class People:
    """Keeps `count` clients connected: a new one takes each free seat until `over` is set."""

    def __init__(self, lines: str, websockets: str, count: int, lines_per_s: float, seed: int) -> None:
        self.dice = random.Random(seed)
        self.over = asyncio.Event()
        self.tally = Tally()
        self.rooms = [RoomLines() for _ in range(max(1, count // PEOPLE_IN_A_ROOM))]
        self.pause_s = count * (1 - STALLS - GARBAGE) / lines_per_s
        self._addresses = lines, websockets
        self._count = count
        self._numbers = itertools.count()

    async def run(self, arrival_s: float = 0.02) -> None:
        """Run until `over`: a resident for every room, then the others."""
        seats: list[asyncio.Task[None]] = []
        try:
            for room in range(len(self.rooms)):
                person = Person(self, next(self._numbers), room, resident=True)
                seats.append(asyncio.create_task(self._guarded(self._stay(person, room), "a resident")))
                await asyncio.wait_for(person.is_in.wait(), PATIENCE_S)
            for seat in range(len(seats), self._count):
                seats.append(asyncio.create_task(self._seat(seat)))
                await asyncio.sleep(arrival_s)
            await asyncio.gather(*seats)
        finally:
            await _end(*seats)

    async def rush(self, count: int) -> None:
        """Connect and leave `count` times, before all others, to fill the hub's close log."""

        async def visitor(seat: int) -> None:
            while next(left) < count and not self.over.is_set():
                async with dial(self._addresses[0]) as connection:
                    await self._counted(self._come_and_go(connection, seat))

        left = itertools.count()
        guests = [self._guarded(visitor(seat), "a visitor") for seat in range(RUSH_AT_ONCE)]
        await asyncio.gather(*guests)

    async def _come_and_go(self, connection: Tcp, seat: int) -> None:
        """The line is long, because a record with small numbers takes less memory than a later one."""
        await connection.say(f"/join rush-{seat}", "x" * 300, "/quit")
        await asyncio.wait_for(connection.listen(), PATIENCE_S)

    async def _seat(self, seat: int) -> None:
        """Run a client after another on the same kind of connection."""
        while not self.over.is_set():
            chance, number = self.dice.random(), next(self._numbers)
            if chance < GARBAGE:
                await self._rude(self._talk_garbage(seat))
            elif chance < GARBAGE + STALLS:
                await self._rude(self._stall(seat))
            else:
                resets = chance < GARBAGE + STALLS + RESETS
                person = Person(self, number, self.dice.randrange(len(self.rooms)))
                await self._guarded(self._stay(person, seat, reset=resets), f"client {number}")
            self.tally.lives += 1
            with suppress(TimeoutError):  # A hub that refuses clients is not overrun.
                await asyncio.wait_for(self.over.wait(), 0.05)

    def _dial(self, seat: int) -> AbstractAsyncContextManager[Tcp | WebSocket]:
        lines, websockets = self._addresses
        return dial(lines) if seat % 2 else dial_websocket(websockets)

    async def _stay(self, person: Person, seat: int, *, reset: bool = False) -> None:
        async with self._dial(seat) as connection:
            await self._counted(person.live(connection, reset=reset))

    async def _stall(self, seat: int) -> None:
        """Ask for a flood and read nothing of it; the room's lines wait behind it."""
        lines, websockets = self._addresses
        where = f"/join room-{self.dice.randrange(len(self.rooms))}\n"
        rest_s = self.dice.uniform(*STALL_S)
        if seat % 2:
            async with dial(lines, receive_buffer=SMALL_BUFFER) as connection:
                connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await self._counted(self._then_rest(connection.send((where + QUESTIONS).encode()), rest_s))
        else:
            async with dial_websocket(websockets) as socket:
                # The library reads a few messages ahead, and no further while none is taken.
                await self._counted(self._then_rest(socket.say(where + QUESTIONS), rest_s))
                socket.reset()

    async def _talk_garbage(self, seat: int) -> None:
        """Send garbage to either port, from the first byte or from within a room."""
        async with dial(self._addresses[seat % 2]) as connection:
            await self._counted(
                self._then_rest(connection.send(garbage(self.dice, len(self.rooms))), GARBAGE_S)
            )
            connection.reset()

    async def _then_rest(self, do: Awaitable[None], rest_s: float) -> None:
        with suppress(OSError):  # The hub may have had enough.
            await asyncio.wait_for(do, rest_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), rest_s)

    async def _counted(self, life: Coroutine[Any, Any, None]) -> None:
        """Count a connection while it lasts."""
        self.tally.connected += 1
        self.tally.here += 1
        try:
            await life
        finally:
            self.tally.here -= 1

    async def _guarded(self, life: Coroutine[Any, Any, None], who: str) -> None:
        """Record what goes wrong for a well-behaved client: the hub is at fault."""
        try:
            await life
        except (DeliveryError, OSError, ValueError) as error:
            self.tally.complain(f"{who}: {error!r}")

    async def _rude(self, life: Coroutine[Any, Any, None]) -> None:
        """Run a client that misbehaves, which the hub may disconnect."""
        with suppress(OSError):
            await life


def garbage(dice: random.Random, rooms: int) -> bytes:
    """Bytes that no client should send, in kinds that look for different parts of the hub."""
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: dice.randbytes(dice.randrange(1, 3000)),
        lambda: bytes(dice.choices((0xFF, 0xFA, 0xF0, 0xFB, 0xFD, 6, 24, 10, 65), k=500)),
        lambda: b"GET /%d HTTP/1.1\r\nHost: elsewhere\r\n\r\n" % dice.randrange(99),
        lambda: b"and " * 5000,
        lambda: b"\n".join(dice.randbytes(40).replace(b"/", b"") for _ in range(20)),
        lambda: b"\x16\x03\x01" + dice.randbytes(200),
        lambda: b"/join room-%d\n" % dice.randrange(rooms) + b"\xed\xa0\x80 \x1b[2J \xf0\x9f\n" * 20,
    )
    return dice.choice(kinds)()


async def _end(*tasks: "asyncio.Task[None]") -> None:
    """Cancel these tasks and wait until they are over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
