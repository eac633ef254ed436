"""How rounds become a table, and what breaks a bound."""

import json
from types import MappingProxyType

import pytest

from bench.bounds.table import Results, as_json, cell, holds, table

ALLOWED = MappingProxyType({"readers": MappingProxyType({"worst ms": "<= 4"})})


def results() -> Results:
    found = Results()
    for worst, late in ((3.0, 0.1), (5.0, 0.2), (4.5, 0.3)):
        found.add("readers", "pure", {"prober late ms": late, "worst ms": worst})
    found.add("readers", "compiled", {"prober late ms": 0.1, "worst ms": 2.25})
    return found


@pytest.mark.parametrize(
    ("value", "rule", "kept"),
    [
        (4.0, "<= 4", True),
        (4.1, "<= 4", False),
        (0.97, ">= 0.97", True),
        (0.96, ">= 0.97", False),
        (9, "", True),
    ],
)
def test_a_rule_allows_its_border(value: float, rule: str, kept: bool) -> None:
    assert holds(value, rule) is kept


def test_a_cell_has_median_spread_and_verdict() -> None:
    assert cell([3.0, 5.0, 4.5], "<= 4") == "4.5 (3 .. 5) !"
    assert cell([1234.5], "") == "1,234"
    assert cell([], "<= 4") == "-"


def test_figures_of_the_measurement_stand_last() -> None:
    assert results().figures("readers") == ["worst ms", "prober late ms"]


def test_the_table_has_a_column_for_each_contestant() -> None:
    rows = table(results(), ["readers", "expiry"], ["pure", "compiled"], ALLOWED).splitlines()
    assert [row.split() for row in rows] == [
        ["scenario", "figure", "allowed", "pure", "compiled"],
        ["readers", "worst", "ms", "<=", "4", "4.5", "(3", "..", "5)", "!", "2.25"],
        ["readers", "prober", "late", "ms", "0.2", "(0.1", "..", "0.3)", "0.1"],
    ]


def test_every_round_is_told_as_json() -> None:
    told = json.loads(as_json(results(), ALLOWED))
    assert told["results"][0]["allowed"] == {"worst ms": "<= 4"}
    assert [len(each["rounds"]) for each in told["results"]] == [3, 1]
