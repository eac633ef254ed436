"""The figures that tests measured (`record_property`), as the lines that stand at the end of a run."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import pytest

NUMBER = re.compile(r"(-?\d[\d,]*(?:\.\d+)?)(.*)", re.DOTALL)
NO_FIGURES = "hypothesis-statistics"


def lines(reports: Iterable[object]) -> Iterator[str]:
    """A line for each figure of a test, over all its parameters."""
    figures: dict[str, dict[str, None]] = defaultdict(dict)
    for report in reports:
        if isinstance(report, pytest.TestReport) and report.when == "call":
            test = report.nodeid.rpartition("[")[0] or report.nodeid
            for name, value in report.user_properties:
                if not name.startswith(NO_FIGURES):
                    figures[f"{test}: {name}"][str(value)] = None
    for name, values in sorted(figures.items()):
        yield f"{name}: {span(list(values))}"


def span(values: list[str]) -> str:
    """The range of several numbers of one unit; other values each once."""
    parts = [NUMBER.fullmatch(value) for value in values]
    numbers = [(float(part[1].replace(",", "")), part[1], part[2]) for part in parts if part]
    if len(values) == 1 or len(numbers) < len(values) or len({unit for _, _, unit in numbers}) > 1:
        return "; ".join(values)
    return f"{min(numbers)[1]} to {max(numbers)[1]}{numbers[0][2]}"
