"""docs/benchmarks.md is people's, but for the parts and plots that are written from kept results."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from bench.contest.contestants import Build, Others
from bench.contest.contests import contests
from bench.contest.page import KEPT, PAGE, PLOTS, parts, plots, written
from bench.contest.results import Outcome, Results, Run


def results(*readers: int) -> Results:
    """Fan-outs to so many readers, a round of two contestants each."""
    outcomes = [
        Outcome(f"fanout-{count}", f"To {count}", "delivery", "C", {"readers": count}, [
            Run(0, "C", 1000, 1.0, 1.0, 0.5, 0.0, 0.0), Run(0, "hubbub", 1000, 1.0, 0.5, 0.5, 0.0, 0.0),
        ])
        for count in readers
    ]  # fmt: skip
    return Results(
        {"kernel": "Linux"}, {"each run": "1 s"}, {"C": "1.0"}, {"C": ["hub 1", "hub 2"]}, outcomes
    )


def test_only_the_parts_of_the_results_are_written() -> None:
    page = "Words.\n<!-- contest: fanout-100 -->\nold\n<!-- end -->\n"
    page += "<!-- contest: chat -->\nkept\n<!-- end -->\nEnd.\n"
    made = written(page, results(100))
    assert made.startswith("Words.\n<!-- contest: fanout-100 -->\n") and made.endswith("\nEnd.\n")
    assert "old" not in made and "| hubbub † |" in made and "\nkept\n" in made


def test_writing_a_page_twice_changes_nothing() -> None:
    once = written("<!-- contest: fanout-100 -->\n<!-- end -->\n", results(100))
    assert written(once, results(100)) == once


def test_every_contest_has_a_part_and_a_plot() -> None:
    made = results(100, 1000)
    assert {"machine", "fanout-100", "fanout-1000"} <= parts(made).keys()
    assert plots(made).keys() == {"fanout-100.svg", "fanout-1000.svg", "fanout-readers.svg"}


def test_one_number_of_readers_makes_no_line() -> None:
    assert plots(results(100)).keys() == {"fanout-100.svg"}


def test_the_page_has_a_place_for_every_contest(tmp_path: Path) -> None:
    names = [contest.name for contest in contests([Build("compiled", ("a",))], Others(tmp_path))]
    places = re.findall(r"<!-- contest: ([\w-]+) -->", PAGE.read_text())
    assert sorted(places) == sorted([*names, "machine", "goals", "calls"])


def test_the_page_is_what_the_kept_results_say() -> None:
    assert PAGE.read_text() == written(PAGE.read_text(), Results.load(KEPT)), "--render docs/benchmarks.json"


def test_the_plots_are_those_of_the_kept_results() -> None:
    made = plots(Results.load(KEPT))
    assert {path.name: path.read_text() for path in PLOTS.glob("*.svg")} == made
    for text in made.values():
        ElementTree.fromstring(text)
