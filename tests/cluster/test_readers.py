"""Readers of a hub that hears more than they take are waited for while they read, as on a hub alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.cluster.scene import hubs_of
from tests.cluster.support import a_broker
from tests.e2e.load import Habit, Readers, block
from tests.support import HubProcess, Peer, until

Hubs = Callable[[Path], AbstractContextManager[tuple[HubProcess, HubProcess, Path]]]
FLAGS = ("--write-only-port", "0", "--log-level", "debug")
READERS, TOTAL_BYTES = 5, 2_200_000
STEADY = Habit(bytes_per_s=60_000, buffer=32 * 1024)


@contextmanager
def two_hubs(folder: Path) -> Iterator[tuple[HubProcess, HubProcess, Path]]:
    """Where is talked, where is read, and the log of the latter."""
    with a_broker(folder) as broker, hubs_of(folder, 2 * [broker.url], "broadcast", *FLAGS) as (a, b):
        yield a, b, folder / "b.log"


@contextmanager
def one_hub(folder: Path) -> Iterator[tuple[HubProcess, HubProcess, Path]]:
    """The same of a hub alone."""
    seen, flags = folder / "alone.log", ("--mode", "broadcast", "--no-web", "--no-ws")
    with seen.open("wb") as log, HubProcess(*flags, *FLAGS, stderr=log) as hub:
        yield hub, hub, seen


@pytest.mark.long
@pytest.mark.parametrize("hubs", [one_hub, two_hubs])
def test_readers_at_a_steady_pace_are_not_closed(tmp_path: Path, hubs: Hubs) -> None:
    data = block()
    with hubs(tmp_path) as (talks, reads, log):
        with (
            Readers(reads.port, READERS, data, habit=STEADY) as readers,
            Peer(talks.write_only_port) as talker,
        ):
            until(lambda: log.read_text().count("event=accepted") >= READERS)
            with ThreadPoolExecutor(1) as worker:
                said = worker.submit(talker.send, data * (TOTAL_BYTES // len(data)))
                readers.read_until(TOTAL_BYTES, 70.0)
                said.result()
        assert "reason=slow_consumer" not in log.read_text()
