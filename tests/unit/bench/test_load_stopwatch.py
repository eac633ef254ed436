"""The time of a run, with moments that are handed in."""

import os
import signal

import pytest

from bench.load.histogram import Histogram
from bench.load.options import Options
from bench.load.stopwatch import Stopwatch, clock_s

LINES, DELIVERIES = 1000, 9000


def watch_of(
    *, seconds: float = 4.0, warmup_s: float = 2.0, pid: tuple[int, ...] = ()
) -> tuple[Stopwatch, Histogram, list[str]]:
    said: list[str] = []
    latency = Histogram()
    options = Options(port=1, seconds=seconds, warmup_s=warmup_s, pid=pid)
    return Stopwatch(options, "echo", latency, say=said.append), latency, said


def run(watch: Stopwatch, lines_per_s: int, deliveries_per_s: int, most_s: float = 100.0) -> None:
    """Ticks whenever they are due, as a hot loop has them, on a clock that is far ahead."""
    begin = clock_s()
    watch.start(LINES, DELIVERIES)
    while not watch.over and watch.due_s < begin + most_s:
        passed_s = watch.due_s - begin
        lines, deliveries = LINES + int(passed_s * lines_per_s), DELIVERIES + int(passed_s * deliveries_per_s)
        watch.tick(watch.due_s, lines, deliveries)


def test_rates_are_those_of_the_window() -> None:
    watch, _, _ = watch_of()
    run(watch, 100, 700)
    result = watch.result()
    assert result.seconds == pytest.approx(4.0)
    assert (result.lines, result.deliveries) == (pytest.approx(400, abs=1), pytest.approx(2800, abs=1))
    assert result.lines_per_s * result.seconds == pytest.approx(result.lines)
    assert result.deliveries_per_s == pytest.approx(7 * result.lines_per_s, rel=0.02)


def test_times_of_the_warmup_are_forgotten() -> None:
    watch, latency, _ = watch_of(warmup_s=0.5)
    watch.start()
    latency.record(1)
    watch.tick(watch.due_s, 0, 0)
    assert latency.count() == 0
    latency.record(1)
    watch.tick(watch.due_s, 0, 0)
    assert latency.count() == 1


def test_progress_is_a_line_a_second() -> None:
    watch, _, said = watch_of(seconds=3.5)
    run(watch, 100, 200)
    assert said == [
        *("echo: warm-up, 100 lines/s, 200 deliveries/s" for _ in range(2)),
        *(f"echo: {second} of 3.5 s, 100 lines/s, 200 deliveries/s" for second in (1, 2, 3)),
    ]


def test_without_warmup_the_window_begins_at_once() -> None:
    watch, _, said = watch_of(warmup_s=0.0)
    run(watch, 100, 100)
    assert watch.result().lines == pytest.approx(400, abs=1)
    assert said[0] == "echo: 1 of 4 s, 100 lines/s, 100 deliveries/s"
    assert not watch.interrupted


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_what_there_is(signum: int) -> None:
    watch, _, _ = watch_of(warmup_s=0.0)
    before = signal.getsignal(signum)
    with watch.interruptible():
        watch.start()
        os.kill(os.getpid(), signum)
        assert watch.due_s == 0.0
        assert signal.getsignal(signum) == signal.SIG_DFL, "a second one would end the process"
        watch.tick(clock_s(), 50, 0)
    assert watch.over
    result = watch.result()
    assert result.interrupted and result.lines == 50 and result.seconds > 0
    assert signal.getsignal(signum) is before


def test_a_signal_before_the_start_ends_it_at_once() -> None:
    watch, _, _ = watch_of()
    with watch.interruptible():
        os.kill(os.getpid(), signal.SIGINT)
        watch.start()
        assert watch.due_s == 0.0
        watch.tick(clock_s(), 0, 0)
    assert watch.over


def test_an_early_end_is_no_interruption() -> None:
    watch, _, _ = watch_of(warmup_s=0.0)
    watch.start()
    watch.end()
    watch.tick(clock_s(), 5, 0)
    assert watch.over and watch.result().lines == 5 and not watch.result().interrupted


def test_costs_are_those_of_the_server_s_processes() -> None:
    """Here the server is this process, so that its share is the load's own."""
    watch, _, _ = watch_of(warmup_s=0.0, seconds=0.5, pid=(os.getpid(),))
    watch.start()
    while clock_s() < watch.due_s:
        pass
    watch.tick(clock_s(), 1000, 2000)
    result = watch.result()
    assert result.server_cpu_share == pytest.approx(result.own_cpu_share, abs=0.06)
    assert result.cpu_us_per_line is not None and result.cpu_us_per_delivery is not None
    assert result.cpu_us_per_line == pytest.approx(2 * result.cpu_us_per_delivery)
    assert result.cpu_us_per_line == pytest.approx(1000 * result.server_cpu_share * result.seconds)
    assert result.rss_bytes and result.rss_growth_bytes is not None


def test_without_processes_there_are_no_costs() -> None:
    watch, _, _ = watch_of(warmup_s=0.0)
    run(watch, 100, 100)
    result = watch.result()
    assert (result.cpu_us_per_line, result.server_cpu_share, result.rss_bytes) == (None, None, None)
