"""The plots are SVG that a parser takes, and their bars and lines have the lengths of the figures."""

import xml.etree.ElementTree as ElementTree

import pytest

from bench.contest.plots import HEAD, WIDTH, Bar, Line, apart, bars, colours, lines, nice_step
from bench.contest.results import Spread

SVG = "{http://www.w3.org/2000/svg}"


def bar(label: str, value: float, most: float) -> Bar:
    return Bar(label, Spread(value, value / 2, most), f"{value:g}")


def test_bars_are_as_long_as_their_medians() -> None:
    drawn = ElementTree.fromstring(bars("Echo", "us", [bar("a", 10, 12), bar("b", 5, 24)]))
    _, first, second = drawn.iter(f"{SVG}rect")
    assert float(first.attrib["width"]) == pytest.approx(2 * float(second.attrib["width"]), abs=0.2)


def test_a_bar_with_its_whisker_stays_inside() -> None:
    drawn = ElementTree.fromstring(bars("Echo", "us", [bar("a", 10, 12), bar("b", 5, 24)]))
    ends = [
        float(point.split(",")[0])
        for line in drawn.iter(f"{SVG}polyline")
        for point in line.attrib["points"].split()
    ]
    assert max(ends) < WIDTH - 60  # The text behind it has this room.


def test_labels_are_escaped() -> None:
    drawn = ElementTree.fromstring(bars("<a & b>", "'us'", [bar("<c>", 1, 1)]))
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert texts == ["<a & b>", "'us'", "<c>", "1"]


def test_lines_go_through_their_points() -> None:
    rows = [Line("hubbub", ((100, 5e6), (1000, 10e6), (10000, 0)))]
    drawn = ElementTree.fromstring(lines("Fan-out", "M", rows, "readers"))
    points = [(float(at.attrib["cx"]), float(at.attrib["cy"])) for at in drawn.iter(f"{SVG}circle")]
    (left, middle, right), heights = zip(*points, strict=True)
    assert middle - left == pytest.approx(right - middle, abs=0.2)  # Each step is a factor of ten.
    assert heights[2] - heights[0] == pytest.approx(heights[0] - heights[1], abs=0.2)
    assert min(heights) >= HEAD


def test_labels_that_would_meet_are_moved_apart() -> None:
    assert apart({"a": 10, "b": 12, "c": 100}, 17) == {"a": -5, "b": 12, "c": 100}


def test_ours_and_others_differ_in_colour() -> None:
    found = colours(["hubbub pure", "Redis", "hubbub compiled", "NATS", "Redis"])
    assert len(set(found.values())) == 4


@pytest.mark.parametrize(("highest", "step"), [(10, 2), (30e6, 5e6), (61, 20), (1, 0.2)])
def test_grid_lines_stand_at_round_numbers(highest: float, step: float) -> None:
    assert nice_step(highest) == pytest.approx(step)
