"""The promises: one TOML file an area, in it its title and a `[[promise]]` for each.

title = "Idle"                    # the name of the file where it is left out
section = ["Idle"]                # the chapters of docs/behaviour.md that it is about

[[promise]]
text = "Nobody ends early."
tests = ["tests/e2e/test_idle.py::test_nobody_ends_early"]
commands = ["make soak"]          # instead of tests, or beside them
"""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@dataclass(frozen=True)
class Promise:
    """One, as a user reads it, and the node ids (without parameters) and commands that hold it."""

    text: str
    tests: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Area:
    """Promises that belong together, and the chapters of docs/behaviour.md that make them."""

    title: str
    section: list[str]
    promise: list[Promise]


def areas(folder: Path = HERE) -> list[Area]:
    """All of them, in the order of their titles. TypeError names a field that there is not."""
    found = []
    for path in sorted(folder.glob("*.toml")):
        given = {"title": path.stem.capitalize(), "section": [], **tomllib.loads(path.read_text())}
        promises = [Promise(**each) for each in given.pop("promise", [])]
        found.append(Area(promise=promises, **given))
    return sorted(found, key=lambda area: area.title)


def named_tests(all_areas: list[Area]) -> list[str]:
    """The node ids, each once."""
    return sorted({test for area in all_areas for promise in area.promise for test in promise.tests})


def is_there(test: str) -> bool:
    """Whether this node id names a function (or a class and its method) of a file that is there."""
    name, *path = test.split("::")
    file = ROOT / name
    if not path or not file.is_file():
        return False
    scope = _statements(file)
    for step in path:
        if step == "runTest":  # Of a state machine, which hypothesis makes.
            return True
        found = [node for node in scope if getattr(node, "name", None) == step or _assigns(node, step)]
        if not found:
            return False
        scope = getattr(found[-1], "body", [])
    return True


@cache
def _statements(file: Path) -> list[ast.stmt]:
    return ast.parse(file.read_text()).body


def _assigns(node: ast.stmt, name: str) -> bool:
    """Whether this is `name = ...`."""
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == name for target in node.targets
    )
