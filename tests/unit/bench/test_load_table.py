"""The table at the end of a run, and who was the bottleneck."""

from dataclasses import replace
from typing import Any

import pytest

from bench.load.options import (
    EchoOptions,
    FanoutOptions,
    IdleOptions,
    MixedOptions,
    Options,
    StalledOptions,
    StormOptions,
)
from bench.load.result import Latency, Result, bottleneck_of
from bench.load.table import setting, table

LATENCY = Latency(count=9, p50_ms=0.0123, p90_ms=1.0, p99_ms=22.2, p999_ms=333.0, max_ms=4444.4)
PLAIN = Result(workload="fanout", seconds=5.0, lines=500, lines_per_s=100.0, own_cpu_share=0.5)


def shown(result: Result, options: Options | None = None) -> str:
    return table(options or FanoutOptions(port=9000), result)


@pytest.mark.parametrize(
    ("own", "server", "who"),
    [
        (0.95, None, "load"),
        (0.95, 0.5, "load"),
        (0.95, 0.95, "server"),
        (0.5, 0.95, "server"),
        (0.5, 0.5, "none"),
        (0.5, None, "none"),
    ],
)
def test_the_bottleneck_is_who_had_no_idle_time(own: float, server: float | None, who: str) -> None:
    assert bottleneck_of(own, server) == who


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        (
            {"bottleneck": "load", "server_cpu_share": 0.4},
            "the bottleneck was  the load, so the server can do",
        ),
        ({"bottleneck": "load"}, "the bottleneck was  maybe the load, which is busy; --pid tells more"),
        ({"bottleneck": "server", "server_cpu_share": 0.99}, "the bottleneck was  the server\n"),
        ({}, "the bottleneck was  neither the server nor the load: both had idle time"),
        ({"own_wait_share": 0.3}, "the bottleneck was  neither: other processes had their cores"),
        ({"own_wait_share": 0.3}, "note                the load waited for a core 30% of the time"),
        ({"server_wait_share": 2.5}, "note                the server waited for a core 100% of the time"),
        ({"interrupted": True}, "measured            5.0 s, ended by a signal\n"),
        ({"seconds": 0.0}, "note                ended before anything was measured"),
        ({"deliveries": 5, "deliveries_per_s": 12345.6}, "deliveries          12,346 a second\n"),
        ({"lost_clients": 1234}, "note                1,234 clients were closed by the server"),
        ({"missing": 7}, "note                7 deliveries never came"),
        ({"notes": ("so",)}, "note                so\n"),
        ({"latency": LATENCY}, "ms until received   p50 0.0123  p90 1  p99 22.2  p99.9 333  max 4,444\n"),
        ({"latency": LATENCY, "open_loop": True}, "max 4,444  (from the planned moment)\n"),
        ({"workload": "echo", "missing": 7}, "note                7 lines never came back"),
        ({"workload": "storm", "missing": 7}, "note                7 clients got no answer"),
        ({"workload": "storm"}, "connections         100 a second, 500 in all\n"),
        (
            {"server_cpu_share": 0.123, "cpu_us_per_line": 5.678, "cpu_us_per_delivery": 0.0567},
            "server CPU          5.68 us a line, 0.0567 us a delivery, 12.3% of a core\n",
        ),
        (
            {"rss_bytes": 40 << 20, "rss_growth_bytes": -(1 << 20)},
            "server memory       40.0 MiB of RSS, -1.0 MiB while measured\n",
        ),
    ],
)
def test_each_figure_has_its_row(changes: dict[str, Any], row: str) -> None:
    assert row in shown(replace(PLAIN, **changes))


@pytest.mark.parametrize(
    ("details", "row"),
    [
        ({"rss_bytes_per_client": 1234.4}, "memory of a client  1,234 B of RSS (slope)\n"),
        ({"rate_kept": 0.971, "lines_per_s_before": 1000.0}, "97.1% of 1,000 lines"),
        ({"stalled_readers": 10.0, "stalled_closed": 3.0}, "10 readers, 3 of them closed by the server\n"),
        (
            {"rss_growth_by_stall_bytes": 3.0 * (1 << 20)},
            "memory since        +3.0 MiB of RSS",
        ),
        ({"came_and_went": 50.0, "failed_to_come": 0.0}, "50 clients, 0 failed to come\n"),
        (
            {"connected_p50_ms": 0.1, "connected_p99_ms": 0.2, "connected_max_ms": 0.3},
            "ms until connected  p50 0.1  p99 0.2  max 0.3\n",
        ),
    ],
)
def test_what_one_workload_measures_has_its_row(details: dict[str, float], row: str) -> None:
    assert row in shown(replace(PLAIN, details=details))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (EchoOptions(port=1), "100 clients, depth 1, 64 B a line, closed loop"),
        (EchoOptions(port=1, rate=5000), "100 clients, depth 1, 64 B a line, 5,000/s on schedule"),
        (FanoutOptions(port=1), "100 readers, 10 writers, 64 B a line, window 100"),
        (StalledOptions(port=1), "1,000 readers, 10 writers, 64 B a line, window 100"),
        (
            MixedOptions(port=1),
            "100 readers, 10 writers, 64 B a line, 1,000/s on schedule, 50 clients/s come and go",
        ),
        (StormOptions(port=1), "1,000 clients, 100 at once"),
        (StormOptions(port=1, rate=50), "1,000 clients, 50/s on schedule"),
        (IdleOptions(port=1), "1,000 clients"),
    ],
)
def test_the_head_says_what_was_asked_for(options: Options, said: str) -> None:
    assert setting(options) == said
    assert shown(PLAIN, options).startswith(f"fanout              127.0.0.1:1: {said}\n")
