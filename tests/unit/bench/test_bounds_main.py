"""The whole measurement once in small."""

import json
import os
import subprocess
import sys

import pytest

from bench.bounds.__main__ import ALLOWED, RUNS, main
from tests.support import ROOT


def test_every_bound_belongs_to_a_scenario() -> None:
    assert set(ALLOWED) <= set(RUNS)


def test_two_builds_of_one_name_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--hub", "a/hubbub serve", "--hub", "b/hubbub serve"])
    assert "names of their own" in capsys.readouterr().err


def test_a_hub_that_does_not_start_is_told_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    command = f"{sys.executable} -c 'raise SystemExit(3)'"
    assert main(["--hub", command, "--rounds", "1", "--only", "memory-echo"]) == 1
    assert "the hub did not start" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.timeout(240)
def test_every_scenario_brings_the_figures_that_are_judged() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    pinned = ["--hub-cpu", str(cpus[0]), "--load-cpu", str(cpus[-1])]
    small = ["--scale", "0.01", "--rounds", "1", "--lines", "2", "--idle-s", "3", "--stall-s", "2"]
    hub = ["--hub", f"{sys.executable} -m hubbub serve"]
    command = [sys.executable, "-m", "bench.bounds", *hub, *small, *pinned, "--json"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["spoiled"] == [], ended.stderr
    figures = {each["scenario"]: set(each["rounds"][0]) for each in told["results"]}
    assert set(figures) == set(RUNS)
    assert {
        name: set(rules) - figures[name] for name, rules in ALLOWED.items() if set(rules) - figures[name]
    } == {}
