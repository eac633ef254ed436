"""The soak's verdict on records that pass or fail, its rude clients, and a short edition of the whole."""

import json
import math
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bench.soak_clients import garbage
from bench.verdict import MIB, SLOPE_FROM_S, Record, judge, slope
from bench.watch import Sample, is_fault
from tests.support import ROOT, until

RecordProperty = Callable[[str, object], None]
SECONDS = 2400


def a_sample(at_s: float, **changes: Any) -> Sample:
    totals = {
        "clients": {"accepted": 1010, "open": 0},
        "closed": {"quit": 1000, "peer_reset": 10},
        "lingering": 0,
        "loop": {"turn_max_ms": 4.0},
    }
    sample = Sample(at_s=at_s, rss_bytes=60 * MIB, descriptors=20, threads=3, totals=totals)
    return replace(sample, **changes)


def a_record(**changes: Any) -> Record:
    """One with which nothing is wrong but what is changed."""
    record = Record(
        seconds=SECONDS,
        samples=[a_sample(float(second)) for second in range(SECONDS)],
        echoes=[(float(second), [0.001] * 50) for second in range(SECONDS)],
        quiet_before=a_sample(-1.0),
        quiet_after=a_sample(SECONDS),
        probes=240,
        connected=770,
        said=1000,
        heard=9000,
        pages={"updates": 100, "errors": 0, "ended": 0},
        exit_code=0,
    )
    return replace(record, **changes)


def samples(*seconds: int, **changes: Any) -> list[Sample]:
    """Those of a run in which something is another in these seconds."""
    return [a_sample(float(at), **(changes if at in seconds else {})) for at in range(SECONDS)]


def growing(rss_bytes: Callable[[float], float]) -> list[Sample]:
    """Those of a run whose memory is a function of time."""
    return [a_sample(float(at), rss_bytes=60 * MIB + round(rss_bytes(at))) for at in range(SECONDS)]


def echoes(time_s: float) -> list[tuple[float, list[float]]]:
    """Those of a run with half a minute of others."""
    return [(float(at), [time_s if 1000 <= at < 1030 else 0.001] * 50) for at in range(SECONDS)]


def failed(record: Record) -> list[str]:
    """What does not pass."""
    return [criterion.name for criterion in judge(record) if criterion.passed is False]


def totals(**changes: Any) -> dict[str, Any]:
    return {**a_sample(0).totals, **changes}


def quiet(**changes: Any) -> Sample:
    """The look after a run, with other totals."""
    return a_sample(SECONDS, totals=totals(**changes))


LEAK = growing(lambda at_s: at_s / 3600 * 1.2 * MIB)
STAIRS = growing(lambda at_s: at_s // 200 * 0.1 * MIB)
STILL = samples(1000, 1500, totals=totals(loop={"turn_max_ms": 300.0}))
MISCOUNT = samples(7, totals=totals(clients={"accepted": 1011, "open": 0}))
KEPT = quiet(clients={"accepted": 1010, "open": 1}, closed={"quit": 1009})


def test_a_record_with_nothing_wrong_passes_in_everything() -> None:
    assert {criterion.passed for criterion in judge(a_record())} == {True}


def test_a_run_that_saw_nothing_passes_only_in_exceptions() -> None:
    passed = [criterion.name for criterion in judge(Record()) if criterion.passed]
    assert passed == ["unexpected exceptions"]


@pytest.mark.promise("soak-red")
@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"samples": LEAK}, "memory"),
        ({"samples": STAIRS}, "memory"),
        ({"quiet_after": a_sample(SECONDS, descriptors=21)}, "descriptors"),
        ({"samples": samples(2000, threads=4)}, "threads"),
        ({"echoes": echoes(0.06)}, "echo"),
        ({"echoes": echoes(math.inf)}, "echo"),
        ({"samples": STILL}, "loop lag"),
        ({"fault_count": 1}, "unexpected exceptions"),
        ({"quiet_after": quiet(closed={"quit": 1009, "internal_error": 1})}, "unexpected exceptions"),
        ({"samples": MISCOUNT}, "the books"),
        ({"connected": 771}, "to the unit"),
        ({"quiet_after": KEPT}, "to the unit"),
        ({"wrongs": 1}, "order, gaps, doubles"),
        ({"heard": 0}, "order, gaps, doubles"),
        ({"pages": {"updates": 100, "errors": 0, "ended": 1}}, "open pages"),
        ({"exit_code": -9}, "the hub ended in order"),
    ],
)
def test_whatever_goes_wrong_fails_by_its_name(changes: dict[str, Any], name: str) -> None:
    assert failed(a_record(**changes)) == [name]


def test_what_is_slow_or_grows_during_the_warm_up_is_forgiven() -> None:
    record = a_record()
    record.samples[100] = a_sample(100.0, threads=2, totals=totals(loop={"turn_max_ms": 900.0}))
    record.samples[:500] = [replace(sample, rss_bytes=MIB) for sample in record.samples[:500]]
    record.echoes[:500] = [(at_s, [1.0] * 50) for at_s, _ in record.echoes[:500]]
    assert failed(record) == []


def test_a_short_run_is_not_judged_by_its_slope() -> None:
    memory = judge(a_record(samples=LEAK, seconds=SLOPE_FROM_S - 1))[0]
    assert memory.passed is None and "not judged" in memory.figure and str(memory).startswith("----")


def test_a_burst_whose_memory_is_kept_is_no_leak() -> None:
    assert failed(a_record(samples=growing(lambda at_s: MIB * (at_s > 1000)))) == []


def test_a_slope_is_that_of_the_line_through_the_points() -> None:
    dice = random.Random(3)
    points = [(x, 5.0 + 0.25 * x + dice.choice((-1, 1)) * 0.01) for x in range(1000)]
    assert slope(points) == pytest.approx(0.25, abs=1e-3)
    assert slope([(0, 1), (2, 5)]) == 2
    assert math.isnan(slope([(1, 1)])) and math.isnan(slope([(1, 1), (1, 2)]))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"time": "2026", "event": "end", "reason": "quit"}\n', False),
        (b'{"time": "2026", "event": "fault", "trace": "..."}\n', True),
        (b'{"time": "2026", "event": "page", "level": "error"}\n', True),
        (b"Traceback (most recent call last):\n", True),
        (b"[1]\n", True),
    ],
)
def test_an_exception_is_told_from_other_records(line: bytes, fault: bool) -> None:
    assert is_fault(line) is fault


def test_garbage_is_of_many_kinds_and_the_same_for_the_same_seed() -> None:
    dice, again = random.Random(5), random.Random(5)
    sent = [garbage(dice, 30) for _ in range(60)]
    assert sent == [garbage(again, 30) for _ in range(60)]
    assert {data[:3] for data in sent} >= {b"GET", b"and", b"\x16\x03\x01", b"/jo"}


def soak(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.soak", "--json", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def verdict_of(said: str, process: subprocess.Popen[str]) -> dict[str, Any]:
    """The report, with which the exit code agrees. What is measured in time is told, not judged here."""
    told: dict[str, Any] = json.loads(said.splitlines()[-1])
    assert process.returncode == (0 if told["passed"] else 1), said
    wrong = [one for one in told["criteria"] if one["passed"] is False]
    assert [one for one in wrong if one["name"] not in ("echo", "loop lag")] == [], said
    return told


@pytest.mark.long
def test_an_interrupt_ends_a_soak_with_the_verdict_so_far() -> None:
    with soak("--minutes", "10", "--clients", "60", "--lines", "60", "--rush", "100") as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            until(lambda: "clients" in process.stdout.readline(), 60)  # type: ignore[union-attr]
            process.send_signal(signal.SIGINT)
            said += process.communicate(timeout=90)[0]
            told = verdict_of(said, process)
            assert told["minutes"] < 2
        finally:
            process.kill()


@pytest.mark.promise("soak-long")
@pytest.mark.long
@pytest.mark.timeout(420)
def test_three_minutes_with_rude_clients_pass_without_a_fault(record_property: RecordProperty) -> None:
    minutes = os.environ.get("SOAK_MINUTES", "3")
    with soak("--minutes", minutes) as process:
        try:
            said = process.communicate(timeout=60 * float(minutes) + 200)[0]
        finally:
            process.kill()
    told = verdict_of(said, process)
    figures = {one["name"]: one["figure"] for one in told["criteria"]}
    for name in ("echo", "loop lag", "order, gaps, doubles", "to the unit", "descriptors", "threads"):
        record_property(name, figures[name])
    assert {"quit", "peer_closed", "peer_reset", "slow_consumer"} <= set(told["closed"])
