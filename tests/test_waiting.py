"""No test waits for something by sleeping: it looks again and again, or waits for the bytes themselves.

What may sleep: a loop that looks (`while`), a yield (`sleep(0)`), and a line whose comment says what the time
is for that passes there: the pace of a client, or the window in which something is counted.
"""

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


def test_nothing_waits_by_sleeping() -> None:
    found = {path.relative_to(HERE): bare_sleeps(path.read_text()) for path in HERE.rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("source", "is_bare"),
    [
        ("time.sleep(1)", True),
        ("await asyncio.sleep(0.1)", True),
        ("if not ready():\n    time.sleep(1)", True),
        ("page.wait_for_timeout(5)", True),
        ("while not ready():\n    time.sleep(1)", False),
        ("await asyncio.sleep(0)", False),
        ("time.sleep(window_s)  # What is counted in it is asserted.", False),
    ],
)
def test_bare_sleep_is_seen_and_no_other(source: str, is_bare: bool) -> None:
    assert bool(bare_sleeps(source)) is is_bare
