"""The plan to many hubs, on paper and simulated: `python -m bench.scaling` (docs/design/scaling.md).

The hubs of a machine share a leaf broker; the core broker stores and numbers all batches. `Load` computes
what each part does, WALLS says where that ends, and `simulate` sends batches through queues of the same tree.
"""

import argparse
import heapq
import math
import random
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final, NamedTuple

from bench.contest.tables import magnitude, table
from bench.figures import quantile

# Sources: [B] docs/benchmarks.md; [C] this code, docs/design/scaling.md says how; [P] the prototype of the
# cluster; [D] decided, in the docs or the code; [A] assumed. CPU is in seconds, a pair is p50 and p99.
PER_HUB: Final = 19_900  # people: [P] 20,000 descriptors, which the measured machine does not raise
PER_MACHINE: Final = 14  # hubs: [P] a core each, and the leaf broker has what is left
STEP_S: Final = 1e-3  # between two batches of a hub, for each hub that hears them: [D]
TURN_S: Final = 1e-3  # of the loop, at most: [D]
BEATS: Final = 1.0  # a second of each hub, heard by all: [P] specified, not built
MESSAGE_S: Final = 0.42 / 3000  # CPU, a hub hears a message: [P] nats-py on a thread, 42 % at 3,000/s
ENTRY_S: Final = 8.5e-6  # CPU, a hub checks an entry, here one line: [C]
SKIP_S: Final = 0.09e-6  # CPU, a hub skips an entry of a room without members there: [P]
SEND_S: Final = 5.74e-6  # CPU, a line to one reader: [B] fan-out of single lines
JOINED_S: Final = 0.00949e-6 - SEND_S / 861  # CPU, each further line of a send: [B] 1,000 readers, 861 lines
LINE_S: Final = 7.45e-6  # CPU, a hub reads a line: [B] at most an echo, one line at a time
COPY_S: Final = 10.5e-6  # CPU, a broker sends a copy of a message: [P] 7 to 14 us
LEAF_S: Final = 0.13e-3  # added by a leaf broker: [P]
PATH: Final = (0.1e-3, 0.48e-3)  # to the broker, and back: [P] 0.34/1.1 ms by nats-py, less MESSAGE_S
SYNC: Final = {1: (0.29e-3, 1.92e-3), 3: (1.04e-3, 4.42e-3)}  # by replicas: [P] `always`, less 0.16/0.38 ms
STORES: Final = {1: 17_100.0, 3: 4_100.0}  # messages a second in one stream, by replicas: [P]
STORES_BYTES: Final = 155e6  # a second in one stream: [P] messages of 128 KiB
ENTRY_BYTES, LINE_BYTES = 78, 64  # a line in a message with its room: [C]; as a reader gets it: [B]
MOST_ENTRIES, KEPT_BYTES = 1024, 1 << 30  # of a message, of a stream: [D]
BUSY, NETWORK = 0.8, 25e9 / 8  # of a core, the rest is for what is not counted; B/s out of a machine: [A]
PATIENCE_S, KEPT_S = 1.0, 60.0  # [A] between two batches; a hub that was away for so long misses nothing


@dataclass(frozen=True, slots=True)
class Tree:
    """So many people who say so many lines a minute each, in rooms of `room`. A hot room comes besides.

    A room is in one of `shards` streams. A hub follows those in which it has members: nearly all, or one
    where `by_room` sends people to hubs of its shard. With `skips` no hub checks lines of foreign rooms.
    """

    people: float
    lines_each: float = 1.0
    room: int = 50
    shards: int = 1
    by_room: bool = False
    leaves: bool = True
    skips: bool = False
    replicas: int = 3
    hot_readers: float = math.inf
    hot_lines: float = 10.0


class Load:
    """What the parts of a tree do. Times are seconds, rates and bytes are a second, CPU is in cores."""

    def __init__(self, tree: Tree) -> None:
        self.tree, self.lines_s = tree, tree.people * tree.lines_each / 60
        self.hubs = hubs = math.ceil(tree.people / PER_HUB)
        rooms = tree.people / tree.room * (1 - (1 - 1 / hubs) ** tree.room)  # With members at one hub.
        self.followed = 1.0 if tree.by_room else tree.shards * (1 - (1 - 1 / tree.shards) ** rooms)
        self.followers = followers = max(1.0, hubs * self.followed / tree.shards)  # Hubs, of a stream.
        self.reach = 1 - (1 - 1 / followers) ** tree.room  # The share of them with members of a room.
        self.copies = math.ceil(followers / PER_MACHINE) if tree.leaves else followers  # In the core.
        # A hub hears a message in each STEP_S of all its streams. Where few lines are said, a batch waits.
        self.spacing_s = STEP_S * followers * self.followed  # Between two batches of a hub in a stream.
        self.said = said = self.lines_s / hubs / self.followed * self.spacing_s
        self.batches_s = 1 / (self.spacing_s * (1 + math.exp(-said) / said))  # Each hub, in each stream.
        self.heard_s = self.batches_s * followers * self.followed  # By a hub.
        beats_s = BEATS * min(hubs, followers * self.followed)
        check_s = ENTRY_S * self.reach + SKIP_S * (1 - self.reach) if tree.skips else ENTRY_S
        self.entry_s = check_s + tree.room / followers * SEND_S  # CPU of a hub, with the readers there.
        self.message_s = MESSAGE_S + (beats_s * MESSAGE_S + self.lines_s / hubs * LINE_S) / self.heard_s
        self.hub_cpu = self.heard_s * self.message_s + self.lines_s * followers / hubs * self.entry_s
        self.leaf_cpu = tree.leaves * min(PER_MACHINE, followers) * (self.heard_s + beats_s) * COPY_S
        self.core_cpu = followers * (self.batches_s + BEATS / self.followed) * self.copies * COPY_S
        self.stored = self.lines_s / tree.shards * ENTRY_BYTES  # In one stream.
        self.hot_here = min(tree.hot_readers, tree.people) / hubs  # Readers in the hot room.
        idle = max(0.0, 1 - self.hub_cpu - tree.hot_lines * (ENTRY_S + self.hot_here * JOINED_S))
        self.pass_s = self.hot_here * SEND_S / idle if idle else math.inf

    def p50_s(self) -> float:
        """From saying a line to its last reader, on paper; infinite where a core has too much to do."""
        if max(self.hub_cpu, self.leaf_cpu, self.core_cpu) >= 1:
            return math.inf
        alone = math.exp(-self.said) / (self.said + math.exp(-self.said))  # Lines that wait for no batch.
        wait_s = self.spacing_s * max(0.0, 0.5 - alone) / (1 - alone)
        store_s = 1 / STORES[self.tree.replicas] + max(1, self.said) * ENTRY_BYTES / STORES_BYTES
        copies = self.copies + self.tree.leaves * min(PER_MACHINE, self.followers)
        last = 0.5 ** (1 / max(1.0, self.reach * self.followers))  # The median of the latest of so many hubs.
        hub_s = self.hub_cpu / self.heard_s * (1 + self.hub_cpu / (1 - self.hub_cpu) / 2)  # M/D/1
        ways_s = PATH[0] + SYNC[self.tree.replicas][0] + self.tree.leaves * LEAF_S + at(PATH, last)
        return float(wait_s + store_s + copies * COPY_S + ways_s + hub_s + TURN_S * (0.5 + last))


def at(spread: tuple[float, float], share: float) -> float:
    """The quantile of a lognormal time, in seconds, whose p50 and p99 are given."""
    sigma = math.log(spread[1] / spread[0]) / NormalDist().inv_cdf(0.99)
    return spread[0] * math.exp(sigma * NormalDist().inv_cdf(share))


class Wall(NamedTuple):
    """What may not exceed its limit, and what moves it."""

    name: str
    value: Callable[[Load], float]
    limit: float
    moved_by: str


WALLS: Final = (
    Wall("CPU of a hub", lambda of: of.hub_cpu, BUSY, "foreign rooms skipped; shards by room; more hubs"),
    Wall("CPU of a leaf broker", lambda of: of.leaf_cpu, BUSY, "fewer hubs on a machine"),
    Wall("CPU of the core broker", lambda of: of.core_cpu, BUSY, "leaf brokers; shards by room"),
    Wall("core broker out, B/s", lambda of: of.stored * of.copies, NETWORK, "leaf brokers; shards"),
    Wall("stream, B/s", lambda of: of.stored, STORES_BYTES, "shards"),
    Wall("stream, B in a minute", lambda of: of.stored * KEPT_S, KEPT_BYTES, "a larger stream; shards"),
    Wall("batch, entries", lambda of: of.said, MOST_ENTRIES, "several lines in an entry; shards"),
    Wall("between batches, s", lambda of: of.spacing_s, PATIENCE_S, "shards by room; a shorter step"),
)


def border(wall: Wall, tree: Tree, by_lines: bool = False) -> float:
    """How many people, or lines a minute of each, exceed a wall, to a thousandth; infinite: none."""
    low, high = 1e-3, 1e11
    while high > 1.001 * low:
        middle = math.sqrt(low * high)
        grown = replace(tree, lines_each=middle) if by_lines else replace(tree, people=middle)
        low, high = (low, middle) if wall.value(Load(grown)) > wall.limit else (middle, high)
    return 0.0 if high < 1.01e-3 else math.inf if high > 0.99e11 else high


class Queues:
    """The core broker of one stream, its leaf brokers and their hubs, each busy until a moment in seconds.

    With `pass_s` all hubs have readers, and the writer comes to each of them once in that time.
    """

    def __init__(self, of: Load, rng: random.Random, pass_s: float) -> None:
        self.of, self.rng, self.pass_s, self.hubs = of, rng, pass_s, range(round(of.followers))
        self.group = PER_MACHINE if of.tree.leaves else len(self.hubs)
        self.stores = self.copies = 0.0
        self.leaves = [0.0] * math.ceil(len(self.hubs) / self.group)
        self.free = [0.0] * len(self.hubs)
        self.way = [at(PATH, rng.uniform(1e-6, 1 - 1e-6)) for _ in range(4096)]

    def store(self, came: float, entries: int) -> float:
        """When a batch is stored: after those before it."""
        written = 1 / STORES[self.of.tree.replicas] + entries * ENTRY_BYTES / STORES_BYTES
        synced = at(SYNC[self.of.tree.replicas], self.rng.uniform(1e-6, 1 - 1e-6))
        self.stores = max(self.stores + written, came + written + synced)
        return self.stores

    def deliver(self, stored: float, busy_s: float) -> None:
        """Copies to the leaf brokers and from them to all hubs, of which each is busy for `busy_s` then."""
        out, free, pick = max(stored, self.copies), self.free, int(stored * 1e6)
        for machine, leaf in enumerate(self.leaves):
            out += COPY_S * self.of.tree.leaves
            copied = max(out + LEAF_S * self.of.tree.leaves, leaf)
            for hub in self.hubs[machine * self.group : (machine + 1) * self.group]:
                copied += COPY_S
                pick += 1
                free[hub] = max(copied + self.way[pick & 4095], free[hub]) + busy_s
            self.leaves[machine] = copied
        self.copies = out

    def last(self) -> float:
        """When the last reader has what was delivered: at some hubs, or a pass later at all."""
        if self.pass_s:
            return max(self.free) + self.pass_s
        some = self.rng.sample(self.hubs, max(1, round(self.of.reach * len(self.hubs))))
        return max(self.free[hub] + TURN_S * self.rng.random() for hub in some)


def simulate(tree: Tree, seed: int, in_step: bool = False, pass_s: float = 0.0) -> tuple[float, ...]:
    """A single stream, for 2 s or more after a start that all hubs may make `in_step`.

    Returns p50 and p99 from saying to the last reader in seconds, messages a second of a hub, and its cores.
    """
    rng, of = random.Random(seed), Load(tree)
    if math.isinf(of.p50_s() + pass_s):
        return (math.inf,) * 4
    queues, rate = Queues(of, rng, pass_s), of.lines_s / of.hubs / of.followed
    came = [rng.expovariate(rate) for _ in queues.hubs]  # The next line in the outbox of each hub.
    starts = [max(line, 0.0 if in_step else of.spacing_s * rng.random()) for line in came]
    batches = [(start + rng.choice(queues.way), start, hub) for hub, start in enumerate(starts)]
    heapq.heapify(batches)
    from_s, measured_s = 2 * of.spacing_s, max(2.0, 2 * of.spacing_s)
    waits, busy = list[float](), list[float]()
    while batches[0][0] < from_s + measured_s:
        came_s, sent, hub = heapq.heappop(batches)
        lines = list[float]()
        while came[hub] <= sent and len(lines) < MOST_ENTRIES:
            lines.append(came[hub])
            came[hub] += rng.expovariate(rate)
        cost_s = of.message_s + len(lines) * (ENTRY_S if pass_s else of.entry_s)
        stored = queues.store(came_s, len(lines))
        queues.deliver(stored, cost_s)
        last = queues.last() + TURN_S * rng.random()  # A line waits for the end of its turn.
        if came_s >= from_s:
            waits += [last - line for line in lines]
            busy.append(cost_s)
        again = max(sent + of.spacing_s, stored + rng.choice(queues.way), came[hub])
        heapq.heappush(batches, (again + rng.choice(queues.way), again, hub))
    waits.sort()
    each_s = measured_s / of.followed
    return quantile(waits, 0.5), quantile(waits, 0.99), len(busy) / each_s, sum(busy) / each_s


ROWS: Final[Sequence[tuple[str, Callable[[Load], float]]]] = (
    ("people", lambda of: of.tree.people),
    ("hubs", lambda of: of.hubs),
    ("machines, each with a leaf broker", lambda of: math.ceil(of.hubs / PER_MACHINE)),
    ("lines/s said", lambda of: of.lines_s),
    ("ms between two batches of a hub", lambda of: 1000 * of.spacing_s),
    ("lines in a batch", lambda of: max(1, of.said)),
    ("messages/s that a hub hears", lambda of: of.heard_s),
    ("B/s that a hub hears", lambda of: of.stored * of.followed),
    ("CPU of a hub, cores", lambda of: of.hub_cpu),
    ("CPU of a leaf broker", lambda of: of.leaf_cpu),
    ("CPU of the core broker of a stream", lambda of: of.core_cpu),
    ("B/s out of it", lambda of: of.stored * of.copies),
    ("hot room: a pass, ms", lambda of: 1000 * of.pass_s),
    ("hot room: deliveries/s of a hub", lambda of: of.hot_here * of.tree.hot_lines),
    ("hot room: most lines/s by network", lambda of: NETWORK / PER_MACHINE / of.hot_here / LINE_BYTES),
    ("p50 ms, on paper", lambda of: 1000 * of.p50_s()),
)


def shown(name: str, values: Iterable[float]) -> list[str]:
    """A row of figures with three digits that count; a dash for what has no end."""
    return [name, *("-" if math.isinf(value) else magnitude(value) for value in values)]


def report(trees: Mapping[str, Tree], seed: int) -> str:
    """A column for each tree; then how many people meet each wall, and how many lines a second the first."""
    loads = [Load(tree) for tree in trees.values()]
    hot = [(Tree(of.tree.people, of.tree.hot_lines * 60 / of.tree.people), of.pass_s) for of in loads]
    rows = [shown(name, map(value, loads)) for name, value in ROWS]
    for name, ran in (
        ("simulated", [simulate(of.tree, seed) for of in loads]),
        ("all hubs in step", [simulate(of.tree, seed, in_step=True) for of in loads]),
        ("hot room", [simulate(tree, seed, pass_s=pass_s) for tree, pass_s in hot]),
    ):
        rows += [shown(f"p{p} ms, {name}", (1000 * each[p > 50] for each in ran)) for p in (50, 99)]
    walls = [[*shown(wall.name, (border(wall, of.tree) for of in loads)), wall.moved_by] for wall in WALLS]
    most = [min(border(wall, of.tree, True) for wall in WALLS) * of.tree.people / 60 for of in loads]
    first = [min(WALLS, key=lambda wall: border(wall, tree)).name for tree in trees.values()]
    walls += [
        ["the first wall", *first, ""],
        [*shown("lines/s of these people at their first wall", most), ""],
    ]
    return table(["", *trees], rows) + "\n" + table(["people at the wall", *trees, "moved by"], walls)


def plans(asked: Tree, shards: int) -> dict[str, Tree]:
    """A few hubs, and ways to have as many as all people need."""
    few = {f"{hubs} hubs": replace(asked, people=hubs * PER_HUB) for hubs in (3, 36)}
    skips, flat = replace(asked, skips=True), replace(asked, leaves=False)
    anywhere, by_room = (replace(skips, shards=shards, by_room=way) for way in (False, True))
    ways = {"no leaf brokers": flat, "as it is": asked, "foreign rooms skipped": skips}
    return few | ways | {f"{shards} shards": anywhere, f"{shards} shards by room": by_room}


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=str(__doc__).split("\n")[0])
    parser.add_argument("--people", type=float, default=1e7, help="of the last five columns")
    parser.add_argument("--lines-each", type=float, default=1.0, help="a minute")
    parser.add_argument("--room", type=int, default=50, help="people in a room")
    parser.add_argument("--shards", type=int, default=8, help="streams, of the last two columns")
    parser.add_argument("--hot-readers", type=float, default=math.inf, help="in one room besides; all")
    parser.add_argument("--hot-lines", type=float, default=10.0, help="a second in that room")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    if min(vars(given).values()) <= 0:
        parser.error("every number is above 0")
    asked = Tree(given.people, given.lines_each, given.room)
    trees = plans(replace(asked, hot_readers=given.hot_readers, hot_lines=given.hot_lines), given.shards)
    print(f"Seed {given.seed}.\n\n{report(trees, given.seed)}", end="")


if __name__ == "__main__":
    main(sys.argv[1:])
