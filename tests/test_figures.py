"""The figures of a run come to its end, from the workers of pytest-xdist too."""

import os
import subprocess
import sys
from pathlib import Path

from tests.figures import span
from tests.support import ROOT

MEASURED = """
import pytest
from hypothesis import given, strategies

@pytest.mark.parametrize("value", ["9.5 ms", "10 ms"])
def test_lateness(value, record_property):
    record_property("late", value)

@given(strategies.none())
def test_examples(value):
    assert value is None
"""


def test_figures_of_all_workers_are_printed_once_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(MEASURED)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    options = ["-ptests.conftest", "-pxdist", "-p_hypothesis_pytestplugin", "-n2", "--rootdir", tmp_path]
    command = [sys.executable, "-m", "pytest", *options, tmp_path]
    few = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # The others take seconds to load.
    ran = subprocess.run(command, cwd=ROOT, env=few, stdout=subprocess.PIPE, text=True, check=True)
    _, _, section = ran.stdout.partition("= figures =")
    assert section.count(": ") == 2
    assert "test_x.py::test_lateness: late: 9.5 to 10 ms\n" in section


def test_numbers_of_one_unit_become_a_range_and_others_a_list() -> None:
    assert span(["10 ms", "9.5 ms"]) == "9.5 to 10 ms"
    assert span(["1,000 lines", "2 lines"]) == "2 to 1,000 lines"
    assert span(["1,000 lines"]) == "1,000 lines"
    assert span(["a", "b"]) == "a; b"
    assert span(["1 s", "2 ms"]) == "1 s; 2 ms"
