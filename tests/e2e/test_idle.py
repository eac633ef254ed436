"""When clients are closed: the three idle strategies on real sockets and the real clock, with short timeouts.

Lateness is read twice: in the records of the ends (due, decided), and from outside, from the moment just
before a client's last byte to its farewell. The second can only be longer, so it may prove "never early".
"""

from __future__ import annotations

import random
import select
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from tests.e2e.load import Allowance
from tests.support import PAIRS, PATIENCE_S, HubProcess, Peer, ThreadHub, closing, until

STRATEGIES = ["poll", "sweep", "deadline"]
EACH_STRATEGY = [("--idle-strategy", strategy) for strategy in STRATEGIES]
SWEEP_S = 0.2
OWN_MS = {"poll": 0.0, "sweep": SWEEP_S * 1000, "deadline": 0.0}
LATEST_MS = 25.0
"""And its own: at the 99th percentile, after the moment at which the strategy itself calls a client due."""
TIMEOUT_S = 1.0
"""Long beside the pauses that a loaded machine makes between two lines of one who talks all the time."""
SHORT: Final[dict[str, Any]] = {"idle_timeout_s": TIMEOUT_S, "sweep_interval_s": SWEEP_S}
NOP, ARE_YOU_THERE = b"\xff\xf1", b"\xff\xf6"

each_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
each_exact_strategy = pytest.mark.parametrize("strategy", ["sweep", "deadline"])


@dataclass(eq=False)
class Talker:
    """A client that sends at given moments (seconds on the monotonic clock) and notes when it heard what."""

    peer: Peer
    plan: list[tuple[float, bytes]] = field(default_factory=list)
    sent_s: float = field(default_factory=time.monotonic)
    """Just before its last send of data, or before it connected."""
    sends_s: list[float] = field(default_factory=list)
    """That moment of every send."""
    heard: list[tuple[float, bytes]] = field(default_factory=list)
    ended: bool = False

    def __post_init__(self) -> None:
        host, port = self.peer.sock.getsockname()
        self.name = f"{host}:{port}"
        self.sends_s.append(self.sent_s)

    @property
    def text(self) -> bytes:
        """All that it heard."""
        return b"".join(data for _, data in self.heard)

    def heard_at_s(self, text: bytes) -> float:
        """When the first bytes came that hold this text."""
        return next(at_s for at_s, data in self.heard if text in data)

    def outlived(self, other: Talker) -> bool:
        """Whether its farewell came later than a timeout after the other had begun to be silent."""
        return self.heard_at_s(b"* bye ") > other.sent_s + TIMEOUT_S

    def speak(self, data: bytes) -> None:
        """Send, unless the hub has ended it. Telnet commands are no data."""
        if not self.ended:
            if not data.startswith(b"\xff"):
                self.sent_s = time.monotonic()
                self.sends_s.append(self.sent_s)
            self.peer.send(data)

    def listen(self) -> None:
        """Take what has come; close at the end of stream."""
        data = self.peer.sock.recv(65536)
        self.heard.append((time.monotonic(), data))
        if not data:
            self.ended = True
            self.peer.close()


def join(hub: ThreadHub | HubProcess, *plan: tuple[float, bytes]) -> Talker:
    """A new client with a plan in seconds from now."""
    now_s = time.monotonic()
    return Talker(hub.peer(), [(now_s + in_s, data) for in_s, data in plan], now_s)


def every_tenth(until_s: float, data: bytes) -> list[tuple[float, bytes]]:
    """A plan that says the same ten times a second, between the tenths at which timers end."""
    return [(tenth / 10 + 0.05, data) for tenth in range(int(until_s * 10))]


def start_all(stack: ExitStack, each: Sequence[Sequence[str]], *common: str) -> list[HubProcess]:
    """Echo hubs, one for each of these flags, started at the same time."""
    flags = ("--mode", "echo", "--sweep-interval", f"{SWEEP_S}s", *common)
    with ThreadPoolExecutor() as starters:
        hubs = list(starters.map(lambda mine: HubProcess(*flags, *mine), each))
    return [stack.enter_context(hub) for hub in hubs]


def converse(talkers: Sequence[Talker]) -> None:
    """Let everyone speak when it is time and listen at once, until the hub has ended them all."""
    agenda = [(at_s, talker, data) for talker in talkers for at_s, data in talker.plan]
    agenda.sort(key=lambda entry: entry[0], reverse=True)
    by_fd = {talker.peer.sock.fileno(): talker for talker in talkers}
    ready = select.epoll()
    for fd in by_fd:
        ready.register(fd, select.EPOLLIN)
    patience_ends_s = time.monotonic() + PATIENCE_S
    while by_fd:
        now_s = time.monotonic()
        assert now_s < patience_ends_s, f"{len(by_fd)} clients are still there"
        while agenda and agenda[-1][0] <= now_s:
            _, talker, data = agenda.pop()
            talker.speak(data)
        for fd, _ in ready.poll(max(0.0, agenda[-1][0] - now_s) if agenda else 1.0):
            by_fd[fd].listen()
            if by_fd[fd].ended:
                del by_fd[fd]
    ready.close()


def endings(hub: ThreadHub | HubProcess, count: int) -> list[dict[str, Any]]:
    """The close log, once it has so many entries; of a process at most the newest thousand."""

    def look() -> list[dict[str, Any]]:
        ledger = hub.endings() if isinstance(hub, ThreadHub) else hub.get("/api/closed?limit=1000")["closed"]
        return ledger if len(ledger) >= count else []

    return until(look)


def assert_idle_and_not_early(
    hub: ThreadHub | HubProcess, talkers: Sequence[Talker], timeout_s: float
) -> None:
    """Every one ended for its silence, said so, and had its whole timeout: in the books and outside."""
    farewell = b"* bye reason=idle after=%gs\n" % timeout_s
    ledger = {ending["peer"]: ending for ending in endings(hub, len(talkers))}
    for talker in talkers:
        ending = ledger[talker.name]
        assert ending["reason"] == "idle"
        # A busy machine may let a client speak so late that it has been ended before: that does not count.
        sent_s = max(at_s for at_s in talker.sends_s if at_s <= ending["decided_s"])
        assert ending["decided_s"] >= ending["due_s"] >= sent_s + timeout_s
        assert talker.text.endswith(farewell)
        assert talker.heard_at_s(farewell) >= sent_s + timeout_s
        assert abs(ending["decided_s"] - ending["due_s"] - ending["lateness_ms"] / 1000) < 1e-6


def some_talk(chance: random.Random) -> list[tuple[float, bytes]]:
    """One to five lines within one second, the last of them anywhere in it."""
    quiet_s = chance.random()
    return [(chance.uniform(0, quiet_s), b"hello\n") for _ in range(chance.randrange(1, 6))]


def late_at_99_percent_ms(strategy: str, chance: random.Random) -> tuple[float, float]:
    """Of 200 clients in each of three hubs at once, of which none may go early; the worst of the hubs.

    And by how much it was more than it may be, where the machine stretched the time of a hub.
    """
    hubs_ms: list[tuple[float, float]] = []
    with ExitStack() as stack:
        pairs = [("--trigger", trigger, "--read", read) for trigger, read in PAIRS]
        hubs = start_all(stack, pairs, "--idle-timeout", "1s", "--idle-strategy", strategy)
        crowds = [[join(hub, *some_talk(chance)) for _ in range(200)] for hub in hubs]
        allowances = [Allowance(hub) for hub in hubs]
        converse([talker for crowd in crowds for talker in crowd])
        latest_ms = [OWN_MS[strategy] + LATEST_MS * allowed.stretch for allowed in allowances]
        for pair, hub, crowd, allowed_ms in zip(PAIRS, hubs, crowds, latest_ms, strict=True):
            assert_idle_and_not_early(hub, crowd, 1.0)
            late_ms = sorted(ending["lateness_ms"] for ending in endings(hub, 200))
            print(
                f"{strategy}, {pair}: {late_ms[197]} ms at 99 % of {allowed_ms:.0f}, {late_ms[199]} at most"
            )
            hubs_ms.append((late_ms[197], late_ms[197] - allowed_ms))
    return max(late for late, _ in hubs_ms), max(excess for _, excess in hubs_ms)


@pytest.mark.promise("idle-exact")
@each_strategy
def test_of_200_silent_clients_none_is_closed_early_or_too_late(
    strategy: str, record_property: Callable[[str, object], None]
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    # A machine with other work adds to the lateness, now and then; what the strategy adds is in every round.
    for _ in range(3):
        late_ms, excess_ms = late_at_99_percent_ms(strategy, chance)
        if excess_ms <= 0:
            break
    record_property(f"late at the 99th percentile, {strategy}", f"{late_ms:.1f} ms")
    assert excess_ms <= 0


@pytest.mark.promise("idle-tx")
@each_strategy
def test_only_poll_lets_one_busy_client_keep_an_idle_one_alive(strategy: str) -> None:
    with ThreadHub(mode="echo", idle_strategy=strategy, **SHORT) as hub:
        idle, busy = join(hub), join(hub, *every_tenth(2.0, b"busy\n"))
        converse([busy, idle])
        assert_idle_and_not_early(hub, [busy, idle], TIMEOUT_S)
        assert idle.outlived(busy) == (strategy == "poll")
        if strategy == "poll":  # The same due for all: a whole timeout in which nothing came from anybody.
            assert len({ending["due_s"] for ending in hub.endings()}) == 1


@pytest.mark.promise("idle-tx")
@each_exact_strategy
def test_hearing_others_keeps_a_client_only_where_tx_counts(strategy: str) -> None:
    hubs = [ThreadHub(idle_strategy=strategy, idle_counts=counts, **SHORT) for counts in ("rx+tx", "rx")]
    with hubs[0], hubs[1]:
        pairs = [(join(hub), join(hub, *every_tenth(2.0, b"news\n"))) for hub in hubs]
        converse([talker for pair in pairs for talker in pair])
        for hub, pair in zip(hubs, pairs, strict=True):
            assert_idle_and_not_early(hub, pair, TIMEOUT_S)
        assert [listener.outlived(speaker) for listener, speaker in pairs] == [True, False]


def test_a_line_that_comes_with_the_deadline_makes_nobody_slow() -> None:
    hub = ThreadHub(idle_timeout_s=0.05, idle_counts="rx", drain_s=0.1)
    with hub.peer(), hub.peer() as speaker:
        clients = hub.loop.hub.connections.clients
        while len(clients) < 2:
            hub.loop.turn()
        due_s = time.monotonic() + hub.settings.idle_timeout_s
        speaker.send(b"news\n")
        until(lambda: any(hub.loop.hub.sockets.has_input(client.sock) for client in clients.values()))
        until(lambda: time.monotonic() > due_s)
        with hub:
            until(lambda: len(clients) < 2)
            assert dict(hub.loop.hub.counters.closed) == {"idle": 1}


@pytest.mark.promise("idle-activity")
@pytest.mark.parametrize("counts", ["rx+tx", "rx"])
@each_exact_strategy
def test_commands_of_the_telnet_layer_are_no_activity(strategy: str, counts: str) -> None:
    with ThreadHub(mode="echo", idle_strategy=strategy, idle_counts=counts, **SHORT) as hub:
        telnets = [join(hub, *every_tenth(3.0, command)) for command in (NOP, ARE_YOU_THERE)]
        converse(telnets)
        for telnet in telnets:
            # The commands go on for three seconds: had they counted, it would have stayed so long.
            assert TIMEOUT_S <= telnet.heard_at_s(b"* bye reason=idle") - telnet.sent_s < 3.0
        assert [telnet.text.count(b"* yes") >= 2 for telnet in telnets] == [False, True]


@pytest.mark.promise("idle-activity")
@each_exact_strategy
def test_the_hubs_own_notices_are_no_activity(strategy: str) -> None:
    with ThreadHub(mode="chat", idle_strategy=strategy, **SHORT) as hub:
        renames = [(at_s, b"/nick n%d\n" % (at_s * 100)) for at_s, _ in every_tenth(2.0, b"")]
        idle, restless = join(hub), join(hub, *renames)
        converse([idle, restless])
        assert idle.text.count(b" is now ") >= 2
        assert_idle_and_not_early(hub, [idle, restless], TIMEOUT_S)
        assert not idle.outlived(restless)


@pytest.mark.promise("idle-activity")
@each_exact_strategy
def test_the_warning_comes_in_time_and_puts_nothing_off(strategy: str) -> None:
    changes: dict[str, Any] = {"idle_timeout_s": 2.0, "idle_warning_s": 1.6, "idle_counts": "rx"}
    with ThreadHub(mode="chat", idle_strategy=strategy, sweep_interval_s=0.1, **changes) as hub:
        silent, moved = join(hub), join(hub, (1.2, b"still here\n"))
        converse([silent, moved])
        assert_idle_and_not_early(hub, [silent, moved], 2.0)
        warning = b"* idle: say something within 1.6 s, or be gone\n"
        [first_s] = [at_s for at_s, data in silent.heard if warning in data]
        assert 0.4 <= first_s - silent.sent_s < 1.2
        [first_s, second_s] = [at_s for at_s, data in moved.heard if warning in data]
        assert first_s < moved.sent_s
        assert 0.4 <= second_s - moved.sent_s < 1.2


@pytest.mark.promise("idle-unread")
@each_strategy
def test_who_is_owed_lines_at_its_deadline_is_a_slow_consumer(strategy: str) -> None:
    talk = (b"x" * 999 + b"\n") * 400
    with ThreadHub(idle_strategy=strategy, **SHORT) as hub, hub.peer(receive_buffer=4096) as stuck:
        until(lambda: hub.loop.hub.connections.clients)
        speaker = join(hub, (0.0, talk))
        converse([speaker])
        assert_idle_and_not_early(hub, [speaker], TIMEOUT_S)
        until(lambda: hub.loop.hub.counters.closed["slow_consumer"])
        lines, _, _ = stuck.rest().partition(b"* bye reason=slow_consumer")
        stuck.close()
        ending = hub.ending(2)
        assert (ending["reason"], ending["detail"][:4]) == ("slow_consumer", "lag=")
        assert ending["decided_s"] >= ending["due_s"]
        assert talk.startswith(lines) and 0 < ending["unsent_bytes"] == len(talk) - len(lines)


STOPPED_S = 4.0
"""The timeout of those who are stopped: long beside what it takes a slow machine to let a crowd in."""


def stopped_crowd(hub: HubProcess, count: int) -> list[Peer]:
    """Clients that are known to be in: each has had one line echoed. And then their hub is stopped."""
    peers = []
    for _ in range(count):
        peers.append(hub.peer())
        peers[-1].send(b"hello\n")
    for peer in peers:
        assert peer.line() == b"hello\n"
    hub.stand_still()
    return peers


@pytest.mark.promise("pause-active")
def test_a_client_that_sent_to_a_stopped_process_loses_no_line() -> None:
    """More clients than one epoll_wait reports, so some input is still unseen when the first are judged."""
    with ExitStack() as stack:
        hubs = start_all(stack, EACH_STRATEGY, "--idle-timeout", f"{STOPPED_S:g}s", "--no-web")
        crowds = [stack.enter_context(closing(stopped_crowd(hub, 1100))) for hub in hubs]
        for number in range(6):
            for peers in crowds:
                for peer in peers:
                    peer.send(b"line %d\n" % number)
            time.sleep(0.2 * STOPPED_S)  # The pace of the clients: six of these are past the timeout.
        expected = b"".join(b"line %d\n" % number for number in range(6))
        for hub, peers in zip(hubs, crowds, strict=True):
            hub.go_on()
            for peer in peers:
                assert peer.read(len(expected)) == expected
                peer.send(b"still here\n")
            for peer in peers:
                assert peer.line() == b"still here\n"


@pytest.mark.promise("pause-silent")
def test_clients_silent_during_a_stop_are_closed_in_slices() -> None:
    with ExitStack() as stack:
        hubs = start_all(stack, EACH_STRATEGY, "--idle-timeout", f"{STOPPED_S:g}s")
        crowds = [stack.enter_context(closing(stopped_crowd(hub, 1000))) for hub in hubs]
        time.sleep(1.1 * STOPPED_S)  # Silence, past everybody's timeout.
        for hub, peers in zip(hubs, crowds, strict=True):
            hub.go_on()
            assert {peer.rest() for peer in peers} == {b"* bye reason=idle after=%gs\n" % STOPPED_S}
            for peer in peers:
                peer.close()
            ledger = endings(hub, 1000)
            assert {ending["reason"] for ending in ledger} == {"idle"}
            slices = [ending["decided_s"] for ending in ledger]
            assert max(slices.count(decided_s) for decided_s in set(slices)) <= 256
            assert min(ending["lateness_ms"] for ending in ledger) >= 0
