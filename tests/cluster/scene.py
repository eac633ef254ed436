"""A scene: three real hubs of one cluster, each with clients."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tests.cluster.crowd import Follower, Speakers, Witness
from tests.support import HubProcess, until

T = TypeVar("T")
HUBS = "abc"
CLIENTS = 20
"""On each hub."""
PATIENT = ("--max-lag", "64MiB")
"""For hubs that hear at once what waited in a long silence, so that nobody is closed for being slow."""


class ClusterHub(HubProcess):
    """`hubbub serve` with a part in a cluster. Its log is a file, which its next life goes on with."""

    def __init__(
        self, name: str, url: str, folder: Path, *flags: str, mode: str = "broadcast", **more: Any
    ) -> None:
        self.name, self.mode, self._log = name, mode, folder / f"{name}.log"
        self.another_life = partial(ClusterHub, name, url, folder, *flags, mode=mode, **more)
        of_cluster = ("--cluster", url, "--hub-name", name, "--mode", mode, "--no-web", "--no-ws")
        with self._log.open("ab") as log:
            super().__init__(*of_cluster, *flags, stderr=log, **more)

    def records(self, part: str = "event=cluster") -> list[str]:
        """The lines of its log that have this in them."""
        return [line for line in self._log.read_text().splitlines() if part in line]

    def wait_for_record(self, part: str, count: int = 1) -> float:
        """Until so many such lines are there; when that was seen, on the monotonic clock."""
        until(lambda: len(self.records(part)) >= count)
        return time.monotonic()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()


class Scene(Speakers):
    """Three hubs, and their clients, who have heard one another."""

    def __init__(
        self, stack: ExitStack, hubs: Sequence[ClusterHub], lines_per_s: int, filler: bytes, clients: int
    ) -> None:
        super().__init__(lines_per_s, filler)
        self.hubs = list(hubs)
        self._stack, self._clients, self._lives = stack, clients, 0
        for hub in hubs:
            self.come(hub, self._names(hub), Follower, hub.mode)
        self.begin()

    def kill(self, number: int) -> None:
        """kill -9 of a hub, which cuts its clients."""
        name = self.hubs[number].name.encode()
        self.cut |= {each for each in self.alive if each.name.startswith(name)}
        self.hubs[number].kill()

    def bring_back(self, number: int) -> None:
        """A new life of a hub that was killed, with new clients; the others talk meanwhile."""
        old = self.hubs[number]
        made = self.meanwhile(old.another_life)
        hub = self.hubs[number] = self._stack.enter_context(made)
        self._lives += 1
        self.come(hub, self._names(hub), Witness, hub.mode)

    def meanwhile(self, work: Callable[[], T]) -> T:
        """Talk while somebody does this; its result."""
        with ThreadPoolExecutor(1) as worker:
            result = worker.submit(work)
            self.speak_until(result.done)
        return result.result()

    def _names(self, hub: ClusterHub) -> list[str]:
        first = self._clients * self._lives
        return [f"{hub.name}{number}" for number in range(first, first + self._clients)]


@contextmanager
def hubs_of(
    folder: Path, urls: Sequence[str], mode: str, *flags: str, **more: Any
) -> Iterator[list[ClusterHub]]:
    """A hub for each of these addresses, named a, b, c; they start at the same time."""
    with ExitStack() as stack:
        with ThreadPoolExecutor(len(urls)) as starter:
            made = [
                starter.submit(ClusterHub, name, url, folder, *flags, mode=mode, **more)
                for name, url in zip(HUBS, urls, strict=False)
            ]
        yield [stack.enter_context(each.result()) for each in made]


@contextmanager
def a_scene(
    folder: Path, urls: Sequence[str], mode: str, *flags: str, lines_per_s: int = 4000, filler: bytes = b".",
    clients: int = CLIENTS,
) -> Iterator[Scene]:  # fmt: skip
    """Three hubs with clients, for the time of the body."""
    with ExitStack() as stack:
        hubs = stack.enter_context(hubs_of(folder, urls, mode, *flags))
        yield stack.enter_context(Scene(stack, hubs, lines_per_s, filler, clients))
