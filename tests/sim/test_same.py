"""How a hub waits, reads and looks for the idle shows in nothing that a client sees.

Two hundred steps of a script, made from a seed, are done on the simulated network under each trigger with
each idle strategy: every client gets the same bytes, the same ones are evicted, and when that happens is
within what the strategy promises. Each step comes to rest before the next, so that what a turn gathers is the
same.
Nobody is silent for long but when all are, because `poll` knows of nobody in particular.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any, NamedTuple

import pytest

from tests.sim.nets import LINE, VIEWER, WEBSOCKET, WIDE, SimNet
from tests.support import PAIRS
from tests.unit.protocol.support import text

IDLE_S, SWEEP_S = 6.0, 2.0
SILENCE_S = IDLE_S + SWEEP_S + 5.0
"""A sender may have had to wait for others before it was heard the last time."""
SLACK_S = 0.1
"""In chat the idle time of a silent client starts when it opens, 50 ms after it came."""
STRATEGIES = {"deadline": SLACK_S, "sweep": SWEEP_S + SLACK_S, "poll": SLACK_S}
"""The idle strategies, and how late each may be."""
STEPS, BLOCK = 200, 50
"""Each block takes less time than somebody may be silent, and ends with a silence that all are evicted in."""
NARROW = (300, 65536, 50)
COMMANDS = [
    "/who",
    "/rooms",
    "/join attic",
    "/leave",
    "/nick ann",
    "/nick bob",
    "/me nods",
    "/history 5",
    "/help",
]
Deed = tuple[str, int, Any]


class Seen(NamedTuple):
    """What one run showed."""

    streams: list[bytes]
    """What each client's kernel was given."""
    ends: dict[int, str]
    quiet_s: list[float]
    """Of everybody who was idle, at the decision: how long nothing stirred (poll), or it said nothing."""


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


def play(seed: int, stuck: bool, trigger: str, read: str, strategy: str, mode: str) -> Seen:
    """Run the script once."""
    net = SimNet(
        trigger, read, mode, idle_strategy=strategy, idle_timeout_s=IDLE_S, sweep_interval_s=SWEEP_S,
        idle_counts="rx", idle_warning_s=0.0, announce=0, history=3, max_lag_bytes=6000, max_line_bytes=600,
        drain_s=10.0,
    )  # fmt: skip
    kinds: list[int] = []
    stirs = watch_events(net)
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
    quiet = list(quiet_times(net, stirs, alone=strategy != "poll"))
    net.drain()
    return Seen([bytes(peer.tcp.taken) for peer in net.world.peers], net.ends(), quiet)


def watch_events(net: SimNet) -> list[float]:
    """When epoll told the hub of a client or a listener: nothing else stirs `poll`."""
    world, times = net.world, list[float]()
    poll = world.kernel.epoll.poll

    def watched(*args: Any) -> list[tuple[int, int]]:
        events = poll(*args)
        if any(fd not in world.mailbox.bells for fd, _ in events):
            times.append(net.now)
        return events

    world.kernel.epoll.poll = watched  # type: ignore[method-assign]
    return times


def do(net: SimNet, key: int, kinds: list[int], what: str, how: Any) -> None:
    """A deed of somebody who is there."""
    if what in ("half", "reset"):
        net.half_close(key) if what == "half" else net.reset(key)
        return
    words = how if what == "part" else "".join(f"{line}\n" for line in ([how] if what == "command" else how))
    net.write(key, text(words.removesuffix("\n")) if kinds[key] == WEBSOCKET else words.encode())


def quiet_times(net: SimNet, stirs: list[float], *, alone: bool) -> Iterator[float]:
    """Of each who ended idle, in order: since when the hub had read nothing of it, or nothing had stirred."""
    peers = {peer.name: peer for peer in net.world.peers}
    for event, end in net.world.log:
        if event == "closed" and end["reason"] == "idle":
            decided: Any = end["decided_s"]
            since = max(at for at in stirs if at <= decided)
            yield decided - (peers[str(end["peer"])].tcp.heard_at if alone else since)


@pytest.mark.promise("order-strategies")
@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_trigger_read_and_strategy_change_nothing_seen(mode: str) -> None:
    check(18, mode, stuck=True)


@pytest.mark.promise("order-strategies")
@pytest.mark.long
@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_trigger_read_and_strategy_change_nothing_in_30_scripts(mode: str) -> None:
    """Without anybody stuck: of senders who wait for one, the first heard is the one that was read first."""
    for seed in range(30):
        check(seed, mode, stuck=False)


def check(seed: int, mode: str, *, stuck: bool) -> None:
    runs = {how: play(seed, stuck, *how[0], how[1], mode) for how in product(PAIRS, STRATEGIES)}
    first = runs[PAIRS[0], "deadline"]
    assert len(first.streams) > 15 and any(first.streams)
    assert {"idle", "peer_reset", "peer_closed"} <= set(first.ends.values()), (seed, first.ends)
    for (pair, strategy), seen in runs.items():
        assert seen.streams == first.streams, (seed, pair, strategy)
        assert seen.ends == first.ends, (seed, pair, strategy)
        late_s = [quiet - IDLE_S for quiet in seen.quiet_s]
        assert all(0 <= late <= STRATEGIES[strategy] for late in late_s), (seed, pair, strategy, late_s)
