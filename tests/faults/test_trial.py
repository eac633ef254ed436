"""Runs of tests on a copy of the sources, and what is read from them."""

from pathlib import Path

import pytest

from tests.faults.trial import Verdict, run, verdict_of

SAID = """FAILED tests/a.py::test_b[x y-3] - AssertionError: FAILED tests/z.py::no
FAILED tests/c.py::test_d
"""


@pytest.mark.parametrize(
    ("code", "said", "test", "trouble"),
    [
        (0, "3 passed", "", ""),
        (1, SAID, "tests/a.py::test_b[x y-3]", ""),
        (1, "ERROR tests/a.py::test_b - OSError: at the end of its fixture\n", "tests/a.py::test_b", ""),
        (1, "nothing that can be read", "", "pytest ended with 1: nothing that can be read"),
        (2, "ERROR tests/a.py - ImportError\n", "", "pytest ended with 2: ERROR tests/a.py - ImportError\n"),
    ],
)
def test_verdict_names_only_a_test_that_fails(code: int, said: str, test: str, trouble: str) -> None:
    assert verdict_of(code, said, 1.0) == Verdict(test, 1.0, trouble)


def test_run_with_several_failures_names_the_first(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\nmarkers = ['long']\n")
    (tmp_path / "tests" / "test_a.py").write_text(
        "import pytest\n"
        "@pytest.mark.long\n"
        "def test_long(): assert 0\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 0\n"
        "def test_worse(): assert 0\n"
    )
    assert run(tmp_path, ["tests/test_a.py"], 60).test == "tests/test_a.py::test_bad"
