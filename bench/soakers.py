"""The clients of a soak: they come, join a room, talk and listen, and go in one way or another.

Most are well-behaved, and whatever befalls them is a fault of the hub's: each checks what it hears against
its room's story, and one that takes leave in order has heard all its own lines by then. Beside them are
those that stop reading, that reset, and that send garbage.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import Any

from bench.characters import SMALL_BUFFER
from bench.stories import Ear, Story, Wrong, read, text_of
from bench.wire import Tcp, WebSocket, dial, dial_websocket

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
    """What all of them did and heard. `wrong` are the first things that went wrong, in words."""

    connected: int = 0
    here: int = 0
    said: int = 0
    heard: int = 0
    lives: int = 0
    wrongs: int = 0
    wrong: list[str] = field(default_factory=list)

    def complain(self, text: str) -> None:
        """Something went wrong."""
        self.wrongs += 1
        if len(self.wrong) < WRONGS_KEPT:
            self.wrong.append(text)


class Person:
    """One well-behaved life."""

    def __init__(self, people: "People", number: int, room: int, *, resident: bool = False) -> None:
        self._people = people
        self._number = number
        self._room = room
        self._resident = resident
        self._ear = Ear(people.stories[room], begins=resident)
        self._said = 0
        self._own = 0
        self._last = ""
        self.is_in = asyncio.Event()
        """It has heard a line of its own, so it is in the room."""

    async def live(self, wire: Tcp | WebSocket, *, reset: bool = False) -> None:
        """From coming in to the end. Raises Wrong, and OSError where it should not end."""
        await wire.say(f"/join room-{self._room}")
        hearing, talking = asyncio.create_task(self._hear(wire)), asyncio.create_task(self._talk(wire))
        try:
            await asyncio.wait((hearing, talking), return_when=asyncio.FIRST_COMPLETED)
            if hearing.done():
                await hearing
                raise Wrong(f"was ended by the hub: {self._last!r}")
            await talking
            if reset:
                wire.reset()
                return
            await wire.take_leave()
            await asyncio.wait_for(hearing, PATIENCE_S)
            if self._own != self._said:
                raise Wrong(f"heard {self._own} of its own {self._said} lines, then {self._last!r}")
        finally:
            await _end(hearing, talking)

    async def _talk(self, wire: Tcp | WebSocket) -> None:
        """Until its life is over, or all of it."""
        people, dice = self._people, self._people.dice
        life_s = min(max(SHORTEST_S, dice.expovariate(1 / LIFE_S)), LONGEST_S)
        loop = asyncio.get_running_loop()
        ends_s = float("inf") if self._resident else loop.time() + life_s
        while not people.over.is_set() and loop.time() < ends_s:
            await wire.say(text_of((self._number, self._said)))
            self._said += 1
            people.tally.said += 1
            pause_s = min(dice.expovariate(1 / people.pause_s), ends_s - loop.time())
            with suppress(TimeoutError):
                await asyncio.wait_for(people.over.wait(), max(0.0, pause_s))

    async def _hear(self, wire: Tcp | WebSocket) -> None:
        async for text in wire.lines():
            self._last = text
            line = read(text)
            if line is None:
                continue
            self._people.tally.heard += self._ear.hear(line)
            if line[0] == self._number:
                self._own += 1
                self.is_in.set()


class People:
    """So many clients at a time. Each seat is taken again as soon as it is free, until `over` is set."""

    def __init__(self, lines: str, websockets: str, count: int, lines_per_s: float, seed: int) -> None:
        self.dice = random.Random(seed)
        self.over = asyncio.Event()
        self.tally = Tally()
        self.stories = [Story() for _ in range(max(1, count // PEOPLE_IN_A_ROOM))]
        self.pause_s = count * (1 - STALLS - GARBAGE) / lines_per_s
        self._addresses = lines, websockets
        self._count = count
        self._numbers = itertools.count()

    async def run(self, arrival_s: float = 0.02) -> None:
        """Until `over`: one person for good in every room, then the others."""
        seats: list[asyncio.Task[None]] = []
        try:
            for room in range(len(self.stories)):
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
        """So many come and go at once, before all others. It fills what the hub keeps of those who left."""

        async def visitor(seat: int) -> None:
            while next(left) < count and not self.over.is_set():
                async with dial(self._addresses[0]) as wire:
                    await self._counted(self._come_and_go(wire, seat))

        left = itertools.count()
        guests = [self._guarded(visitor(seat), "a visitor") for seat in range(RUSH_AT_ONCE)]
        await asyncio.gather(*guests)

    async def _come_and_go(self, wire: Tcp, seat: int) -> None:
        """The line is long, because a record with small numbers takes less memory than a later one."""
        await wire.say(f"/join rush-{seat}", "x" * 300, "/quit")
        await asyncio.wait_for(wire.listen(), PATIENCE_S)

    async def _seat(self, seat: int) -> None:
        """One life after another on the same kind of wire."""
        while not self.over.is_set():
            chance, number = self.dice.random(), next(self._numbers)
            if chance < GARBAGE:
                await self._rude(self._talk_garbage(seat))
            elif chance < GARBAGE + STALLS:
                await self._rude(self._stall(seat))
            else:
                resets = chance < GARBAGE + STALLS + RESETS
                person = Person(self, number, self.dice.randrange(len(self.stories)))
                await self._guarded(self._stay(person, seat, reset=resets), f"client {number}")
            self.tally.lives += 1
            with suppress(TimeoutError):  # A hub that lets nobody in is not run down.
                await asyncio.wait_for(self.over.wait(), 0.05)

    def _dial(self, seat: int) -> AbstractAsyncContextManager[Tcp | WebSocket]:
        lines, websockets = self._addresses
        return dial(lines) if seat % 2 else dial_websocket(websockets)

    async def _stay(self, person: Person, seat: int, *, reset: bool = False) -> None:
        async with self._dial(seat) as wire:
            await self._counted(person.live(wire, reset=reset))

    async def _stall(self, seat: int) -> None:
        """Ask for a flood and read nothing of it; the room's lines wait behind it."""
        lines, websockets = self._addresses
        where = f"/join room-{self.dice.randrange(len(self.stories))}\n"
        rest_s = self.dice.uniform(*STALL_S)
        if seat % 2:
            async with dial(lines, receive_buffer=SMALL_BUFFER) as wire:
                wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await self._counted(self._then_rest(wire.send((where + QUESTIONS).encode()), rest_s))
        else:
            async with dial_websocket(websockets) as socket:
                # Its library reads a few messages ahead, and no further while nobody takes them.
                await self._counted(self._then_rest(socket.say(where + QUESTIONS), rest_s))
                socket.reset()

    async def _talk_garbage(self, seat: int) -> None:
        """Whatever comes to mind, at either door, from the first byte or from within a room."""
        async with dial(self._addresses[seat % 2]) as wire:
            await self._counted(self._then_rest(wire.send(garbage(self.dice, len(self.stories))), GARBAGE_S))
            wire.reset()

    async def _then_rest(self, do: Awaitable[None], rest_s: float) -> None:
        with suppress(OSError):  # The hub may have had enough.
            await asyncio.wait_for(do, rest_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), rest_s)

    async def _counted(self, life: Coroutine[Any, Any, None]) -> None:
        """One connection that is there."""
        self.tally.connected += 1
        self.tally.here += 1
        try:
            await life
        finally:
            self.tally.here -= 1

    async def _guarded(self, life: Coroutine[Any, Any, None], who: str) -> None:
        """What goes wrong for who behaves well is the hub's fault."""
        try:
            await life
        except (Wrong, OSError, ValueError) as error:
            self.tally.complain(f"{who}: {error!r}")

    async def _rude(self, life: Coroutine[Any, Any, None]) -> None:
        """Whoever misbehaves may be thrown out."""
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
    """None of these goes on."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
