"""The lines of the demo's made-up clients: what they say, in which room, under which names. No sockets."""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Line = tuple[int, str]
"""The speaker, as a number among the room's people, and the text."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A room: its people, the average pause between two lines, and what they talk about."""

    room: str
    pause_s: float
    people: tuple[str, ...]
    threads: tuple[tuple[Line, ...], ...]

    def lines(self, dice: random.Random) -> Iterator[Line]:
        """Conversations without end: each once, in any order, then all of them again."""
        while True:
            for thread in dice.sample(self.threads, len(self.threads)):
                yield from thread


SCENES: tuple[Scene, ...] = (
    Scene(
        "lobby",
        7.0,
        ("ada", "bruno", "chandra", "dita", "emeka"),
        (
            ((0, "good morning, everyone"), (2, "morning! any news?"), (0, "the coffee machine is back")),
            (
                (1, "who opened the window?"),
                (3, "me, it smelled of solder in here"),
                (1, "fair enough"),
                (4, "it still does"),
            ),
            (
                (4, "has someone a spare serial cable?"),
                (2, "second drawer, under the multimeter"),
                (4, "found it, thanks"),
            ),
            ((3, "lunch at twelve?"), (0, "half past, please"), (1, "half past is good"), (3, "ok")),
            (
                (2, "does /who show people in other rooms?"),
                (0, "no, only this one"),
                (2, "ah. /join then"),
            ),
        ),
    ),
    Scene(
        "kitchen",
        1.6,
        ("farah", "goran", "hana", "ines", "jonas", "kaya"),
        (
            (
                (0, "how long do lentils take?"),
                (1, "red ones 15 minutes, brown ones 30"),
                (2, "and no salt before they are soft"),
                (0, "too late :)"),
                (3, "that is a myth anyway"),
            ),
            (
                (4, "my sourdough is flat again"),
                (5, "how warm is your kitchen?"),
                (4, "18 degrees"),
                (5, "give it two more hours then"),
                (2, "or put it next to the router, mine loves that"),
            ),
            ((3, "is a wok worth it on induction?"), (1, "a flat one, yes"), (5, "cast iron, if you lift")),
            ((2, "用什么酱油?"), (3, "生抽就好"), (0, "translation, anyone?"), (2, "light soy sauce!")),
        ),
    ),
    Scene(
        "sockets",
        1.1,
        ("lena", "mikko", "nadia", "oskar", "priya", "quentin"),
        (
            (
                (0, "why does my epoll loop spin at 100%?"),
                (1, "level-triggered, and you do not read what it reports"),
                (0, "the peer sent FIN, there is nothing to read"),
                (1, "there is: an EOF. It stays readable until you take it"),
                (0, "oh."),
                (4, "we have all been there"),
            ),
            (
                (2, "is EAGAIN an error?"),
                (3, "no, it is the kernel saying: later"),
                (5, "and EWOULDBLOCK is the same number on Linux"),
            ),
            (
                (4, "close() lost my last line"),
                (3, "unread input? then close() sends RST"),
                (3, "shutdown(SHUT_WR), read to the end, then close"),
                (4, "that was it, thanks!"),
            ),
            (
                (5, "edge-triggered is faster, isn't it?"),
                (1, "measure it :)"),
                (2, "mostly it is easier to starve somebody"),
            ),
            ((0, "what is a good listen backlog?"), (3, "the system's somaxconn, and accept quickly")),
        ),
    ),
    Scene(
        "harbour",
        2.4,
        ("rosa", "sven", "tarek", "ulla"),
        (
            (
                (0, "wind 5 from the south-west, gusting 7"),
                (1, "we stay in then"),
                (2, "the ferry is late as well"),
                (3, "40 minutes, it says"),
            ),
            ((1, "who has berth 12 tonight?"), (3, "nobody, take it"), (1, "merci")),
            ((2, "tide turns at 18:20"), (0, "18:26 by my table"), (2, "let us not argue over 6 minutes")),
        ),
    ),
    Scene(
        "night-shift",
        5.0,
        ("vera", "wim", "yusuf"),
        (
            ((0, "all green on my side"), (1, "one disk at 91%, the rest is fine"), (2, "I take the disk")),
            ((2, "backup finished, 41 minutes"), (0, "that is 3 less than yesterday")),
            ((1, "tea?"), (0, "always"), (2, "none for me, I am off at six")),
        ),
    ),
)

GUESTS: tuple[str, ...] = (
    "alba", "bo", "cleo", "dov", "elif", "finn", "gus", "hedy", "ivo", "juno", "kim", "lou", "mo", "nell",
    "olek", "pia", "rafa", "sam", "tove", "uri", "vida", "wren", "xan", "yara", "zeno",
)  # fmt: skip
"""The names of visitors."""

GREETINGS: tuple[str, ...] = (
    "hello! just looking around",
    "is this the line hub?",
    "hi all",
    "wrong room, sorry",
    "greetings from telnet",
)

ECHOES: tuple[str, ...] = (
    "ping",
    "hello?",
    "testing, testing",
    "does it come back?",
    "1 2 3",
    "äöü ß €",
    "AT",
)


def names(base: Sequence[str]) -> Iterator[str]:
    """Names without end; from the second round on with a number, as earlier ones may still be there."""
    yield from base
    for turn in itertools.count(2):
        yield from (f"{name}{turn % 100}" for name in base)


def reading(number: int, dice: random.Random) -> str:
    """A line that the demo relays in broadcast mode: a station's tide and wind."""
    station = ("north-mole", "pilot-light", "bar-buoy")[number % 3]
    return f"{station} level={dice.gauss(2.4, 0.05):.2f}m wind={abs(dice.gauss(7, 2)):.1f}m/s n={number}"
