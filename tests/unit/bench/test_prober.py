"""The prober, against hubs that answer, stand still, or leave."""

import itertools
import json
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from bench.prober import Prober
from tests.support import ROOT, ThreadHub

INTERVAL_S = 0.002
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def answering(there: socket.socket, change: Callable[[bytes], bytes] = bytes) -> threading.Thread:
    """A thread that sends everything back, for as long as the prober is there."""

    def echo() -> None:
        with suppress(OSError):  # The test may end while an answer is under way.
            while data := there.recv(65536):
                there.sendall(change(data))

    thread = threading.Thread(target=echo, daemon=True)
    thread.start()
    return thread


def noisy(data: bytes) -> bytes:
    """Notices, and lines of others that look like answers, around the answers."""
    return b"* a notice\nprobe-1-7\n" + data.replace(b"probe-", b"<guest-1> probe-")


@pytest.mark.parametrize("change", [bytes, noisy])
def test_every_line_has_its_time(pair: Pair, change: Callable[[bytes], bytes]) -> None:
    answering(pair[1], change)
    prober = Prober(pair[0], INTERVAL_S, 50, time.perf_counter)
    prober.run()
    assert all(0 < answer < 1 for answer in prober.times_s)
    assert all(late <= answer for late, answer in zip(prober.lateness_s, prober.times_s, strict=True))


def test_a_stop_of_the_hub_costs_every_line_that_was_due_in_it(pair: Pair) -> None:
    def stop_once(data: bytes) -> bytes:
        if next(seen) == 10:
            time.sleep(0.1)  # the stop itself
        return data

    seen = itertools.count()
    answering(pair[1], stop_once)
    prober = Prober(pair[0], INTERVAL_S, 200, time.perf_counter)
    prober.run()
    assert sum(answer > 0.03 for answer in prober.times_s) >= 25  # 70 ms of it, a line every 2 ms; some slack


def test_a_prober_that_is_late_says_so_and_counts_from_the_plan(pair: Pair) -> None:
    """Its clock jumps by half a second now and then, as if it had not been let run."""
    answering(pair[1])
    readings = itertools.count()
    offset = 0.0

    def clock() -> float:
        nonlocal offset
        offset += 0.5 if next(readings) == 40 else 0.0
        return time.perf_counter() + offset

    prober = Prober(pair[0], INTERVAL_S, 300, clock)
    prober.run()
    assert max(prober.lateness_s) > 0.4
    assert max(prober.times_s) >= max(prober.lateness_s)


def test_lines_that_never_come_back_are_infinite(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.prober.GRACE_S", 0.1)
    prober = Prober(pair[0], INTERVAL_S, 10, time.perf_counter)
    prober.run()
    assert list(prober.times_s) == [math.inf] * 10


def test_a_hub_that_leaves_is_an_error(pair: Pair) -> None:
    pair[1].close()
    with pytest.raises(OSError, match=r"closed|Broken pipe|reset"):
        Prober(pair[0], INTERVAL_S, 10, time.perf_counter).run()


def test_the_program_tells_every_time_of_lines_said_in_a_room() -> None:
    with ThreadHub(mode="chat") as hub:
        command = [sys.executable, "-m", "bench.prober", "--port", str(hub.port), "--seconds", "0.4"]
        command += ["--interval-ms", "20", "--raw", "--first", "/join probe"]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
        times_s = json.loads(said.stdout)
        assert len(times_s) == 20
        assert all(0 < time_s < 10 for time_s in times_s)
        assert hub.ending()["room"] == "probe"
