"""Thousands of clients that are there and say a line now and then: `python -m bench.crowd --lines HOST:PORT`.

A single process holds them, with a descriptor each. The program prints `ready N` once all are connected,
stays until its stdin ends, and then prints what it sent and got. WebSocket clients (`--ws`, `--ws-clients`)
only listen and answer pings.
"""

import argparse
import asyncio
import json
import random
import resource
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress

from bench.connections import dial_websocket, split

AT_ONCE = 100
"""Connections being made at a time: no flood of SYNs, no full listen(2) backlog."""
RESERVE = 32
"""Descriptors for everything else."""


class Member(asyncio.Protocol):
    """A line client, which counts what it gets and keeps nothing."""

    def __init__(self, crowd: "Crowd") -> None:
        self._crowd = crowd
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._crowd.lines_in += data.count(b"\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self.transport = None
        self._crowd.lost += 1


class Crowd:
    """The members and their counters."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.lines_in = 0
        self.lines_out = 0
        self.lost = 0

    async def gather(self, addresses: Sequence[str], count: int) -> None:
        """Connect so many, in turn to each address. Raises OSError."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def join(number: int) -> None:
            host, port = split(addresses[number % len(addresses)])
            async with gate:
                _, member = await asyncio.get_running_loop().create_connection(
                    lambda: Member(self), host, port
                )
            self.members.append(member)

        await asyncio.gather(*(join(number) for number in range(count)))

    async def talk(self, every_s: float, dice: random.Random) -> None:
        """Have each member say a line about every so many seconds, unless its last one is still unsent."""
        pause_s = every_s / len(self.members)
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += pause_s
            await asyncio.sleep(max(0.0, due - loop.time()))
            transport = dice.choice(self.members).transport
            if transport is not None and not transport.get_write_buffer_size():
                self.lines_out += 1
                transport.write(b"line %d of the crowd, not long and not short\n" % self.lines_out)

    def report(self) -> str:
        """What was sent and got, as a line of JSON."""
        return json.dumps({"lines_out": self.lines_out, "lines_in": self.lines_in, "lost": self.lost})


def allow(descriptors: int) -> None:
    """Raise the soft limit as far as the hard one; exits where that is too little, getrlimit(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and descriptors + RESERVE > hard:
        sys.exit(f"{descriptors} clients need more descriptors than the {hard} that one process may hold")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def run(options: argparse.Namespace) -> None:
    """Be there until stdin ends."""
    crowd = Crowd()
    if options.clients:
        await crowd.gather(options.lines, options.clients)
    async with AsyncExitStack() as stack:
        listeners = []
        for number in range(options.ws_clients):
            address = options.ws[number % len(options.ws)]
            connection = await stack.enter_async_context(dial_websocket(address))
            listeners.append(asyncio.create_task(connection.listen()))
        print("ready", len(crowd.members) + len(listeners), flush=True)
        talking = asyncio.create_task(crowd.talk(options.talk_every, random.Random(1)))
        await asyncio.to_thread(sys.stdin.read)
        for task in (talking, *listeners):
            task.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await task
        print(crowd.report(), flush=True)


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.crowd", description=str(__doc__).split("\n")[0])
    parser.add_argument("--lines", metavar="HOST:PORT", action="append", required=True)
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--talk-every", metavar="SECONDS", type=float, default=10.0, help="each, on average")
    parser.add_argument("--ws", metavar="HOST:PORT", action="append", default=[])
    parser.add_argument("--ws-clients", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.ws_clients and not options.ws:
        parser.error("--ws-clients needs --ws")
    allow(options.clients + options.ws_clients)
    asyncio.run(run(options))


if __name__ == "__main__":
    main(sys.argv[1:])
