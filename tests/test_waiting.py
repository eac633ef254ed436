"""No test waits for something by sleeping: it looks again and again, or waits for the bytes themselves.

What may sleep: a loop that looks (`while`), a yield (`sleep(0)`), and a line whose comment says what the time
is for that passes there: the pace of a client, or the window in which something is counted.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SLEEPS = {"sleep", "wait_for_timeout"}


def bare_sleeps(source: str) -> list[int]:
    """The lines that sleep in none of the ways that are allowed."""
    lines = source.splitlines()
    return [line for line in _sleeps(ast.parse(source), polls=False) if "#" not in lines[line - 1]]


def _sleeps(node: ast.AST, polls: bool) -> Iterator[int]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call) and _name(child.func) in SLEEPS and not (polls or _yields(child)):
            yield child.lineno
        inside = isinstance(child, ast.While) or (polls and not isinstance(child, ast.FunctionDef))
        yield from _sleeps(child, inside)


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", "") or getattr(function, "id", "")


def _yields(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0


@pytest.mark.parametrize("path", sorted(HERE.rglob("*.py")), ids=lambda path: str(path.relative_to(HERE)))
def test_nothing_waits_by_sleeping(path: Path) -> None:
    assert bare_sleeps(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "time.sleep(1)",
        "await asyncio.sleep(0.1)",
        "if not ready():\n    time.sleep(1)",
        "page.wait_for_timeout(5)",
    ],
)
def test_a_sleep_is_seen(source: str) -> None:
    assert bare_sleeps(source)


@pytest.mark.parametrize(
    "source",
    [
        "while not ready():\n    time.sleep(1)",
        "await asyncio.sleep(0)",
        "time.sleep(window_s)  # What is counted in it is asserted.",
    ],
)
def test_looking_again_yielding_and_passing_time_are_allowed(source: str) -> None:
    assert bare_sleeps(source) == []
