"""Nobody's line waits long for what others do: a flooder, a burst, a crowd at the door, many open pages."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from bench.figures import Distribution
from tests.e2e.load import Allowance, Echoers, block, flooding, queues
from tests.support import PATIENCE_S, ROOT, HubProcess, closing, until

Record = Callable[[str, object], None]
AT_ONCE = 10
triggers = pytest.mark.parametrize("trigger", ["level", "edge"])


def note(record: Record, what: str, figures: Distribution) -> None:
    """Write down what people want to know of it."""
    record(f"{what}, p99", f"{figures.p99_ms:.1f} ms")
    record(f"{what}, worst", f"{figures.max_ms:.1f} ms")


@pytest.mark.promise("fair-flood")
@pytest.mark.long
@triggers
def test_a_flooder_costs_fifty_polite_clients_little_and_gets_on(
    trigger: str, record_property: Record
) -> None:
    with (
        HubProcess("--mode", "echo", "--trigger", trigger) as hub,
        Echoers(hub.port, 50, every_s=1.0) as polite,
        flooding(hub.port) as flooder,
    ):
        before, allowed = flooder(), Allowance(hub)
        figures = polite.run(20.0)
        while (flooded := flooder() - before) < 1_000_000:  # Older counts are still in the pipe.
            pass
        note(record_property, "a line beside a flooder", figures)
        assert figures.count == 1000
        assert figures.p99_ms < allowed.ms
        assert flooded


@pytest.mark.promise("fair-flood")
@pytest.mark.long
@triggers
def test_a_burst_of_10_mb_holds_up_no_line_of_the_same_instant(trigger: str, record_property: Record) -> None:
    """The process stands still while all of it arrives, so that one wait reports everybody."""
    with HubProcess("--mode", "echo", "--trigger", trigger) as hub, ExitStack() as stack:
        big = stack.enter_context(hub.peer())
        others = stack.enter_context(closing([hub.peer() for _ in range(20)]))
        for peer in [big, *others]:
            peer.send(b"hello\n")
            assert peer.line() == b"hello\n"
        hub.stand_still()
        data = block(100_000)
        sender = threading.Thread(target=big.sock.sendall, args=(data,))
        sender.start()
        until(lambda: queues(hub.port)[big.sock.getsockname()[1]].unread > 64 * 1024)
        for peer in others:
            peer.send(b"one line\n")
        started_s = time.monotonic()
        hub.go_on()
        assert {peer.line() for peer in others} == {b"one line\n"}
        took_ms = (time.monotonic() - started_s) * 1000
        record_property("all twenty lines beside the burst", f"{took_ms:.1f} ms")
        assert big.read(len(data)) == data
        sender.join(PATIENCE_S)
        until(lambda: not any(waits.unread for waits in queues(hub.port).values()), 5.0)
        assert len(queues(hub.port)) == 21


class Newcomers:
    """So many connections a second, each of which says a line and waits for what comes.

    Who is behind its own pace does not make it up at once: that would keep its other clients waiting.
    """

    def __init__(self, port: int, count: int, per_s: float) -> None:
        self._port, self._count, self._per_s = port, count, per_s
        self._poller = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        self._start_s = time.monotonic()
        self._began = 0
        self.got: dict[int, bytes] = {}

    def __enter__(self) -> Newcomers:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._socks.values():
            sock.close()
        self._poller.close()

    @property
    def all_are_answered(self) -> bool:
        """Whether everybody came and has a whole line."""
        return self._began == self._count and all(got.endswith(b"\n") for got in self.got.values())

    def look(self) -> None:
        """Connect the clients that are due; those with an answer keep it."""
        due = min(self._count, int((time.monotonic() - self._start_s) * self._per_s), self._began + AT_ONCE)
        while self._began < due:
            self._connect()
        for fd, _ in self._poller.poll(0):
            self.got[fd] += (data := self._socks[fd].recv(4096))
            if not data:
                self._poller.unregister(fd)

    def _connect(self) -> None:
        sock = socket.create_connection(("127.0.0.1", self._port))
        sock.send(b"a newcomer\n")
        self._began += 1
        self._socks[sock.fileno()], self.got[sock.fileno()] = sock, b""
        self._poller.register(sock.fileno(), select.EPOLLIN)


@pytest.mark.promise("fair-flood")
@pytest.mark.long
@triggers
def test_5000_in_five_seconds_are_served_or_refused(trigger: str, record_property: Record) -> None:
    full = ("--max-clients", "4100")
    with (
        HubProcess("--mode", "echo", "--trigger", trigger, *full) as hub,
        Echoers(hub.port, 100, every_s=0.5) as chatters,
        Newcomers(hub.port, 5000, per_s=1000) as crowd,
    ):
        allowed = Allowance(hub)
        figures = chatters.run(7.0, meanwhile=crowd.look)
        until(lambda: crowd.look() or crowd.all_are_answered)
        answers = Counter(crowd.got.values())
        refusal = b"* bye reason=server_full limit=4100\r\n"
        assert answers == {b"a newcomer\n": 4000, refusal: 1000}
        note(record_property, "a line while 5,000 come", figures)
        assert figures.p99_ms < allowed.ms
        summary = until(lambda: (s := hub.get("/api/summary"))["clients"]["accepted"] == 5100 and s)
        assert (summary["refused"], summary["clients"]["open"]) == (1000, 4100)


class Stop:
    """Stops a process for some seconds, a second from now."""

    def __init__(self, hub: HubProcess, seconds: float) -> None:
        self._due = [(hub.go_on, seconds + 1), (hub.stand_still, 1.0)]
        self._start_s = time.monotonic()
        self.ended_s = self._start_s + seconds + 1

    def look(self) -> None:
        """Do what is due."""
        while self._due and time.monotonic() > self._start_s + self._due[-1][1]:
            self._due.pop()[0]()
            self.ended_s = time.monotonic()


@pytest.mark.promise("pause-active")
@pytest.mark.long
@pytest.mark.parametrize("strategy", ["poll", "sweep", "deadline"])
def test_a_talker_stays_while_the_process_stands_still(strategy: str, record_property: Record) -> None:
    idle = ("--idle-strategy", strategy, "--idle-timeout", "2s", "--sweep-interval", "100ms")
    with HubProcess("--mode", "echo", *idle) as hub, Echoers(hub.port, 50, every_s=0.5) as talkers:
        stop, allowed = Stop(hub, 3.0), Allowance(hub)
        talkers.run(7.0, meanwhile=stop.look)
        assert len(talkers.answers) == 700
        later_ms = [took_s * 1000 for due_s, took_s in talkers.answers if due_s > stop.ended_s + 1]
        record_property("the worst line from a second after it", f"{max(later_ms):.1f} ms")
        assert max(took_s for _, took_s in talkers.answers) > 2.0, "it did stand still"
        assert sorted(later_ms)[len(later_ms) * 99 // 100] < allowed.ms
        assert not any(hub.get("/api/summary")["closed"].values())


@contextmanager
def company(module: str, *options: str) -> Iterator[None]:
    """A program of bench that is there from its `ready` to the end of its stdin."""
    command = [sys.executable, "-m", module, *options]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            assert process.stdout.readline().startswith("ready")
            yield
            process.stdin.close()
            assert '"troubles": 0' in (report := process.stdout.readline()) or "lines_out" in report, report
        finally:
            process.kill()


@contextmanager
def busy_page(url: str, count: int) -> Iterator[None]:
    """So many who ask the page for its largest table again and again."""
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            with urllib.request.urlopen(url + "api/clients?limit=500", timeout=PATIENCE_S) as answer:
                answer.read()

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join(PATIENCE_S)


@pytest.mark.promise("fair-page")
@pytest.mark.long
def test_twenty_pages_and_a_busy_thread_hardly_delay_an_echo(record_property: Record) -> None:
    with HubProcess("--mode", "echo") as hub:
        crowd = ("--lines", f"127.0.0.1:{hub.port}", "--clients", "200", "--talk-every", "1")
        with company("bench.crowd", *crowd):
            allowed, before = Allowance(hub), probed(hub)
            with company("bench.tabs", "--page", hub.url, "--tabs", "20"):
                watched = probed(hub)
            with busy_page(hub.url, 4):
                pressed = probed(hub)
            note(record_property, "an echo without a page", before)
            note(record_property, "with 20 live pages", watched)
            note(record_property, "with a page that is never idle", pressed)
            assert max(watched.p99_ms, pressed.p99_ms) < allowed.ms


def probed(hub: HubProcess) -> Distribution:
    """How long a line takes, seen from a program of its own for some seconds."""
    command = [sys.executable, "-m", "bench.prober", "--port", str(hub.port), "--seconds", "5", "--json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return Distribution.from_json(run.stdout.splitlines()[0])
