"""What the runs of a contest come to: medians, ratios, goals, the file they are kept in, the tables."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.contest.results import Calls, Goal, Outcome, Results, Run, Spread
from bench.contest.tables import calls_table, goal_table, outcome_table, report, spread, three


def run(
    contestant: str,
    number: int = 0,
    *,
    lines: int = 1000,
    cpu_s: float = 1.0,
    others: float = 0.0,
    waiting: float = 0.0,
) -> Run:
    return Run(number, contestant, lines, 1.0, cpu_s, 0.5, others, waiting)


def outcome(*runs: Run, **parts: object) -> Outcome:
    """A contest whose base is `b`."""
    made = Outcome("echo-1", "Echo", "line", "b", {"clients": 100}, [*runs])
    return replace(made, **parts)


def results(*outcomes: Outcome) -> Results:
    calls = [Calls("echo-1", "a", 100, {"sendto": 100, "rare": 0})]
    return Results(
        {"kernel": "Linux"},
        {"each run": "1 s"},
        {"a": "1.0"},
        {"a": ["a serve", "a serve --fast"]},
        [*outcomes],
        calls,
    )


def test_a_row_has_the_median_the_least_and_the_most() -> None:
    (row,) = outcome(*(run("a", number, lines=lines) for number, lines in enumerate((100, 500, 200)))).rows()
    assert row.rate == Spread(200, 100, 500)
    assert row.cpu_us == Spread(1e6 / 200, 1e6 / 500, 1e6 / 100)
    assert row.rounds == 3


def test_a_ratio_is_the_median_of_those_of_the_rounds() -> None:
    """In the second round the machine was slow, and `b` has a round to itself."""
    theirs = [run("b", number, lines=lines) for number, lines in enumerate((1000, 100, 1000, 50))]
    ours = [run("a", number, lines=lines) for number, lines in enumerate((2000, 200, 9000))]
    made = outcome(*theirs, *ours)
    assert made.ratio("a", "b", "rate") == 2.0
    assert made.ratio("a", "b", "cpu") == pytest.approx(0.5)


def test_the_better_ratio_counts_where_both_may_be_used() -> None:
    idle = outcome(run("a", lines=1000, cpu_s=0.25), run("b", lines=1000, cpu_s=1.0))
    slow = outcome(run("a", lines=1000, cpu_s=1.0), run("b", lines=500, cpu_s=0.1))
    assert idle.ratio("a", "b", "best") == 4.0
    assert slow.ratio("a", "b", "best") == 2.0


def test_a_ratio_to_an_absent_contestant_is_none() -> None:
    assert outcome(run("a")).ratio("a", "b", "cpu") is None
    assert goal_table([outcome(run("a"), goals=[Goal("a", "b", "cpu", most=2)])]) == ""


@pytest.mark.parametrize(("ratio", "met"), [(0.89, False), (0.9, True), (1.1, True), (1.11, False)])
def test_a_goal_is_met_within_both_bounds(ratio: float, met: bool) -> None:
    assert Goal("a", "b", "cpu", least=0.9, most=1.1).is_met_by(ratio) is met


def test_the_goals_say_what_came_out() -> None:
    goals = [Goal("a", "b", "cpu", most=1.2), Goal("a", "b", "rate", least=2)]
    made = goal_table([outcome(run("a", lines=1100), run("b"), goals=goals)])
    assert "| Echo | CPU, a / b | at most 1.2 | 0.91 | yes |" in made
    assert "| Echo | lines/s, a / b | at least 2 | 1.10 | **no** |" in made


def test_a_row_that_waited_for_the_load_is_marked() -> None:
    made = outcome_table(outcome(run("a", cpu_s=0.94), run("b", cpu_s=0.96)))
    assert "| a † |" in made and "| b |" in made
    assert made.count("†") == 2  # The row and its explanation.


def test_a_row_that_others_kept_waiting_is_not_load_bound() -> None:
    (row,) = outcome(run("a", cpu_s=0.5, waiting=0.46)).rows()
    assert not row.load_bound


def test_rows_are_marked_when_half_of_the_rounds_were_disturbed() -> None:
    rounds = [run("a", number, others=others) for number, others in enumerate((0.03, 0.01, 0.01))]
    assert "‡" not in outcome_table(outcome(*rounds))
    assert "| a ‡ |" in outcome_table(outcome(*rounds, run("a", 3, others=0.03)))


def test_a_contestant_that_is_left_out_is_named() -> None:
    assert "\nc is left out: it is not installed.\n" in outcome_table(
        outcome(run("a"), left_out={"c": "it is not installed"})
    )


def test_system_calls_are_those_of_a_line() -> None:
    calls = [
        Calls("echo-1", "a", 200, {"sendto": 100, "brk": 1}),
        Calls("echo-1", "b", 100, {"recvfrom": 100}),
    ]
    assert calls_table(calls).splitlines()[2:] == [
        "| `recvfrom` | 0.000 | 1.000 |",
        "| `sendto` | 0.500 | 0.000 |",
        "| `brk` | 0.005 | 0.000 |",
        "| all | 0.505 | 1.000 |",
    ]


def test_results_are_the_same_when_read_again(tmp_path: Path) -> None:
    kept = results(outcome(run("a"), run("b"), goals=[Goal("a", "b", "cpu", most=1)], left_out={"c": "no"}))
    kept.save(tmp_path / "new" / "results.json")
    assert Results.load(tmp_path / "new" / "results.json") == kept


def test_results_of_another_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"format": 0}')
    with pytest.raises(ValueError, match="another format"):
        Results.load(tmp_path / "old.json")


def test_a_report_without_any_run_has_no_table() -> None:
    assert list(report(Results({}, {}, {}, {}))) == []


def test_a_report_has_every_contest_and_the_calls() -> None:
    text = "".join(report(results(outcome(run("a"), run("b")))))
    assert "Echo, clients 100" in text and "System calls" in text and "Goals" not in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1234.5, "1234"), (99.96, "100"), (12.34, "12.3"), (1.234, "1.23"), (0.01234, "0.0123"), (0, "0")],
)
def test_numbers_have_three_digits_that_count(value: float, shown: str) -> None:
    assert three(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Spread(2e6, 1.5e6, 3e6), "2.00 M (1.50-3.00)"),
        (Spread(2500, 900, 3000), "2.50 k (0.9-3.00)"),
        (Spread(5, 4, 6), "5.00 (4.00-6.00)"),
    ],
)
def test_a_spread_stands_in_one_unit(value: Spread, shown: str) -> None:
    assert spread(value) == shown
