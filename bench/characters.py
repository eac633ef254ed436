"""The made-up clients of the demo, one coroutine each: from connecting to the end they are there for.

A coroutine plays its part once; bench/demo.py has it played again after a rest. Each reads what it is
sent, slowly or not at all where that is its part, and keeps nothing of it. All raise OSError when the
network or the hub ends the play early, which is a part of it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager

from bench.talk import ECHOES, GREETINGS, reading
from bench.wire import Tcp, Wire, dial

Dial = Callable[[], AbstractAsyncContextManager[Wire]]
Part = Callable[[], Awaitable[None]]

FLOOD_ROOM = "flood"
FLOOD_LINE = "x" * 2047
FLOOD_PAUSE_S = 0.02
SMALL_BUFFER = 4096
TIMING_MARKS = b"\xff\xfd\x06" * 660  # IAC DO TIMING-MARK, RFC 860: what telnet sends for every Ctrl-C
SLOW_STAYS_S = 40.0
VISIT_S = (2.0, 5.0)

_HTTP = b"GET /metrics HTTP/1.1\r\nHost: hub\r\n\r\n"
_ENDLESS_OPTION = b"\xff\xfa\x18" + b"v" * 400


async def beside(*parts: Coroutine[None, None, None]) -> None:
    """Play these at once until one of them is over; the others are cancelled. Raises what that one raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


class Actor:
    """One of a scene's people: comes in, stays, and says what it is told to."""

    def __init__(self, dial: Dial, *introduction: str) -> None:
        self._dial = dial
        self._introduction = introduction
        self._wire: Wire | None = None

    async def play(self) -> None:
        """From coming in until the hub ends it."""
        async with self._dial() as wire:
            if self._introduction:
                await wire.say(*self._introduction)
            self._wire = wire
            try:
                await wire.listen()
            finally:
                self._wire = None

    async def say(self, line: str) -> None:
        """Say it, if present."""
        if self._wire is not None:
            await self._wire.say(line)


async def muse(address: str, dice: random.Random) -> None:
    """Says something now and then, and hears it again (echo mode)."""

    async def say() -> None:
        while True:
            await wire.say(dice.choice(ECHOES))
            await asyncio.sleep(dice.uniform(1.0, 6.0))

    async with dial(address) as wire:
        await beside(wire.listen(), say())


async def feed(address: str, dice: random.Random, numbers: Iterator[int]) -> None:
    """A relay of readings, two lines in three seconds (broadcast mode)."""

    async def relay() -> None:
        for number in numbers:
            await wire.say(reading(number, dice))
            await asyncio.sleep(dice.uniform(1.0, 2.0))

    async with dial(address) as wire:
        await beside(wire.listen(), relay())


async def idler(address: str, *introduction: str) -> None:
    """Comes in and does nothing more. Ends as idle."""
    async with dial(address) as wire:
        if introduction:
            await wire.say(*introduction)
        await wire.listen()


async def flooder(address: str, *introduction: str) -> None:
    """100 KB/s in large lines, and reads them all again."""

    async def flood() -> None:
        await wire.say(*introduction)
        while True:
            await wire.say(FLOOD_LINE)
            await asyncio.sleep(FLOOD_PAUSE_S)

    async with dial(address) as wire:
        await beside(wire.listen(), flood())


async def sleeper(address: str, *introduction: str) -> None:
    """Asks for a flood and does not read it; looks after a while what became of it. Ends as slow_consumer."""
    async with dial(address, receive_buffer=SMALL_BUFFER) as wire:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await wire.say(*introduction)
        await asyncio.sleep(SLOW_STAYS_S)
        wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await wire.listen()


async def talker_who_does_not_listen(address: str, data: bytes, pause_s: float) -> None:
    """Sends what is answered and never reads the answers. Ends as slow_consumer."""
    async with dial(address, receive_buffer=SMALL_BUFFER) as wire:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        try:
            async with asyncio.timeout(SLOW_STAYS_S):
                while True:
                    await wire.send(data)
                    await asyncio.sleep(pause_s)
        except TimeoutError:
            wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
            await wire.listen()


async def visit(wire: Tcp, dice: random.Random, *introduction: str) -> None:
    """What all visitors have in common: come in, look around, say something."""
    if introduction:
        await wire.say(*introduction, dice.choice(GREETINGS))
    await asyncio.sleep(dice.uniform(*VISIT_S))


async def quitter(address: str, dice: random.Random, *introduction: str) -> None:
    """Takes leave with /quit."""
    async with dial(address) as wire:
        await visit(wire, dice, *introduction)
        await wire.say("/quit")
        await wire.listen()


async def leaver(address: str, dice: random.Random, *introduction: str) -> None:
    """Closes its side in order. Ends as peer_closed."""
    async with dial(address) as wire:
        await visit(wire, dice, *introduction)
        wire.writer.write_eof()
        await wire.listen()


async def resetter(address: str, dice: random.Random, *introduction: str) -> None:
    """Its cable is pulled. Ends as peer_reset."""
    async with dial(address) as wire:
        await visit(wire, dice, *introduction)
        wire.reset()


async def rambler(address: str, dice: random.Random, max_line_bytes: int, *introduction: str) -> None:
    """Never ends its line. Ends as line_too_long."""
    async with dial(address) as wire:
        await visit(wire, dice, *introduction)
        await wire.send(b"and another thing, " * (max_line_bytes // 19 + 2))
        await wire.listen()


async def browser(address: str) -> None:
    """Asks for a web page at the wrong door. Ends as wrong_protocol."""
    async with dial(address) as wire:
        await wire.send(_HTTP)
        await wire.listen()


async def stammerer(address: str) -> None:
    """Begins a telnet sub-negotiation that has no end. Ends as protocol_error."""
    async with dial(address) as wire:
        await wire.send(_ENDLESS_OPTION)
        await wire.listen()
