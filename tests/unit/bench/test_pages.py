"""How open pages are compared, and the whole comparison once in small."""

import os
import subprocess
import sys

import pytest

from bench.figures import distribution
from bench.pages import P999_MS, UPDATE_BYTES, WORST_MS, Pair, judge
from bench.tabs import SORTS, Seen, views
from hub.control.snapshots import ClientRow
from tests.support import ROOT


def pair(before_s: float, after_s: float) -> Pair:
    return distribution([before_s], 1), distribution([after_s], 1)


def test_the_medians_of_the_differences_decide() -> None:
    within = pair(0.001, 0.001 + 0.9 * P999_MS / 1000)
    beyond = pair(0.001, 0.001 + 1.1 * WORST_MS / 1000)
    assert judge([within], UPDATE_BYTES - 1)
    assert not judge([within], UPDATE_BYTES)
    assert not judge([beyond], 1)
    assert judge([within, beyond, within], 1)
    assert not judge([within], 0)  # No update at all is no success.


def test_tabs_sort_by_columns_that_there_are() -> None:
    assert set(SORTS) <= set(ClientRow.__struct_fields__)
    first = [view for view, _ in zip(views(), range(5), strict=False)]
    assert len({str(view["sort"]) for view in first}) == 5


def test_what_comes_is_counted() -> None:
    seen = Seen()
    assert not seen.take('{"kind":"hello"}')
    assert seen.take('{"kind":"update","trouble":"é"}')
    assert not seen.take(b'{"kind":"error","error":"x"}')
    assert (seen.updates, seen.troubles, seen.errors) == (1, 1, 1)
    assert seen.largest_bytes == len('{"kind":"update","trouble":"é"}'.encode())


@pytest.mark.long
def test_the_whole_comparison_runs() -> None:
    small = ["--clients", "200", "--tabs", "2", "--seconds", "3", "--pairs", "1"]
    cpus = sorted(os.sched_getaffinity(0))
    pinned = ["--hub-cpu", str(cpus[0]), "--load-cpu", str(cpus[-1])]
    command = [sys.executable, "-m", "bench.pages", *small, *pinned]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    assert "2 pages open" in ended.stdout and "p99.9 with pages minus without" in ended.stdout
