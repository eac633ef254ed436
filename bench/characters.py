"""The made-up clients of the demo, one coroutine each: from connecting to the close reason they show.

A coroutine plays its part once; bench/demo.py has it played again after a rest. Each reads what it is
sent, slowly or not at all where that is its part, and keeps nothing of it. All raise OSError when the
network or the hub closes the connection early, which is a part of the demo.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager

from bench.connections import Connection, Tcp, dial
from bench.demo_lines import ECHOES, GREETINGS, reading

Dial = Callable[[], AbstractAsyncContextManager[Connection]]
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
    """Play these at once until one is over; cancel the others. Raises what the finished part raised."""
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
    """A person of a scene: connects, stays, and says what the scene has it say."""

    def __init__(self, dial: Dial, *introduction: str) -> None:
        self._dial = dial
        self._introduction = introduction
        self._connection: Connection | None = None

    async def play(self) -> None:
        """Stay from connecting until the hub closes the connection."""
        async with self._dial() as connection:
            if self._introduction:
                await connection.say(*self._introduction)
            self._connection = connection
            try:
                await connection.listen()
            finally:
                self._connection = None

    async def say(self, line: str) -> None:
        """Say this line, if connected."""
        if self._connection is not None:
            await self._connection.say(line)


async def muse(address: str, dice: random.Random) -> None:
    """Says something now and then, and hears it again (echo mode)."""

    async def say() -> None:
        while True:
            await connection.say(dice.choice(ECHOES))
            await asyncio.sleep(dice.uniform(1.0, 6.0))

    async with dial(address) as connection:
        await beside(connection.listen(), say())


async def station(address: str, dice: random.Random, numbers: Iterator[int]) -> None:
    """A relay of readings, two lines in three seconds (broadcast mode)."""

    async def relay() -> None:
        for number in numbers:
            await connection.say(reading(number, dice))
            await asyncio.sleep(dice.uniform(1.0, 2.0))

    async with dial(address) as connection:
        await beside(connection.listen(), relay())


async def idler(address: str, *introduction: str) -> None:
    """Connects and does nothing more. Closed as idle."""
    async with dial(address) as connection:
        if introduction:
            await connection.say(*introduction)
        await connection.listen()


async def flooder(address: str, *introduction: str) -> None:
    """100 KB/s in large lines, and reads them all again."""

    async def flood() -> None:
        await connection.say(*introduction)
        while True:
            await connection.say(FLOOD_LINE)
            await asyncio.sleep(FLOOD_PAUSE_S)

    async with dial(address) as connection:
        await beside(connection.listen(), flood())


async def sleeper(address: str, *introduction: str) -> None:
    """Joins a flooded room and reads nothing for a while. Closed as slow_consumer."""
    async with dial(address, receive_buffer=SMALL_BUFFER) as connection:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await connection.say(*introduction)
        await asyncio.sleep(SLOW_STAYS_S)
        connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await connection.listen()


async def talker_who_does_not_listen(address: str, data: bytes, pause_s: float) -> None:
    """Sends what is answered and never reads the answers. Closed as slow_consumer."""
    async with dial(address, receive_buffer=SMALL_BUFFER) as connection:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        try:
            async with asyncio.timeout(SLOW_STAYS_S):
                while True:
                    await connection.send(data)
                    await asyncio.sleep(pause_s)
        except TimeoutError:
            connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
            await connection.listen()


async def visit(connection: Tcp, dice: random.Random, *introduction: str) -> None:
    """Introduce oneself and say something, as all visitors do."""
    if introduction:
        await connection.say(*introduction, dice.choice(GREETINGS))
    await asyncio.sleep(dice.uniform(*VISIT_S))


async def quitter(address: str, dice: random.Random, *introduction: str) -> None:
    """Leaves with /quit. Closed as quit."""
    async with dial(address) as connection:
        await visit(connection, dice, *introduction)
        await connection.say("/quit")
        await connection.listen()


async def leaver(address: str, dice: random.Random, *introduction: str) -> None:
    """Closes its side in order. Closed as peer_closed."""
    async with dial(address) as connection:
        await visit(connection, dice, *introduction)
        connection.writer.write_eof()
        await connection.listen()


async def resetter(address: str, dice: random.Random, *introduction: str) -> None:
    """Resets the connection. Closed as peer_reset."""
    async with dial(address) as connection:
        await visit(connection, dice, *introduction)
        connection.reset()


async def rambler(address: str, dice: random.Random, max_line_bytes: int, *introduction: str) -> None:
    """Never ends its line. Closed as line_too_long."""
    async with dial(address) as connection:
        await visit(connection, dice, *introduction)
        await connection.send(b"and another thing, " * (max_line_bytes // 19 + 2))
        await connection.listen()


async def browser(address: str) -> None:
    """Asks for a web page at the line port. Closed as wrong_protocol."""
    async with dial(address) as connection:
        await connection.send(_HTTP)
        await connection.listen()


async def stammerer(address: str) -> None:
    """Begins a telnet sub-negotiation that has no end. Closed as protocol_error."""
    async with dial(address) as connection:
        await connection.send(_ENDLESS_OPTION)
        await connection.listen()
