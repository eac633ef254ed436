"""The time of a run: the warm-up, the measured window, a progress line a second, Ctrl-C.

A hot loop compares the clock with `due_s` once a turn and calls `tick` when that has passed; nothing else of
this is on its way. SIGINT sets `due_s` to 0, so that the loop comes here at its next turn.
"""

import gc
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from bench.load.histogram import Histogram
from bench.load.options import Options
from bench.load.processes import Processes, wait_s
from bench.load.result import Result, bottleneck_of

PROGRESS_S = 1.0
clock_s = time.perf_counter


def to_stderr(text: str) -> None:
    """Where progress goes, so that stdout has nothing but the result. A stderr that is gone is no matter."""
    with suppress(OSError):
        os.write(2, f"hubbub bench: {text}\n".encode())


class Stopwatch:
    """Warm-up, then the window. `lines` and `deliveries` may count from any start: differences matter."""

    def __init__(
        self,
        options: Options,
        name: str,
        latency: Histogram,
        unit: str = "lines",
        say: Callable[[str], None] = to_stderr,
    ) -> None:
        self.due_s = math.inf
        """When `tick` wants to be called."""
        self.over = False
        self.interrupted = False
        self._ended = False
        self._options = options
        self._name = name
        self._latency = latency
        self._unit = unit
        self._say = say
        self._server = Processes(options.pid)
        self._end_s = math.inf
        self._window_s = 0.0
        self._measuring = False
        self._told_s, self._told = 0.0, (0, 0)
        self._begun_s, self._begun = 0.0, (0, 0)
        self._server_cpu_s = self._own_cpu_s = self._server_wait_s = self._own_wait_s = 0.0
        self._first_rss_bytes = self._last_rss_bytes = 0

    def start(self, lines: int = 0, deliveries: int = 0) -> None:
        """Begin with the warm-up."""
        now = clock_s()
        self._begin(now, lines, deliveries)
        self._told_s, self._told = now, (lines, deliveries)
        self._measuring = not self._options.warmup_s
        self._end_s = now + (self._options.warmup_s or self._options.seconds)
        self.due_s = min(self._end_s, now + PROGRESS_S)
        if self.interrupted:
            self.due_s = 0.0

    def tick(self, now: float, lines: int, deliveries: int) -> None:
        """Do what is due: a progress line, the end of the warm-up, the end of the window."""
        if self.interrupted or self._ended or (now >= self._end_s and self._measuring):
            self._finish(now, lines, deliveries)
            return
        if now - self._told_s >= PROGRESS_S:
            self._tell(now, lines, deliveries)
        if now >= self._end_s:
            self._measuring = True
            self._latency.clear()
            self._begin(now, lines, deliveries)
            self._end_s = now + self._options.seconds
        self.due_s = min(self._end_s, self._told_s + PROGRESS_S)

    def end(self) -> None:
        """Let the next tick be the last, as there is nobody left to measure with."""
        self._ended, self.due_s = True, 0.0

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM end the run with what was measured; a second one ends the process.

        No collection stops a hot loop meanwhile: what a run leaves behind is little.
        """

        def stop(number: int, frame: FrameType | None) -> None:
            self.interrupted, self.due_s = True, 0.0
            signal.signal(number, signal.SIG_DFL)

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        gc.disable()
        try:
            yield
        finally:
            gc.enable()
            for number, handler in before.items():
                signal.signal(number, handler)

    def result(self, **more: object) -> Result:
        """The figures of the window; `more` are further fields of Result."""
        window_s = self._window_s or math.inf
        lines, deliveries = self._begun
        own = self._own_cpu_s / window_s
        server = self._server_cpu_s if self._server else None
        share = None if server is None else server / window_s
        figures: dict[str, object] = {
            "workload": self._name,
            "seconds": self._window_s,
            "lines": lines,
            "deliveries": deliveries,
            "lines_per_s": lines / window_s,
            "deliveries_per_s": deliveries / window_s,
            "cpu_us_per_line": _per(server, lines),
            "cpu_us_per_delivery": _per(server, deliveries),
            "server_cpu_share": share,
            "own_cpu_share": own,
            "own_wait_share": self._own_wait_s / window_s,
            "server_wait_share": self._server_wait_s / window_s if self._server else None,
            "bottleneck": bottleneck_of(own, share),
            "latency": self._latency.latency(),
            "interrupted": self.interrupted,
        }
        if self._server:
            figures["rss_bytes"] = self._last_rss_bytes
            figures["rss_growth_bytes"] = self._last_rss_bytes - self._first_rss_bytes
        return Result(**figures | more)  # type: ignore[arg-type]

    def _begin(self, now: float, lines: int, deliveries: int) -> None:
        self._begun_s, self._begun = now, (lines, deliveries)
        self._server_cpu_s = self._server.cpu_s()
        self._own_cpu_s = time.process_time()
        self._server_wait_s, self._own_wait_s = self._server.wait_s(), wait_s(os.getpid())
        self._first_rss_bytes = self._server.rss_bytes()

    def _finish(self, now: float, lines: int, deliveries: int) -> None:
        self._window_s = now - self._begun_s
        self._server_cpu_s = self._server.cpu_s() - self._server_cpu_s
        self._own_cpu_s = time.process_time() - self._own_cpu_s
        self._server_wait_s = self._server.wait_s() - self._server_wait_s
        self._own_wait_s = wait_s(os.getpid()) - self._own_wait_s
        self._begun = lines - self._begun[0], deliveries - self._begun[1]
        self._last_rss_bytes = self._server.rss_bytes()
        self.over, self.due_s = True, math.inf

    def _tell(self, now: float, lines: int, deliveries: int) -> None:
        passed_s = now - self._told_s
        phase = f"{now - self._begun_s:.0f} of {self._options.seconds:g} s" if self._measuring else "warm-up"
        said = [f"{self._name}: {phase}"]
        if self._unit:
            said.append(f"{(lines - self._told[0]) / passed_s:,.0f} {self._unit}/s")
        if deliveries:
            said.append(f"{(deliveries - self._told[1]) / passed_s:,.0f} deliveries/s")
        self._say(", ".join(said))
        self._told_s, self._told = now, (lines, deliveries)


def _per(cpu_s: float | None, count: int) -> float | None:
    return None if cpu_s is None or not count else 1e6 * cpu_s / count
