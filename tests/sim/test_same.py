"""How a hub waits, reads and looks for the idle shows in nothing that a client sees.

Two hundred steps of a script, made from a seed, are done on the simulated network under each trigger with
each idle strategy: every client gets the same bytes, and the same ones are evicted. Each step comes to rest
before the next, so that what a turn gathers is the same. Nobody is silent for long but when all are, because
`poll` knows of nobody in particular.
"""

from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any, get_args

import pytest

from hub.config.settings import IdleStrategy
from tests.sim.nets import LINE, VIEWER, WEBSOCKET, WIDE, SimNet
from tests.support import PAIRS
from tests.unit.protocol.support import text

IDLE_S, SWEEP_S = 6.0, 2.0
SILENCE_S = IDLE_S + SWEEP_S + 5.0
"""A sender may have had to wait for others before it was heard the last time."""
STRATEGIES = get_args(IdleStrategy)
STEPS, BLOCK = 200, 50
"""Each block takes less time than somebody may be silent, and ends with a silence that all are evicted in."""
NARROW = (300, 65536, 50)
COMMANDS = [
    "/who", "/rooms", "/join attic", "/leave", "/nick ann", "/nick bob", "/me nods", "/history 5", "/help",
]  # fmt: skip
Deed = tuple[str, int, Any]


def script(seed: int, stuck: bool) -> Iterator[Deed]:
    """What is done, by whom, and how; perhaps one of each block takes nothing."""
    rng = Random(seed)
    for step in range(STEPS):
        who, place = rng.randrange(1000), step % BLOCK
        if place < 5 or rng.random() < 0.05:
            yield "connect", int(stuck and place == 3), rng.choice([LINE, LINE, WEBSOCKET, VIEWER])
        elif place == BLOCK - 2:  # A client that takes nothing holds others up until the idle clock ends it.
            yield "read on", who, None
        elif place == BLOCK - 1:
            yield "silence", who, SILENCE_S
        elif rng.random() < 0.7:
            lines = [f"{step}.{number} " + "x" * rng.randrange(300) for number in range(rng.randint(1, 5))]
            yield "say", who, lines
        else:
            yield rng.choice(
                [("command", who, rng.choice(COMMANDS)), ("part", who, "some "), ("half", who, ""),
                 ("reset", who, ""), ("command", who, "/quit"), ("part", who, "x" * 700),
                 ("silence", who, 0.2)]
            )  # fmt: skip


def play(
    seed: int, stuck: bool, trigger: str, read: str, strategy: str, mode: str
) -> tuple[list[bytes], dict[int, str]]:
    """What each client's kernel was given, and how it ended."""
    net = SimNet(
        trigger, read, mode, idle_strategy=strategy, idle_timeout_s=IDLE_S, sweep_interval_s=SWEEP_S,
        idle_counts="rx", idle_warning_s=0.0, announce=0, history=3, max_lag_bytes=6000, max_line_bytes=600,
        drain_s=10.0,
    )  # fmt: skip
    kinds: list[int] = []
    for what, who, how in script(seed, stuck):
        able = [key for key in range(len(kinds)) if key not in net.ends() and net.peer(key).greedy]
        if what == "connect":
            kinds.append(how)
            net.peer(net.connect(how, NARROW if who else WIDE)).greedy = not who
        elif what == "read on":
            for peer in net.world.peers:
                peer.greedy = True
                peer.push()
        elif what == "silence":
            net.run(how)
        elif able:
            do(net, able[who % len(able)], kinds, what, how)
        net.run(0.06)
    net.world.end()
    return [bytes(peer.tcp.taken) for peer in net.world.peers], net.ends()


def do(net: SimNet, key: int, kinds: list[int], what: str, how: Any) -> None:
    if what in ("half", "reset"):
        net.peer(key).half_close() if what == "half" else net.peer(key).reset()
        return
    words = how if what == "part" else "".join(f"{line}\n" for line in ([how] if what == "command" else how))
    net.write(key, text(words.removesuffix("\n")) if kinds[key] == WEBSOCKET else words.encode())


@pytest.mark.promise("order-strategies")
@pytest.mark.parametrize("mode", ["chat", "broadcast"])
@pytest.mark.parametrize(
    ("seed", "stuck"),
    [(18, True), *(pytest.param(seed, False, marks=pytest.mark.long) for seed in range(30))],
)
def test_trigger_read_and_strategy_change_nothing_seen(seed: int, stuck: bool, mode: str) -> None:
    """Most have nobody stuck: of senders who wait for one, the first heard is the one that was read first."""
    runs = {how: play(seed, stuck, *how[0], how[1], mode) for how in product(PAIRS, STRATEGIES)}
    streams, ends = first = runs[PAIRS[0], "deadline"]
    assert len(streams) > 15 and any(streams)
    assert "idle" in ends.values() and len(set(ends.values())) > 2, ends
    for how, seen in runs.items():
        assert seen == first, how
