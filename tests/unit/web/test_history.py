"""Rates and series from publications that the test makes: no sockets, no loop, no clock."""

import random
from collections.abc import Callable

import msgspec
import pytest

from hub.close_reasons import CloseReason
from hub.control.snapshots import ClientCounts, EventCounts, InOut, LoopTimes, Summary
from tests.unit.web.support import make_summary
from web.history import POINTS_MAX, History, Rates


def at(second: float, **changed: object) -> Summary:
    """A publication at this second of the hub's clock."""
    return make_summary(taken_s=second, **changed)


def told(*summaries: Summary) -> History:
    history = History()
    for summary in summaries:
        history.add(summary)
    return history


def test_the_series_remember_the_turns_as_well() -> None:
    times = [LoopTimes(busy_s=0.0, turn_p99_ms=p99, turn_max_ms=9.0) for p99 in (0.5, 0.1284, 7.0)]
    history = told(*[at(second, turns=10 * second**2, loop=times[second]) for second in range(3)])
    assert history.series().turns == [10, 30]
    assert history.series().turn_p99_ms == [0.13, 7.0]


@pytest.mark.promise("page-update-size")
def test_a_hello_of_a_busy_hub_stays_small() -> None:
    """Five minutes of a hub with a thousand readers, every figure at its longest."""
    history = told(at(0))
    for second in range(1, POINTS_MAX + 1):
        history.add(
            at(
                second,
                lines=InOut(in_=50_123 * second, out=1_501_234 * second),
                bytes=InOut(in_=5_123_456 * second, out=150_123_456 * second),
                turns=12_345 * second,
                loop=LoopTimes(busy_s=0.987 * second, turn_p99_ms=12.34, turn_max_ms=99.0),
                clients=clients(10_000),
                closed={"idle": 123 * second},
            )
        )
    assert len(msgspec.json.encode(history.series())) < 20_000


@pytest.mark.promise("page-update-size")
def test_a_hello_of_a_common_hub_has_about_twelve_kilobytes(
    record_property: Callable[[str, object], None],
) -> None:
    """A hundred people, who say some fifty lines a second."""
    dice = random.Random(1)
    history, lines, heard = told(at(0)), 0, 0
    for second in range(1, POINTS_MAX + 1):
        said = dice.randrange(100)
        lines, heard = lines + said, heard + 100 * said
        history.add(
            at(
                second,
                lines=InOut(in_=lines, out=heard),
                bytes=InOut(in_=40 * lines, out=40 * heard),
                turns=lines + 5 * second,
                loop=LoopTimes(busy_s=0.0123 * second, turn_p99_ms=dice.random(), turn_max_ms=9.0),
                clients=clients(100),
            )
        )
    size = len(msgspec.json.encode(history.series()))
    record_property("the series of a common hub", f"{size} bytes")
    assert 10_000 < size < 13_000


def busy(seconds: float) -> LoopTimes:
    return LoopTimes(busy_s=seconds, turn_p99_ms=0.0, turn_max_ms=0.0)


def test_before_two_publications_rates_are_0_and_series_empty() -> None:
    for history in (told(), told(at(1))):
        assert history.rates == Rates()
        series = history.series()
        assert (series.interval_s, series.lines_in, series.busy) == (1.0, [], [])


def test_the_series_say_up_to_which_publication_they_go() -> None:
    histories = [told(), told(at(10)), told(at(10), at(11), at(12.5))]
    assert [history.series().taken_s for history in histories] == [0.0, 10.0, 12.5]


def test_a_rate_is_a_difference_by_the_hubs_own_time() -> None:
    before = at(10, lines=InOut(in_=100, out=1000), bytes=InOut(in_=10, out=20), turns=7, loop=busy(1.0))
    after = at(12, lines=InOut(in_=120, out=1500), bytes=InOut(in_=50, out=80), turns=27, loop=busy(1.5))
    rates = told(before, after).rates
    assert (rates.lines_in, rates.lines_out, rates.bytes_in, rates.bytes_out) == (10, 250, 20, 30)
    assert (rates.turns, rates.busy) == (10, 0.25)


def test_each_kind_of_event_has_its_rate() -> None:
    before = at(0, events=EventCounts(in_=0, out=0, rdhup=0, hup=0, err=0, accept=0))
    after = at(1, events=EventCounts(in_=1, out=2, rdhup=3, hup=4, err=5, accept=6))
    assert told(before, after).rates.events == EventCounts(in_=1, out=2, rdhup=3, hup=4, err=5, accept=6)


def test_evictions_are_the_closes_that_the_hub_chose() -> None:
    before = at(0, closed={"idle": 3, "quit": 8})
    after = at(2, closed={"idle": 4, "quit": 90, "peer_reset": 5, "slow_consumer": 2, "io_error": 1})
    assert told(before, after).rates.evicted == 1.5


@pytest.mark.promise("page-shows")
def test_all_reasons_but_six_are_evictions() -> None:
    every = [reason.value for reason in CloseReason]
    before = at(0, closed={})
    counted = {reason for reason in every if told(before, at(1, closed={reason: 1})).rates.evicted == 1.0}
    assert set(every) - counted == {
        "peer_closed", "peer_reset", "peer_timeout", "io_error", "quit", "server_shutdown",
    }  # fmt: skip


def test_the_loop_is_never_busier_than_all_the_time() -> None:
    assert told(at(0, loop=busy(0.0)), at(1, loop=busy(1.7))).rates.busy == 1.0


def test_series_are_the_last_five_minutes_and_of_one_length() -> None:
    history = told(
        *[
            at(second, lines=InOut(in_=second * second, out=0), clients=clients(second))
            for second in range(POINTS_MAX + 50)
        ]
    )
    series = history.series()
    assert series.open == list(range(50, POINTS_MAX + 50))
    assert series.lines_in == [2 * second - 1 for second in series.open]
    columns = [value for name in series.__struct_fields__ if isinstance(value := getattr(series, name), list)]
    assert {len(column) for column in columns} == {POINTS_MAX}


def clients(count: int) -> ClientCounts:
    return ClientCounts(open=count, accepted=count, peak=count)


def test_a_pause_of_the_hub_is_as_long_in_the_series() -> None:
    history = told(
        *[at(second, lines=InOut(in_=lines, out=0)) for second, lines in ((0, 0), (1, 10), (5, 30), (6, 37))]
    )
    assert history.series().lines_in == [10, 5, 5, 5, 5, 7]


def test_a_pause_longer_than_the_series_is_all_there_is() -> None:
    assert len(told(at(0), at(100_000)).series().busy) == POINTS_MAX


@pytest.mark.parametrize("second", [1.0, 1.01, 0.5])
def test_a_publication_out_of_turn_is_no_interval_of_its_own(second: float) -> None:
    history = told(at(0, turns=0), at(1, turns=10), at(second, turns=11), at(2, turns=20))
    assert history.series().lines_in == [0, 0]
    assert history.rates.turns == 10
