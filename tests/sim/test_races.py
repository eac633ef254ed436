"""Moments that seldom come in life and always come here: in the middle of a turn, between two calls, others
die, arrive and take over numbers. Each is arranged many thousand times; FUZZ_SEED=N makes those of a long run
again (tests/conftest.py).
"""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from hub.control.mailbox import WantClient, WantRows
from hub.control.snapshots import ClientRow
from hub.session.client import Phase
from tests.conftest import SEED
from tests.fuzz.examples import QUICK_SEED
from tests.sim.stage import MUCH, PAIRS, Actor, Stage

each_pair = pytest.mark.parametrize(("trigger", "read"), PAIRS)


class Meanwhile:
    """Does things in the middle of turns: each just before the n-th system call of the hub from now on."""

    def __init__(self, stage: Stage) -> None:
        self._due: list[tuple[int, Any]] = []
        self._kernel = stage.kernel
        stage.kernel.on_call = self._look

    def after(self, calls: int, do: Any) -> None:
        """Let it happen before that call."""
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


def broadcast_rounds(seed: int, rounds: int, mode: str, strategy: str, trigger: str, read: str) -> None:
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


@pytest.mark.promise("order-amid-broadcast")
@pytest.mark.parametrize(("mode", "strategy"), [("broadcast", "sweep"), ("chat", "deadline")])
@each_pair
def test_broadcast_amid_deaths_reaches_all_others(mode: str, strategy: str, trigger: str, read: str) -> None:
    broadcast_rounds(QUICK_SEED, 30, mode, strategy, trigger, read)


@pytest.mark.promise("order-amid-broadcast")
@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("mode", "strategy"), [("broadcast", "sweep"), ("chat", "deadline")])
@each_pair
def test_ten_thousand_broadcasts_amid_deaths_reach_all_others(
    mode: str, strategy: str, trigger: str, read: str
) -> None:
    broadcast_rounds(SEED, 1700, mode, strategy, trigger, read)


@pytest.mark.promise("order-amid-broadcast")
@pytest.mark.parametrize("strategy", ["deadline", "sweep", "poll"])
def test_mass_expiry_while_others_leave_and_come_goes_on(strategy: str) -> None:
    """The table is walked in slices: between two, people on it end by themselves, and new ones enter."""
    stage = Stage(idle_timeout_s=60.0, idle_strategy=strategy, sweep_interval_s=1.0, idle_counts="rx")
    idle = stage.join(600)
    stage.kernel.now += 61.0
    meanwhile = Meanwhile(stage)
    for number, actor in enumerate(idle[::5]):
        meanwhile.after(5 * number, actor.reset)
    late = stage.arrive(40)
    stage.rest()
    assert {end["reason"] for end in stage.ends} <= {"idle", "peer_reset", "peer_closed"}
    assert not any(stage.settled(actor) for actor in late)
    if strategy != "poll":  # Events of others keep all alive there.
        assert all(stage.settled(actor) for actor in idle)
    assert stage.balances()


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
        """End this client in one of the ways, and have another one waiting for its number."""
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
            assert client.phase is not Phase.CLOSED
            assert client.sock.fileno() == client.fd

    def end(self) -> None:
        self.stage.rest()
        self.look()
        for actor, said in self.said.items():
            assert actor.got == said
        assert self.stage.balances()


def reuse_rounds(seed: int, rounds: int, trigger: str, read: str) -> None:
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


@pytest.mark.promise("order-reused-descriptor")
@each_pair
def test_descriptor_reused_in_a_batch_brings_nothing_old(trigger: str, read: str) -> None:
    reuse_rounds(QUICK_SEED, 40, trigger, read)


@pytest.mark.promise("order-reused-descriptor")
@pytest.mark.long
@pytest.mark.timeout(600)
@each_pair
def test_descriptors_reused_in_5000_batches_bring_nothing_old(trigger: str, read: str) -> None:
    reuse_rounds(SEED, 1700, trigger, read)  # 5,100 in all.


@pytest.mark.promise("order-reused-descriptor")
def test_question_by_id_never_meets_another_client() -> None:
    """Hundreds of times somebody goes and another comes at once, by the same descriptor, and is asked for."""
    stage = Stage(mode="echo")
    [actor] = stage.join()
    peers: dict[int, str] = {}
    descriptors = set()
    for _ in range(300):
        client = stage.client(actor)
        descriptors.add(client.fd)
        assert peers.setdefault(client.id, actor.name) == actor.name
        answers: list[ClientRow | None] = []
        tables: list[ClientRow] = []
        stage.mailbox.post(WantClient(client.id, answers.append))
        stage.mailbox.post(WantRows(tables.extend))
        actor.reset()
        stage.rest()
        [actor] = stage.join()
        stage.mailbox.post(WantClient(client.id, answers.append))
        stage.mailbox.post(WantRows(tables.extend))
        stage.rest()
        assert answers[-1] is None
        for row in [*answers[:-1], *tables]:
            assert row is None or peers.setdefault(row.id, row.peer) == row.peer
    assert len(descriptors) <= 2
    assert len(peers) == len(set(peers.values())) == 301


# A line at the last moment.


each_moment = pytest.mark.parametrize("moment", ["at the end of the wait", "after the events were told"])


@pytest.mark.promise("idle-unread")
@pytest.mark.parametrize("strategy", ["deadline", "sweep"])
@each_moment
def test_a_byte_in_the_very_turn_of_its_end_saves_a_client(strategy: str, moment: str) -> None:
    """What came before the decision counts, whether epoll told of it or not."""
    saved_at_the_last_moment(strategy, moment, rounds=6)


@pytest.mark.promise("idle-unread")
@pytest.mark.long
@pytest.mark.parametrize("strategy", ["deadline", "sweep"])
@each_moment
def test_byte_in_the_turn_of_its_close_saves_10000_clients(strategy: str, moment: str) -> None:
    saved_at_the_last_moment(strategy, moment, rounds=80)


def saved_at_the_last_moment(strategy: str, moment: str, rounds: int) -> None:
    """125 clients whose time is over in one turn, in each round."""
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


@pytest.mark.promise("lines-trickle")
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_line_sent_byte_by_byte_costs_one_read_a_byte(trigger: str) -> None:
    """A read for each, of one byte, however long the line has become."""
    stage = Stage(mode="echo", trigger=trigger, max_line_bytes=1 << 16)
    [actor] = stage.join(into=MUCH)
    for number in range(1024):
        actor.send(b"x" if number < 1023 else b"\n")
        turns = stage.rest()
        assert [(turn.count("recv"), turn.bytes("recv")) for turn in turns if turn.calls] == [(1, 1)]
    assert actor.got == b"x" * 1023 + b"\n"
