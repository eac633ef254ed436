"""Rates and series from publications that the test makes: no sockets, no loop, no clock."""

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


def busy(seconds: float, turn_p99_ms: float = 0.0) -> LoopTimes:
    return LoopTimes(busy_s=seconds, turn_p99_ms=turn_p99_ms, turn_max_ms=99.0)


def clients(count: int) -> ClientCounts:
    return ClientCounts(open=count, accepted=count, peak=count)


def test_the_series_remember_the_turns_as_well() -> None:
    times = [busy(0.0, p99) for p99 in (0.5, 0.1284, 7.0)]
    series = told(*[at(second, turns=10 * second**2, loop=times[second]) for second in range(3)]).series()
    assert (series["turns"], series["turn_p99_ms"]) == ([10, 30], [0.13, 7.0])


@pytest.mark.promise("page-update-size")
def test_a_hello_of_a_busy_hub_stays_small() -> None:
    """Five minutes of a hub with a thousand readers, every figure at its longest."""
    history = told(
        *[
            at(
                second,
                lines=InOut(in_=50_123 * second, out=1_501_234 * second),
                bytes=InOut(in_=5_123_456 * second, out=150_123_456 * second),
                turns=12_345 * second,
                loop=busy(0.987 * second, 12.34),
                clients=clients(10_000),
                closed={"idle": 123 * second},
            )
            for second in range(POINTS_MAX + 1)
        ]
    )
    assert len(msgspec.json.encode(history.series())) < 20_000


@pytest.mark.parametrize(
    ("seconds", "taken_s"), [((), 0.0), ((10.0,), 10.0), ((10.0, 11.0, 12.5), 12.5), ((10.0, 10.1), 10.0)]
)
def test_the_series_say_up_to_which_publication_they_go(seconds: tuple[float, ...], taken_s: float) -> None:
    history = told(*map(at, seconds))
    series = history.series()
    assert (series["taken_s"], series["interval_s"]) == (taken_s, 1.0)
    if len(seconds) < 3:
        assert (history.rates, series["lines_in"], series["busy"]) == (Rates(), [], [])


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
    history = told(before, after)
    assert (history.rates.evicted, history.series()["evicted"]) == (1.5, [2, 2])


@pytest.mark.promise("page-shows")
def test_ends_by_the_peer_refusals_and_stops_are_no_evictions() -> None:
    every = [reason.value for reason in CloseReason]
    counted = {each for each in every if told(at(0, closed={}), at(1, closed={each: 1})).rates.evicted == 1.0}
    assert counted == {
        "idle", "line_too_long", "slow_consumer", "protocol_error", "invalid_utf8", "internal_error",
    }  # fmt: skip


def test_the_loop_is_never_busier_than_all_the_time() -> None:
    assert told(at(0, loop=busy(0.0)), at(1, loop=busy(1.7))).rates.busy == 1.0


def test_series_are_the_last_five_minutes_and_of_one_length() -> None:
    seconds = range(POINTS_MAX + 50)
    told_of = [at(each, lines=InOut(in_=each**2, out=0), clients=clients(each)) for each in seconds]
    series = told(*told_of).series()
    assert series["open"] == list(range(50, POINTS_MAX + 50))
    assert series["lines_in"] == [2 * second - 1 for second in range(50, POINTS_MAX + 50)]
    assert {len(column) for column in series.values() if isinstance(column, list)} == {POINTS_MAX}


def test_a_pause_of_the_hub_is_as_long_in_the_series() -> None:
    history = told(
        *[at(second, lines=InOut(in_=lines, out=0)) for second, lines in ((0, 0), (1, 10), (5, 30), (6, 37))]
    )
    assert history.series()["lines_in"] == [10, 5, 5, 5, 5, 7]


def test_a_pause_longer_than_the_series_is_all_there_is() -> None:
    assert len(told(at(0), at(100_000)).series()["busy"]) == POINTS_MAX


@pytest.mark.parametrize("second", [1.0, 1.01, 0.5])
def test_a_publication_out_of_turn_is_no_interval_of_its_own(second: float) -> None:
    history = told(at(0, turns=0), at(1, turns=10), at(second, turns=11), at(2, turns=20))
    assert history.series()["lines_in"] == [0, 0]
    assert history.rates.turns == 10
