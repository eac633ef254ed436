"""Moments that seldom come in life and always come here: in the middle of a turn, between two calls, others
die, arrive and take over numbers. Each is arranged many thousand times; FUZZ_SEED=N makes those of a long run
again (tests/conftest.py).
"""

import math
from random import Random
from typing import Any

import pytest

from tests.sim.stage import Actor, Stage, each_pair, quick_and_long
from tests.sim.tcp import tcp_at


class Meanwhile:
    """Does things in the middle of turns: each just before the n-th system call of the hub from now on."""

    def __init__(self, stage: Stage) -> None:
        self._due: list[tuple[int, Any]] = []
        self._kernel = stage.kernel
        stage.kernel.on_call = self._look

    def after(self, calls: int, do: Any) -> None:
        self._due.append((self._kernel.calls + calls, do))

    def _look(self) -> None:
        due = [do for calls, do in self._due if calls <= self._kernel.calls]
        self._due = [entry for entry in self._due if entry[0] > self._kernel.calls]
        for do in due:
            do()


# Somebody ends while everybody is sent something.


def ways_to_end(actor: Actor) -> list[Any]:
    """At once for the hub's next call: EPIPE, ECONNRESET, an end of stream, a command, a line too long."""

    def half_then_reset() -> None:
        actor.half_close()
        actor.reset()

    said = actor.send
    return [
        actor.reset,
        half_then_reset,
        actor.close,
        actor.half_close,
        lambda: said(b"/quit\n"),
        lambda: said(b"y" * 700),
    ]


def broadcast_round(stage: Stage, meanwhile: Meanwhile, rng: Random, number: int) -> None:
    """A line by a client that may die saying it; up to three others die, in the batch or amid it."""
    crowd = [actor for actor in stage.actors if not stage.settled(actor)]
    dying = rng.sample(crowd, rng.randint(1, 3))
    talker = rng.choice(crowd)
    line = b"line %d\n" % number
    talker.send(line)
    for actor in dying:
        end = rng.choice(ways_to_end(actor))
        if rng.random() < 0.3 and actor is not talker:
            end()
        else:
            meanwhile.after(rng.randint(1, 14), end)
    stage.arrive(len(dying), host=number % 250)
    stage.rest()
    stage.pass_time(0.1)
    for actor in stage.actors:
        if actor not in dying and actor in crowd:
            assert actor.got.count(line) == 1, (number, actor.name)
    for actor in [actor for actor in stage.actors if stage.end_of(actor) or actor in dying]:
        actor.half_close()
        stage.actors.remove(actor)
    stage.pass_time(2.1)
    stage.arrive(8 - len(stage.actors), host=number % 250)
    stage.rest()
    stage.log.clear()


@pytest.mark.promise("order-amid-broadcast")
@quick_and_long(30, 1700)  # 10,200 in all.
@pytest.mark.parametrize(("mode", "strategy"), [("broadcast", "sweep"), ("chat", "deadline")])
@each_pair
def test_broadcast_amid_deaths_reaches_all_others(
    seed: int, rounds: int, mode: str, strategy: str, trigger: str, read: str
) -> None:
    print(f"seed {seed}")
    rng = Random(seed)
    stage = Stage(
        mode=mode, trigger=trigger, read=read, max_line_bytes=600, announce=0, idle_strategy=strategy,
        idle_timeout_s=300.0, sweep_interval_s=0.05,
    )  # fmt: skip
    stage.join(8)
    meanwhile = Meanwhile(stage)
    for number in range(rounds):
        broadcast_round(stage, meanwhile, rng, number)
    stage.stop()
    assert stage.balances()
    assert not stage.hub.connections.by_fd


# A number that is free is taken at once.


class Echoes:
    """Clients of an echo hub, each of which must get back exactly what it said, whosever number it has."""

    def __init__(self, seed: int, trigger: str, read: str) -> None:
        self.rng = Random(seed)
        self.stage = Stage(mode="echo", trigger=trigger, read=read)
        self.meanwhile = Meanwhile(self.stage)
        self.said: dict[Actor, bytes] = {}
        self.finished: set[str] = set()
        self.numbers: list[int] = []

    def say(self, actor: Actor) -> None:
        line = f"{actor.name} {len(self.said[actor])}\n".encode()
        if not (actor.is_over or actor.remote.fin_sent):
            self.said[actor] += line
            actor.send(line)

    def come(self, count: int) -> None:
        for actor in self.stage.arrive(count, host=self.rng.randrange(250)):
            self.said[actor] = b""
            self.say(actor)

    def go(self, actor: Actor) -> None:
        self.finished.add(actor.name)
        self.rng.choice([actor.reset, actor.close, actor.half_close])()
        self.come(1)

    def round(self) -> None:
        """A batch of 2 to 64 events; some of them end, some of these in the middle of the turn."""
        rng, there = self.rng, list(self.said)
        batch = rng.sample(there, min(len(there), rng.randint(2, 64)))
        for actor in batch:
            self.say(actor)
        for actor in rng.sample(batch, rng.randint(1, max(1, len(batch) // 3))):
            if rng.random() < 0.5:
                self.go(actor)
            else:
                self.meanwhile.after(rng.randint(1, 2 * len(batch)), lambda actor=actor: self.go(actor))
        self.stage.turns(2)
        self.look()

    def look(self) -> None:
        """Nobody got a byte of another's, and nobody ended that did not go."""
        for end in self.stage.ends:
            assert end["peer"] in self.finished, end
        self.stage.log.clear()
        for actor, said in list(self.said.items()):
            assert said.startswith(actor.got), actor.name
            if actor.name in self.finished:
                del self.said[actor]
        self.numbers += [client.fd for client in self.stage.hub.connections.by_fd.values()][-1:]
        for client in self.stage.hub.connections.by_fd.values():
            assert client.phase != "closed"
            assert tcp_at(self.stage.kernel, client.fd).address == (client.host, client.port)

    def end(self) -> None:
        self.stage.rest()
        self.look()
        for actor, said in self.said.items():
            assert actor.got == said
        assert self.stage.balances()


@pytest.mark.promise("order-reused-descriptor")
@quick_and_long(40, 1700)  # 5,100 in all.
@each_pair
def test_descriptor_reused_in_a_batch_brings_nothing_old(
    seed: int, rounds: int, trigger: str, read: str
) -> None:
    print(f"seed {seed}")
    echoes = Echoes(seed, trigger, read)
    echoes.come(64)
    echoes.stage.rest()
    for _ in range(rounds):
        echoes.round()
        if len(echoes.said) > 90:
            for actor in list(echoes.said)[:20]:
                echoes.finished.add(actor.name)
                actor.reset()
    echoes.end()
    assert max(echoes.numbers) < 400  # Numbers were used again and again.


# A line at the last moment.


@pytest.mark.promise("idle-unread")
@pytest.mark.parametrize("rounds", [3, pytest.param(80, marks=pytest.mark.long)])
@pytest.mark.parametrize("strategy", ["deadline", "sweep"])
@pytest.mark.parametrize("moment", ["at the end of the wait", "after the events were told"])
def test_a_byte_in_the_very_turn_of_its_end_saves_a_client(rounds: int, strategy: str, moment: str) -> None:
    """125 clients whose time is over in one turn, in each round: what came before the decision counts."""
    stage = Stage(mode="echo", idle_timeout_s=60.0, idle_strategy=strategy, sweep_interval_s=0.5)
    actors = stage.join(125)
    due, saved = math.inf, list[Actor]()

    def say_something() -> None:
        while saved and stage.kernel.now >= due:
            saved.pop().send(b"still here\n")

    if moment == "at the end of the wait":
        stage.before_events = say_something
    else:
        stage.kernel.on_call = say_something
    for _ in range(rounds):
        due = min(client.active_at for client in stage.hub.connections.clients.values()) + 60.0
        stage.pass_time(59.0)
        saved += actors
        while saved:
            stage.pass_time(0.01)
        stage.pass_time(0.6)
        assert not stage.hub.counters.closed
    assert all(actor.got == b"still here\n" * rounds for actor in actors)
    stage.pass_time(61.0)
    assert stage.hub.counters.closed == {"idle": 125}
