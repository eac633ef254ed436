"""The herd and its pump, against a hub on a thread."""

from collections.abc import Iterator

import pytest

from bench.bounds.herd import Herd
from tests.support import ThreadHub, until


@pytest.fixture
def herd() -> Iterator[Herd]:
    herd = Herd()
    yield herd
    herd.close()


def test_all_of_the_herd_are_served_what_one_says(herd: Herd) -> None:
    with ThreadHub(mode="chat", max_clients=0) as hub:
        told = herd.connect(f"127.0.0.1:{hub.port}", 50, websocket=False, answered=True)
        assert told["began_s"] <= told["accepted_s"] <= told["answered_s"]
        said = herd.say(3, every_s=0.01)
        assert herd.lines == 150
        assert all(served > 0 for served in said["served_s"])
        # The kernel has the last byte before the herd reads it; the clocks differ by a reading.
        assert all(
            served < read + 0.001 for served, read in zip(said["served_s"], said["read_s"], strict=True)
        )


def test_the_herd_shakes_hands_as_websockets(herd: Herd) -> None:
    with ThreadHub(mode="chat") as hub:
        herd.connect(f"127.0.0.1:{hub.ws_port}", 5, websocket=True, answered=True)
        assert not herd.silent  # Each has its answer.
        clients = list(hub.loop.hub.connections.clients.values())
        assert [client.transport for client in clients] == ["websocket"] * 5


def test_the_herd_expires_after_its_last_byte(herd: Herd) -> None:
    with ThreadHub(mode="echo", idle_timeout_s=0.5, idle_warning_s=0.0) as hub:
        herd.connect(f"127.0.0.1:{hub.port}", 20, websocket=False, answered=False)
        began_s = herd.touch(within_s=0.05)["began_s"]
        told = herd.wait_for_ends(within_s=20.0)
        assert (told["ended"], told["left"]) == (20, 0)
        assert began_s + 0.5 <= told["first_s"] <= told["last_s"]
        assert hub.ending()["reason"] == "idle"


@pytest.mark.parametrize("stalled", [0, 2])
def test_the_pump_counts_lines_of_those_who_read(herd: Herd, stalled: int) -> None:
    with ThreadHub(mode="broadcast", self_echo=None, slow="skip") as hub:
        herd.connect(f"127.0.0.1:{hub.port}", 8, websocket=False, answered=False)
        until(lambda: len(hub.loop.hub.connections.clients) == 8)
        told = herd.pump(0.3, writers=2, window=20, stalled=stalled)
        assert told["lines_per_s"] * 0.3 > 100
        assert 0 < told["slowest_per_s"] <= told["lines_per_s"] + 0.001  # Both are quotients.
