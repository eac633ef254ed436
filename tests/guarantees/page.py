"""docs/guarantees.md from the promises and the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.guarantees.promises import Area, Promise
from tests.guarantees.results import Result

HEAD = """\
# What is guaranteed, and what shows it

Each promise, the tests or commands that would catch its breach, what they measured last, and when. Made by
`make guarantees` from [tests/guarantees](../tests/guarantees) and a run; do not edit. Figures are those of a
machine with two shared cores. What is promised in full stands in [behaviour.md](behaviour.md).
"""


def page(areas: list[Area], results: Mapping[str, Result]) -> str:
    """All of it, as Markdown."""
    return "\n".join([HEAD, *(_area(area, results) for area in areas)])


def _area(area: Area, results: Mapping[str, Result]) -> str:
    rows = [_row(promise, results) for promise in area.promise]
    head = ["| promise | held by | last measured | date |", "|---|---|---|---|"]
    return "\n".join([f"## {area.title}\n", *head, *rows, ""])


def _row(promise: Promise, results: Mapping[str, Result]) -> str:
    names = [*promise.tests, *promise.commands]
    found = [results.get(name) for name in names]
    held = "<br>".join(_link(test) for test in promise.tests)
    held += "".join(f"{'<br>' if held else ''}`{command}`" for command in promise.commands)
    dates = [result.date for result in found if result]
    date = min(dates) if len(dates) == len(names) else "not yet"
    cells = (promise.text, held, _outcomes(found), date)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _link(test: str) -> str:
    """The last part of a node id, which is a sentence, on its file."""
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{path})"


def _outcomes(found: Sequence[Result | None]) -> str:
    """One line where all passed, else one for each."""
    passed = [result for result in found if result and result.passed]
    if len(passed) < len(found):
        return "<br>".join(map(_outcome, found))
    figures: dict[str, str] = {}
    for result in passed:
        figures |= result.figures
    return _outcome(Result(True, "", sum(result.cases for result in passed), figures))


def _outcome(result: Result | None) -> str:
    if result is None:
        return "not run yet"
    cases = f" ({result.cases} cases)" if result.cases > 1 else ""
    figures = "; ".join(f"{name}: {value}" for name, value in result.figures.items())
    return ("passes" if result.passed else "**FAILS**") + cases + (f"; {figures}" if figures else "")
