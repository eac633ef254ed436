"""CPU time and memory of processes, as /proc has them."""

import os
import subprocess
import sys

import psutil
import pytest

from bench.load.processes import Processes, wait_s
from bench.load.result import LoadError
from tests.support import until

BURN = "open('/proc/self/comm', 'w').write('a) R 1 (b'); sum(range(3_000_000)); print(flush=True); input()"
"""A child with a name that looks like the fields behind it."""


def test_cpu_and_memory_are_those_of_the_process() -> None:
    with subprocess.Popen([sys.executable, "-c", BURN], stdin=-1, stdout=-1) as child:
        assert child.stdout is not None and child.stdout.readline()
        seen, known = Processes([child.pid]), psutil.Process(child.pid)
        times = known.cpu_times()
        assert seen.cpu_s() == pytest.approx(times.user + times.system, abs=0.021) and seen.cpu_s() > 0.02
        assert seen.rss_bytes() == pytest.approx(known.memory_info().rss, rel=0.05)
        child.kill()


def test_several_processes_are_taken_together() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as child:
        one, both = Processes([os.getpid()]), Processes([os.getpid(), child.pid])
        until(lambda: both.rss_bytes() > one.rss_bytes() + (1 << 20))
        child.kill()


def test_a_process_that_is_not_there_is_named() -> None:
    with subprocess.Popen(["true"]) as child:
        pass
    with pytest.raises(LoadError, match=f"--pid: {child.pid}: no such process, or it has ended"):
        Processes([child.pid])


def test_no_process_costs_nothing() -> None:
    nobody = Processes([])
    assert not nobody and Processes([os.getpid()])
    assert (nobody.cpu_s(), nobody.rss_bytes(), nobody.wait_s()) == (0, 0, 0)


def test_waiting_for_a_core_is_seen() -> None:
    """Two that burn on one core wait for each other."""
    core = min(os.sched_getaffinity(0))
    burn = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: 0"]
    with subprocess.Popen(burn) as one, subprocess.Popen(burn) as other:
        try:
            until(lambda: wait_s(one.pid) > 0.05 and wait_s(other.pid) > 0.05)
        finally:
            one.kill()
            other.kill()
    assert wait_s(one.pid) == 0.0
