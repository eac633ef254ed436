"""Line clients and WebSocket clients in one room hear the same lines in the same order, under load."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest

from tests.support import PAIRS, ROOT, HubProcess, until

pairs = pytest.mark.parametrize(("trigger", "read"), PAIRS)


def closed(hub: HubProcess) -> dict[str, int]:
    """Connections by the reason of their end, as last published."""
    return {reason: count for reason, count in hub.get("/api/summary")["closed"].items() if count}


def assert_all_hear_the_same(trigger: str, read: str, *, each: int, lines: int) -> None:
    """So many clients of each kind, of whom some say so many lines each; tests/e2e/crowd.py compares."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    with HubProcess("--mode", "broadcast", "--trigger", trigger, "--read", read) as hub:
        asked = {"port": hub.port, "ws_port": hub.ws_port, "each": each, "lines": lines, "seed": seed}
        command = [sys.executable, "-m", "tests.e2e.crowd", json.dumps(asked)]
        crowd = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert crowd.returncode == 0, crowd.stderr[-3000:]
        print(crowd.stdout)
        assert json.loads(crowd.stdout)["members"] == 2 * each
        until(lambda: sum(closed(hub).values()) == 2 * each)
        assert closed(hub) == {"peer_closed": 2 * each}
        # The kernel refused bytes of some, so that lines and frames were cut and went on.
        assert hub.get("/api/summary")["events"]["out"] > 0
        assert hub.stop() == 0


@pytest.mark.promise("order-one-sequence")
@pairs
def test_a_hundred_clients_of_both_kinds_hear_one_sequence(trigger: str, read: str) -> None:
    assert_all_hear_the_same(trigger, read, each=50, lines=30)


@pytest.mark.promise("order-one-sequence")
@pytest.mark.long
@pytest.mark.timeout(400)
@pairs
def test_two_thousand_clients_of_both_kinds_hear_one_sequence(trigger: str, read: str) -> None:
    assert_all_hear_the_same(trigger, read, each=1000, lines=2)
