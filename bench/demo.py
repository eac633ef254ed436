"""The made-up clients of `hubbub demo`: `python -m bench.demo --lines HOST:PORT ...`, a child of the hub.

They come over real sockets and know nothing of the hub but its addresses and a few of its settings, all
of it in argv. Each plays its part (bench/characters.py), rests, and plays it again, for ever; what they
cost does not grow. The lobby is calm, a line every second or two, for the people who try the hub; the noise
is in other rooms. The program ends when its stdin does, so also when its parent dies in any way, and when a
client is told that the hub shuts down.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from bench import characters
from bench.characters import FLOOD_ROOM, TIMING_MARKS, Actor, Part
from bench.connections import HubEnds, dial, dial_websocket
from bench.demo_lines import GUESTS, SCENES, Scene, names

NICE = 10
ARRIVAL_S = 0.02
"""Between two arrivals at the start: all are there within a second."""
REST_S = (6.0, 15.0)
FIRST_VISITS, FIRST_VISIT_S, VISIT_S = 6, 1.2, 10.0
"""Visitors come quickly at first, so that the page has closed connections to show; then the lobby is calm."""
END_WITHIN_S = 2.0
MAX_RAMBLE_BYTES = 1 << 20
LISTENERS = 20


class Cast:
    """The parts for a mode. `parts` are there from the start; `visits` come one after another for ever."""

    def __init__(self, options: argparse.Namespace, dice: random.Random) -> None:
        self._options = options
        self._dice = dice
        self._addresses = itertools.cycle(options.lines)
        self._names = names(GUESTS)
        self._chat = options.mode == "chat"

    def parts(self) -> list[Part]:
        """The coroutines of all clients that stay, each to be played again and again."""
        chosen = {"chat": self._in_chat, "broadcast": self._in_broadcast, "echo": self._in_echo}
        return list(chosen[self._options.mode]())

    def visits(self) -> Iterator[Part]:
        """Visitors, which do one thing and leave: every kind once, in any order, then all of them again."""
        here, dice, longest = self._here, self._dice, self._options.max_line
        while True:
            kinds: list[Callable[[], Part]] = [
                lambda: partial(characters.leaver, here(), dice, *self._introduction()),
                lambda: partial(characters.resetter, here(), dice, *self._introduction()),
                lambda: partial(characters.browser, here()),
            ]
            if self._chat:
                kinds.append(lambda: partial(characters.quitter, here(), dice, *self._introduction()))
            if self._options.telnet:
                kinds.append(lambda: partial(characters.stammerer, here()))
            if 0 < longest <= MAX_RAMBLE_BYTES:
                kinds.append(
                    lambda: partial(characters.rambler, here(), dice, longest, *self._introduction())
                )
            yield from (kind() for kind in dice.sample(kinds, len(kinds)))

    def _in_chat(self) -> Iterator[Part]:
        for scene in SCENES:
            yield from self._scene(scene)
        yield lambda: characters.idler(self._here(), "/nick dozy", "/join attic")
        yield lambda: characters.idler(self._here(), "/nick drowsy", "/join cellar")
        yield lambda: characters.flooder(self._here(), "/nick firehose", f"/join {FLOOD_ROOM}")
        yield lambda: characters.idler(self._here(), "/nick sink", f"/join {FLOOD_ROOM}")
        yield lambda: characters.idler(self._here(), "/nick drain", f"/join {FLOOD_ROOM}")
        yield lambda: characters.sleeper(self._here(), "/nick sloth", f"/join {FLOOD_ROOM}")

    def _in_broadcast(self) -> Iterator[Part]:
        """All clients share the room, so none floods it: the slow client does not read its own replies."""
        numbers = itertools.count(1)
        yield lambda: characters.station(self._here(), self._dice, numbers)
        yield from (self._listener for _ in range(LISTENERS - len(self._options.ws)))
        yield from (Actor(partial(dial_websocket, address)).play for address in self._options.ws)
        if self._options.telnet:
            yield lambda: characters.talker_who_does_not_listen(self._here(), TIMING_MARKS, 0.05)

    def _in_echo(self) -> Iterator[Part]:
        yield from ((lambda: characters.muse(self._here(), self._dice)) for _ in range(LISTENERS))
        yield from (self._listener for _ in range(2))  # Nothing is sent to them, so they are closed as idle.
        yield lambda: characters.flooder(self._here())
        line = f"{characters.FLOOD_LINE}\n".encode()
        yield lambda: characters.talker_who_does_not_listen(self._here(), line, characters.FLOOD_PAUSE_S)

    def _scene(self, scene: Scene) -> Iterator[Part]:
        """A room's people, and a coroutine that has them speak in turn."""
        actors = [self._actor(nick, scene.room, number) for number, nick in enumerate(scene.people)]
        yield from (actor.play for actor in actors)

        async def converse() -> None:
            for who, line in scene.lines(self._dice):
                await asyncio.sleep(scene.pause_s * self._dice.uniform(0.5, 1.5))
                with contextlib.suppress(OSError):
                    await actors[who].say(line)

        yield converse

    def _actor(self, nick: str, room: str, number: int) -> Actor:
        introduction = [f"/nick {nick}"] + ([f"/join {room}"] if room != "lobby" else [])
        if self._options.ws and number == 1:  # The second person of each room comes as a browser would.
            return Actor(lambda: dial_websocket(self._options.ws[0]), *introduction)
        return Actor(lambda: dial(self._here()), *introduction)

    async def _listener(self) -> None:
        await characters.idler(self._here())

    def _here(self) -> str:
        """The next of the hub's addresses."""
        address: str = next(self._addresses)
        return address

    def _introduction(self) -> tuple[str, ...]:
        return (f"/nick {next(self._names)}",) if self._chat else ()


async def play_for_ever(part: Part, dice: random.Random, late_s: float) -> None:
    """Play a part again and again, whatever ends it but the end of the hub."""
    await asyncio.sleep(late_s)
    while True:
        await play_once(part)
        await asyncio.sleep(dice.uniform(*REST_S))


async def play_once(part: Part) -> None:
    """Play a part, in which the network may fail. Raises HubEnds."""
    with contextlib.suppress(OSError):
        await part()


async def receive(visits: Iterator[Part]) -> None:
    """Play the visitors, never more than one at a time."""
    for number, visit in enumerate(visits):
        await asyncio.sleep(FIRST_VISIT_S if number < FIRST_VISITS else VISIT_S)
        await play_once(visit)


async def run(cast: Cast, dice: random.Random, parent_gone: asyncio.Event) -> None:
    """Play all parts at once. Raises HubEnds, in a group, when the hub shuts down or the parent is gone."""
    async with asyncio.TaskGroup() as group:
        for number, part in enumerate(cast.parts()):
            group.create_task(play_for_ever(part, dice, number * ARRIVAL_S))
        group.create_task(receive(cast.visits()))
        await parent_gone.wait()
        raise HubEnds


async def main(arguments: Sequence[str]) -> None:
    """Play until stdin ends or the hub does."""
    options = parse(arguments)
    dice = random.Random(options.seed)
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=wait_for_end, args=(loop, gone), daemon=True).start()
    try:
        await run(Cast(options, dice), dice, gone)
    except* HubEnds:
        pass  # The demo is over.


def wait_for_end(loop: asyncio.AbstractEventLoop, gone: asyncio.Event) -> None:
    """Read stdin to its end: a thread, because asyncio takes no file. Then exit in any case."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # The loop is closed already.
        loop.call_soon_threadsafe(gone.set)
    time.sleep(END_WITHIN_S)
    os._exit(os.EX_OK)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line of the child."""
    parser = argparse.ArgumentParser(prog="python -m bench.demo", description="Made-up clients for a hub.")
    address = partial(parser.add_argument, metavar="HOST:PORT", action="append")
    address("--lines", required=True, help="where the hub takes line clients; may be repeated")
    address("--ws", default=[], help="where the hub takes WebSockets; may be repeated")
    parser.add_argument("--mode", choices=("chat", "broadcast", "echo"), default="chat")
    parser.add_argument("--max-line", metavar="BYTES", type=int, default=8192, help="the hub's; 0: no limit")
    parser.add_argument("--telnet", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, help="for the same play again")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the hub: this program ends with it.
    os.nice(NICE)
    asyncio.run(main(sys.argv[1:]))
