"""The workloads in the process of the test, against a hub on a thread and servers that misbehave.

Times and rates are nobody's business here: what is counted has to be right.
"""

import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from bench.load import fanout, idle, stalled, storm
from bench.load.echo import run_echo
from bench.load.fanout import run_fanout
from bench.load.idle import run_idle
from bench.load.mixed import run_mixed
from bench.load.options import (
    EchoOptions,
    FanoutOptions,
    IdleOptions,
    MixedOptions,
    StalledOptions,
    StormOptions,
)
from bench.load.result import LoadError, Result
from bench.load.stalled import count_closed, run_stalled
from bench.load.storm import run_storm
from tests.support import ThreadHub, until

READERS, WRITERS = 7, 3
BRIEF: dict[str, Any] = {"seconds": 0.3, "warmup_s": 0.1}
TRIES = 10
Serve = Callable[[socket.socket, bytes], bytes | None]


def measured(run: Callable[[], Result]) -> Result:
    """The first run that measured anything: on a busy machine a server may get no time for a while."""
    return next(result for _ in range(TRIES) if (result := run()).lines)


class Server:
    """A server on a thread: `serve` says what to answer; None closes the connection.

    The answer goes back, or in a relay to all others. After so many answers the first peer is closed.
    """

    def __init__(self, serve: Serve, *, relay: bool = False, closes_after: int = 0) -> None:
        self._serve = serve
        self._relay = relay
        self._left = closes_after
        self._peers: dict[int, socket.socket] = {}
        self._stopper, self._stop = socket.socketpair()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> int:
        self._thread.start()
        return self.port

    def __exit__(self, *_: object) -> None:
        self._stopper.send(b"x")
        self._thread.join(20)
        for sock in (*self._peers.values(), self._stopper, self._stop, self._listener):
            sock.close()

    def _run(self) -> None:
        with select.epoll() as epoll:
            for sock in (self._listener, self._stop):
                epoll.register(sock, select.EPOLLIN)
            while True:
                for fd, _ in epoll.poll():
                    if fd == self._stop.fileno():
                        return
                    if fd == self._listener.fileno():
                        peer, _ = self._listener.accept()
                        self._peers[peer.fileno()] = peer
                        epoll.register(peer, select.EPOLLIN)
                    elif fd in self._peers:
                        self._answer(fd)

    def _answer(self, fd: int) -> None:
        data = None
        with suppress(OSError):
            data = self._peers[fd].recv(1 << 16)
        answer = self._serve(self._peers[fd], data) if data else None
        if answer is None:
            self._peers.pop(fd).close()
            return
        for other in [fd] if not self._relay else [one for one in self._peers if one != fd]:
            with suppress(OSError):
                self._peers[other].sendall(answer)
        self._left -= 1
        if self._left == 0:
            self._peers.pop(min(self._peers)).close()


@pytest.mark.parametrize("depth", [1, 16, 2000])
@pytest.mark.parametrize("verify", [False, True])
def test_echo_counts_whole_segments(depth: int, verify: bool) -> None:
    """A segment of 2,000 lines comes in parts."""
    with ThreadHub(mode="echo") as hub:
        result = measured(
            lambda: run_echo(EchoOptions(port=hub.port, clients=3, depth=depth, verify=verify, **BRIEF))
        )
    assert result.lines > 0 and result.lines_per_s > 0
    assert verify or (result.lines % depth == 0 and result.latency is not None)
    assert verify or result.latency is None or result.latency.count * depth == result.lines
    assert (result.lost_clients, result.missing, result.deliveries) == (0, 0, 0)


def test_a_client_waits_for_the_rest_of_its_segment() -> None:
    """This server sends back half of each segment."""
    came: list[int] = []

    def serve(peer: socket.socket, data: bytes) -> bytes:
        came.append(len(data))
        return data if len(data) == 64 else data[: len(data) // 2]

    with Server(serve) as port:
        result = run_echo(EchoOptions(port=port, clients=2, depth=16, seconds=0.3, warmup_s=0.0))
    assert result.lines == 0
    assert sum(came) == 2 * (64 + 16 * 64)


def test_echo_on_schedule_times_each_line() -> None:
    with ThreadHub(mode="echo") as hub:
        result = measured(lambda: run_echo(EchoOptions(port=hub.port, clients=3, rate=500, **BRIEF)))
    assert result.open_loop and result.missing == 0
    assert result.latency is not None
    assert result.lines <= result.latency.count


def test_echo_that_changes_a_byte_is_named() -> None:
    with Server(lambda _, data: data.replace(b" 000000000005 ", b" 000000000006 ")) as port:
        with pytest.raises(LoadError, match=r"--verify: b'.*6 x.* came where b'.*5 x.* was next"):
            run_echo(EchoOptions(port=port, clients=1, verify=True, **BRIEF))
        assert measured(lambda: run_echo(EchoOptions(port=port, clients=1, **BRIEF))).lines > 0


def test_a_server_that_says_something_else_is_no_echo() -> None:
    with Server(lambda _, data: data.upper()) as port, pytest.raises(LoadError, match="no echo: 64 bytes"):
        run_echo(EchoOptions(port=port, clients=2, **BRIEF))


@pytest.mark.parametrize("rate", [0.0, 2000.0])
def test_a_run_ends_when_every_client_was_closed(rate: float) -> None:
    seen: dict[int, int] = {}

    def serve(peer: socket.socket, data: bytes) -> bytes | None:
        seen[peer.fileno()] = seen.get(peer.fileno(), 0) + data.count(b"\n")
        return data if seen[peer.fileno()] < 20 else None

    with Server(serve) as port:
        result = run_echo(EchoOptions(port=port, clients=3, rate=rate, seconds=60.0, warmup_s=0.0))
    assert result.lost_clients == 3
    assert 0 < result.lines <= 3 * 20 and result.seconds < 60 and not result.interrupted


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("options", [{}, {"rate": 500}, {"window": 1, "writers": 1}])
def test_fanout_counts_what_all_have(verify: bool, options: dict[str, Any]) -> None:
    told = {"readers": READERS, "writers": WRITERS, "verify": verify} | options
    with ThreadHub(mode="broadcast", self_echo=False) as hub:
        result = measured(lambda: run_fanout(FanoutOptions(port=hub.port, **told, **BRIEF)))
    per_line = told["readers"] + told["writers"] - 1
    under_way = told["writers"] * told.get("window", 100)
    assert result.lines > 0
    assert abs(result.deliveries - result.lines * per_line) <= (under_way + 1) * per_line
    assert result.latency is not None
    assert (result.lost_clients, result.missing) == (0, 0)


@pytest.mark.parametrize("writers", [1, 2])
def test_a_window_is_never_overdrawn(writers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """This server keeps all lines behind the trial line, so that the whole window is under way."""
    monkeypatch.setattr(fanout, "LAST_S", 0.1)  # SILENCE_S is longer than the run.
    came: list[int] = []

    def serve(peer: socket.socket, data: bytes) -> bytes:
        came.append(data.count(b"\n"))
        return data if sum(came) == 1 else b""

    with Server(serve, relay=True) as port:
        options = FanoutOptions(port=port, readers=3, writers=writers, window=50, seconds=0.3, warmup_s=0.0)
        result = run_fanout(options)
    assert sum(came) == 1 + writers * 50
    assert result.lines == 0
    assert result.missing == writers * 50 * (3 + writers - 1)


def test_deliveries_that_never_come_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """This server loses what it gets at every tenth look; the run writes that off and goes on."""
    monkeypatch.setattr(fanout, "SILENCE_S", 0.05)
    looks = count()
    with Server(lambda _, data: data if next(looks) % 10 != 9 else b"", relay=True) as port:
        options = FanoutOptions(port=port, readers=2, writers=1, window=20, seconds=2.0, warmup_s=0.0)
        result = measured(lambda: run_fanout(options))
    assert result.missing > 0 and result.lost_clients == 0


def test_fanout_goes_on_without_a_reader_that_was_closed() -> None:
    options = FanoutOptions(port=1, readers=3, writers=2, window=2, seconds=2.0, warmup_s=0.0)
    for _ in range(TRIES):
        with Server(lambda _, data: data, relay=True, closes_after=20) as port:
            result = run_fanout(replace(options, port=port))
        if result.lines >= 200:  # Otherwise the machine is busy.
            break
    assert result.lines >= 200 and (result.lost_clients, result.missing) == (1, 0)
    assert abs(result.deliveries - result.lines * 3) <= 40 * 4


def test_a_fanout_without_writers_or_readers_ends() -> None:
    seen = count()
    with Server(lambda _, data: data if next(seen) < 10 else None, relay=True) as port:
        result = run_fanout(FanoutOptions(port=port, readers=2, writers=1, seconds=60.0, window=1))
    assert result.lost_clients >= 1 and result.seconds < 60 and not result.interrupted


def test_stalled_readers_are_told_apart() -> None:
    options = StalledOptions(port=1, readers=20, writers=2, stalled=10, pid=(os.getpid(),), **BRIEF)
    with ThreadHub(mode="broadcast", self_echo=False) as hub:
        result = measured(lambda: run_stalled(replace(options, port=hub.port)))
    assert result.details["stalled_readers"] == 2 and result.details["stalled_closed"] == 0
    assert result.details["rate_kept"] == pytest.approx(
        result.lines_per_s / result.details["lines_per_s_before"]
    )
    assert "rss_growth_by_stall_bytes" in result.details
    assert abs(result.deliveries - result.lines * 19) <= 201 * 19
    assert (result.lost_clients, result.missing) == (0, 0)


def test_stalled_readers_that_were_closed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of stream stands behind what they did not read."""
    monkeypatch.setattr(stalled, "END_QUIET_S", 0.1)
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(5)]
        for ours, theirs in pairs:
            stack.enter_context(ours).setblocking(False)
            stack.enter_context(theirs).sendall(b"unread")
        for _, theirs in pairs[:3]:
            theirs.close()
        assert count_closed([ours for ours, _ in pairs]) == 3


@pytest.mark.parametrize("churn", [0.0, 100.0])
def test_mixed_has_lines_guests_and_stalled_readers(churn: float) -> None:
    options = MixedOptions(port=1, readers=20, writers=2, rate=300, churn=churn, stalled=5, **BRIEF)
    with ThreadHub(mode="broadcast", self_echo=False) as hub:
        result = measured(lambda: run_mixed(replace(options, port=hub.port)))
        until(lambda: hub.loop.hub.counters.accepted >= 22 + result.details["came_and_went"])
    assert result.open_loop and result.lines > 0
    assert (result.details["came_and_went"] > 0) == (churn > 0)
    assert (result.details["stalled_readers"], result.details["failed_to_come"]) == (1, 0)
    assert (result.lost_clients, result.missing) == (0, 0)


@pytest.mark.parametrize(("mode", "chat"), [("echo", False), ("chat", False), ("chat", True)])
@pytest.mark.parametrize("rate", [0.0, 2000.0])
def test_a_storm_is_answered(mode: str, chat: bool, rate: float) -> None:
    with ThreadHub(mode=mode) as hub:
        result = run_storm(StormOptions(port=hub.port, clients=50, at_once=10, rate=rate, chat=chat))
        assert hub.loop.hub.counters.accepted == 51
    assert (result.lines, result.lost_clients, result.missing, result.notes) == (50, 0, 0, ())
    assert result.latency is not None and result.latency.count == 50
    assert 0 < result.details["connected_p50_ms"] <= result.details["connected_max_ms"]
    assert result.open_loop == bool(rate)


def test_a_storm_without_answers_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storm, "ANSWER_S", 0.05)
    with ThreadHub(mode="broadcast", self_echo=False) as hub:
        result = run_storm(StormOptions(port=hub.port, clients=20))
    assert result.lines == 20 and result.notes == (storm.NO_ANSWER,)


def test_a_storm_counts_those_that_were_turned_away() -> None:
    with ThreadHub(mode="chat", max_clients=30) as hub:
        result = run_storm(StormOptions(port=hub.port, clients=50, chat=True))
    assert result.lines + result.lost_clients == 50 and result.missing == 0


def test_idle_clients_stay_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "QUIET_S", 0.1)
    with ThreadHub() as hub:
        result = run_idle(IdleOptions(port=hub.port, clients=50, pid=(os.getpid(),), **BRIEF))
        assert hub.loop.hub.counters.accepted == 50
    assert result.lost_clients == 0 and result.notes == ()
    assert "rss_bytes_per_client" in result.details and result.rss_bytes


def test_idle_clients_that_are_closed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "QUIET_S", 0.01)
    with ThreadHub(idle_timeout_s=1.0, idle_warning_s=0.0) as hub:
        result = run_idle(IdleOptions(port=hub.port, clients=5, seconds=60.0, warmup_s=0.0))
    assert result.lost_clients == 5 and result.seconds < 60 and result.notes == (idle.NO_PID,)
