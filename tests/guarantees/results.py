"""What came out, and when: read from pytest's own report (`--junit-xml`), kept in results.json."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as xml
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.guarantees.promises import HERE, ROOT

KEPT = HERE / "results.json"
NO_FIGURES = "hypothesis-statistics"
NUMBER = re.compile(r"(-?\d[\d,]*(?:\.\d+)?)(.*)", re.DOTALL)


@dataclass
class Result:
    """Of one test over all its parameters, or of one command."""

    passed: bool
    date: str
    cases: int = 1
    figures: dict[str, str] = field(default_factory=dict)
    """What was measured: a name, and a value with its unit or the range of several."""


def load(path: Path = KEPT) -> dict[str, Result]:
    """The kept ones, by node id or command."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    return {name: Result(**result) for name, result in kept.items()}


def save(results: Mapping[str, Result], path: Path = KEPT) -> None:
    """Write them down, sorted."""
    data = {name: asdict(results[name]) for name in sorted(results)}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def read(reports: Iterable[Path], date: str) -> dict[str, Result]:
    """The tests of these reports by node id without parameters; one that was skipped is left out.

    The cases of one test may stand in several, as slices of a run put them; of one that ran twice the
    later run counts.
    """
    found: dict[str, Result] = {}
    measured: dict[str, dict[str, list[str]]] = {}
    for case in _cases(reports):
        test = node_id(case.get("classname", ""), case.get("name", ""))
        passed = case.find("failure") is None and case.find("error") is None
        before = found.setdefault(test, Result(True, date, cases=0))
        before.cases += 1
        before.passed &= passed
        for each in case.iter("property"):
            name, value = each.get("name", ""), each.get("value", "")
            if name.startswith(NO_FIGURES):
                continue
            measured.setdefault(test, {}).setdefault(name, []).append(value)
    for test, figures in measured.items():
        found[test].figures = {name: in_one(values) for name, values in figures.items()}
    return found


def _cases(reports: Iterable[Path]) -> Iterable[xml.Element]:
    """Those that ran, each once."""
    last: dict[tuple[str, str], xml.Element] = {}
    for report in reports:
        for case in xml.parse(report).iter("testcase"):
            if case.find("skipped") is None:
                last[case.get("classname", ""), case.get("name", "")] = case
    return last.values()


def node_id(classname: str, name: str) -> str:
    """`tests.hub.test_text` and `test_x[level]` are tests/hub/test_text.py::test_x."""
    parts = classname.split(".")
    for end in range(len(parts), 0, -1):
        path = Path(*parts[:end]).with_suffix(".py")
        if (ROOT / path).is_file():
            return "::".join([str(path), *parts[end:], name.partition("[")[0]])
    return f"{classname}::{name.partition('[')[0]}"


def in_one(values: Iterable[str]) -> str:
    """Several values as one: the range where all have the same unit, else each once."""
    once = sorted(set(values))
    parts = [NUMBER.fullmatch(value) for value in once]
    units = {part[2] for part in parts if part}
    if len(once) == 1 or not all(parts) or len(units) != 1:
        return "; ".join(once)
    numbers = sorted((part[1] for part in parts if part), key=lambda text: float(text.replace(",", "")))
    return f"{numbers[0]} to {numbers[-1]}{units.pop()}"
