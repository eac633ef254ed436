"""The soak's verdict on records that pass or fail, its rude clients, and a short edition of the whole."""

from __future__ import annotations

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


def a_record() -> Record:
    """One with which nothing is wrong."""
    return Record(
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


def failed(record: Record) -> list[str]:
    """What does not pass."""
    return [criterion.name for criterion in judge(record) if criterion.passed is False]


def totals(**changes: Any) -> dict[str, Any]:
    return {**a_sample(0).totals, **changes}


def test_a_record_with_nothing_wrong_passes_in_everything() -> None:
    assert {criterion.passed for criterion in judge(a_record())} == {True}


def test_a_run_that_saw_nothing_passes_only_in_exceptions() -> None:
    passed = [criterion.name for criterion in judge(Record()) if criterion.passed]
    assert passed == ["unexpected exceptions"]


def grows(record: Record) -> None:
    record.samples = [
        replace(s, rss_bytes=60 * MIB + round(s.at_s / 3600 * 1.2 * MIB)) for s in record.samples
    ]


def leaks_a_descriptor(record: Record) -> None:
    record.quiet_after = a_sample(SECONDS, descriptors=21)


def starts_a_thread(record: Record) -> None:
    record.samples[2000] = a_sample(2000.0, threads=4)


def answers_late(record: Record) -> None:
    record.echoes[1000:1030] = [(float(second), [0.06] * 50) for second in range(1000, 1030)]


def never_answers(record: Record) -> None:
    record.echoes[1000:1030] = [(float(second), [math.inf] * 50) for second in range(1000, 1030)]


def stands_still(record: Record) -> None:
    for second in (1000, 1500):
        record.samples[second] = a_sample(float(second), totals=totals(loop={"turn_max_ms": 300.0}))


def raises(record: Record) -> None:
    record.fault_count = 1


def ends_one_by_a_fault(record: Record) -> None:
    record.quiet_after = a_sample(SECONDS, totals=totals(closed={"quit": 1009, "internal_error": 1}))


def miscounts_for_a_moment(record: Record) -> None:
    record.samples[7] = a_sample(7.0, totals=totals(clients={"accepted": 1011, "open": 0}))


def forgets_a_connection(record: Record) -> None:
    record.connected += 1


def keeps_a_connection(record: Record) -> None:
    changed = totals(clients={"accepted": 1010, "open": 1}, closed={"quit": 1009})
    record.quiet_after = a_sample(SECONDS, totals=changed)


def lets_one_hear_wrong(record: Record) -> None:
    record.wrongs = 1


def is_deaf(record: Record) -> None:
    record.heard = 0


def ends_a_page(record: Record) -> None:
    record.pages["ended"] = 1


def dies(record: Record) -> None:
    record.exit_code = -9


@pytest.mark.promise("soak-red")
@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        (grows, ["memory"]),
        (leaks_a_descriptor, ["descriptors"]),
        (starts_a_thread, ["threads"]),
        (answers_late, ["echo"]),
        (never_answers, ["echo"]),
        (stands_still, ["loop lag"]),
        (raises, ["unexpected exceptions"]),
        (ends_one_by_a_fault, ["unexpected exceptions"]),
        (miscounts_for_a_moment, ["the books"]),
        (forgets_a_connection, ["to the unit"]),
        (keeps_a_connection, ["to the unit"]),
        (lets_one_hear_wrong, ["order, gaps, doubles"]),
        (is_deaf, ["order, gaps, doubles"]),
        (ends_a_page, ["open pages"]),
        (dies, ["the hub ended in order"]),
    ],
)
def test_whatever_goes_wrong_fails_by_its_name(spoil: Callable[[Record], None], names: list[str]) -> None:
    record = a_record()
    spoil(record)
    assert failed(record) == names


def test_what_is_slow_or_grows_during_the_warm_up_is_forgiven() -> None:
    record = a_record()
    record.samples[100] = a_sample(100.0, threads=2, totals=totals(loop={"turn_max_ms": 900.0}))
    record.samples[:500] = [replace(sample, rss_bytes=MIB) for sample in record.samples[:500]]
    record.echoes[:500] = [(at_s, [1.0] * 50) for at_s, _ in record.echoes[:500]]
    assert failed(record) == []


def test_a_short_run_is_not_judged_by_its_slope() -> None:
    record = a_record()
    grows(record)
    record.seconds = SLOPE_FROM_S - 1
    (memory,) = (criterion for criterion in judge(record) if criterion.name == "memory")
    assert memory.passed is None and "not judged" in memory.figure and str(memory).startswith("----")


def test_a_slope_is_that_of_the_line_through_the_points() -> None:
    dice = random.Random(3)
    points = [(x, 5.0 + 0.25 * x + dice.choice((-1, 1)) * 0.01) for x in range(1000)]
    assert slope(points) == pytest.approx(0.25, abs=1e-3)
    assert slope([(0, 1), (2, 5)]) == 2
    assert math.isnan(slope([(1, 1)])) and math.isnan(slope([(1, 1), (1, 2)]))


def test_a_burst_whose_memory_is_kept_is_no_leak_but_stairs_are() -> None:
    record = a_record()
    record.samples = [
        replace(sample, rss_bytes=60 * MIB + (MIB if sample.at_s > 1000 else 0)) for sample in record.samples
    ]
    assert failed(record) == []
    record.samples = [
        replace(sample, rss_bytes=60 * MIB + round(sample.at_s // 200 * 0.1 * MIB))
        for sample in record.samples
    ]
    assert failed(record) == ["memory"]


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
def test_three_minutes_with_rude_clients_pass_without_a_fault(
    record_property: RecordProperty,
) -> None:
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
