"""Nobody's line waits long for what others do: a flooder, a burst, a crowd at the door, many open pages."""

import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from bench.figures import Distribution
from tests.e2e.load import Allowance, Echoers, block, flooding, queues
from tests.support import PATIENCE_S, ROOT, HubProcess, Peer, Record, bye, closing, each_trigger, until

AT_ONCE = 10


def note(record: Record, what: str, figures: Distribution) -> None:
    """Write down what people want to know of it."""
    record(f"{what}, p99", f"{figures.p99_ms:.1f} ms")
    record(f"{what}, worst", f"{figures.max_ms:.1f} ms")


@pytest.mark.promise("fair-flood")
@pytest.mark.long
@each_trigger
def test_a_flooder_costs_fifty_polite_clients_little_and_gets_on(
    trigger: str, record_property: Record
) -> None:
    with (
        HubProcess("--mode", "echo", "--trigger", trigger) as hub,
        Echoers(hub.port, 50, every_s=1.0) as polite,
        flooding(hub.port) as flooder,
    ):
        before, allowed = flooder(), Allowance(hub)
        figures = polite.run(10.0)
        while (flooded := flooder() - before) < 1_000_000:  # Older counts are still in the pipe.
            pass
        note(record_property, "a line beside a flooder", figures)
        assert figures.count == 500
        assert figures.p99_ms < allowed.ms
        assert flooded


@pytest.mark.promise("fair-flood")
@pytest.mark.long
@each_trigger
def test_a_burst_of_10_mb_holds_up_no_line_of_the_same_instant(trigger: str, record_property: Record) -> None:
    """The process stands still while all of it arrives, so that one wait reports everybody."""
    with HubProcess("--mode", "echo", "--trigger", trigger) as hub, ExitStack() as stack:
        big = stack.enter_context(hub.peer())
        others = stack.enter_context(closing([hub.peer() for _ in range(20)]))
        for peer in [big, *others]:
            peer.echo()
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
        self._start_s = time.monotonic()
        self.peers: list[Peer] = []

    def look(self) -> None:
        """Connect the clients that are due."""
        due = min(
            self._count, int((time.monotonic() - self._start_s) * self._per_s), len(self.peers) + AT_ONCE
        )
        while len(self.peers) < due:
            self.peers.append(Peer(self._port))
            self.peers[-1].send(b"a newcomer\n")


@pytest.mark.promise("fair-flood")
@pytest.mark.long
@each_trigger
def test_5000_in_five_seconds_are_served_or_refused(trigger: str, record_property: Record) -> None:
    full = ("--max-clients", "4100")
    with (
        HubProcess("--mode", "echo", "--trigger", trigger, *full) as hub,
        Echoers(hub.port, 100, every_s=0.5) as chatters,
    ):
        crowd, allowed = Newcomers(hub.port, 5000, per_s=1000), Allowance(hub)
        figures = chatters.run(7.0, meanwhile=crowd.look)
        until(lambda: crowd.look() or len(crowd.peers) == 5000)
        with closing(crowd.peers):
            answers = Counter(peer.line() for peer in crowd.peers)
            summary = until(lambda: (s := hub.summary())["clients"]["accepted"] == 5100 and s)
            assert (summary["refused"], summary["clients"]["open"]) == (1000, 4100)
        refusal = bye("server_full", "limit=4100", end="\r\n")
        assert answers == {b"a newcomer\n": 4000, refusal: 1000}
        note(record_property, "a line while 5,000 come", figures)
        assert figures.p99_ms < allowed.ms


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
