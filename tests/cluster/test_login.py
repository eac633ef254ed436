"""How a hub logs in to its cluster, and what it does where it cannot; a hub alone knows nothing of any."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.cluster.scene import ClusterHub
from tests.cluster.support import Broker, a_broker
from tests.e2e.chaos import Proxy, Toxic
from tests.support import HUBBUB, PATIENCE_S, ROOT, HubProcess, Peer, Record, until

USER, SECRET = "hub-a", "correct-horse"
WITH_LOGIN = f'authorization {{ users: [ {{ user: "{USER}", password: "{SECRET}" }} ] }}'
TRIES = 4
HOLE = Toxic(stopped=True)
LONG_LINE = b"x" * 7999 + b"\n"
LOAD_BYTES_PER_S = 6_000_000
NOTICED_S = 3.0
IMPORTED = re.compile(r"^import time:.*\|\s+(\S+)$", re.MULTILINE)


def login(folder: Path, secret: str) -> Path:
    """A file of two lines."""
    made = folder / "login"
    made.write_text(f"{USER}\n{secret}\n")
    return made


def refusals(broker: Broker, count: int) -> bool:
    """Whether the server has refused so many logins."""
    return broker.log_text().count("authentication error") >= count


@contextmanager
def a_hub(folder: Path, secret: str) -> Iterator[tuple[Broker, ClusterHub, Peer]]:
    """A hub that logs in with this password, and a client of it; the server wants another, or the same."""
    with a_broker(folder, WITH_LOGIN) as broker, ExitStack() as stack:
        creds = ("--cluster-creds", str(login(folder, secret)))
        hub = stack.enter_context(ClusterHub("a", broker.url, folder, *creds))
        yield broker, hub, stack.enter_context(hub.peer())


def test_login_that_is_right_links_the_hub(tmp_path: Path) -> None:
    with a_hub(tmp_path, SECRET) as (_, hub, peer):
        hub.wait_for_record("linked")
        peer.echo()
        assert hub.records(SECRET) == []


def test_login_that_is_wrong_is_one_clear_line(tmp_path: Path) -> None:
    with a_hub(tmp_path, "wrong-horse") as (broker, hub, peer):
        until(lambda: refusals(broker, TRIES))
        assert any("no link yet" in line for line in hub.start_lines)
        (record,) = hub.records("event=cluster")
        assert "Authorization Violation" in record and "level=warning" in record
        peer.send(b"hello\n")
        assert peer.line() == b"* the cluster does not answer; lines wait\n"
        assert hub.records("horse") == []
        allow(broker, "wrong-horse")
        assert peer.read_until(b"hello\n") == b"hello\n"
        assert peer.line() == b"* the cluster answers again; what waited is sent\n"


def allow(broker: Broker, secret: str) -> None:
    """From now on the server takes this password."""
    broker.kill()
    broker.configure(WITH_LOGIN.replace(SECRET, secret))
    broker.start()


def test_login_file_that_is_missing_ends_the_start(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    arguments = [
        "--cluster",
        "nats://127.0.0.1:1",
        "--cluster-creds",
        str(missing),
        "--no-web",
        "--port",
        "0",
    ]
    ended = subprocess.run(
        [*HUBBUB, "serve", *arguments], env={"PYTHONPATH": str(ROOT)}, cwd="/", capture_output=True,
        text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert ended.returncode != 0 and ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert "--cluster-creds" in line and str(missing) in line and "No such file" in line


@pytest.mark.parametrize("mode", ["broadcast", "chat"])
def test_hub_without_a_cluster_imports_nothing_of_it(tmp_path: Path, mode: str) -> None:
    program, seen = (sys.executable, "-X", "importtime", "-m", "hubbub"), tmp_path / "imports"
    with seen.open("wb") as log, HubProcess("--mode", mode, program=program, stderr=log) as hub:
        with hub.peer() as peer:
            peer.send(b"hello\n")
            peer.read_until(b"hello\n")
        assert hub.stop() == 0
    packages = {name.partition(".")[0] for name in IMPORTED.findall(seen.read_text())}
    assert {"hub", "web", "aiohttp"} <= packages
    assert not {"cluster", "nats", "nkeys"} & packages


def test_half_open_link_under_load_is_noticed_in_time(tmp_path: Path, record_property: Record) -> None:
    with a_broker(tmp_path) as broker, Proxy(broker.port) as proxy:
        url = f"nats://127.0.0.1:{proxy.port}"
        with ClusterHub("a", url, tmp_path, "--write-only-port", "0") as hub, ExitStack() as stack:
            talker = Talker(stack.enter_context(Peer(hub.write_only_port)))
            talker.talk_until(lambda: talker.said_bytes > 2 * LOAD_BYTES_PER_S)
            record_property("load before the black hole", f"{talker.bytes_per_s / 1e6:.1f} MB/s")
            proxy.poison(to_hub=HOLE, to_client=HOLE)
            begun_s = time.monotonic()
            talker.talk_until(lambda: hub.records("no link to the cluster"))
            noticed_s = time.monotonic() - begun_s
            record_property("a half-open link under load is noticed after", f"{noticed_s:.1f} s")
            assert noticed_s < NOTICED_S
            proxy.poison()
            hub.wait_for_record("linked", 2)


class Talker:
    """A client that says long lines at a pace."""

    def __init__(self, peer: Peer) -> None:
        peer.sock.setblocking(False)
        self.said_bytes = 0
        self._sock = peer.sock
        self._begun_s = time.monotonic()
        self._data = LONG_LINE * 64

    @property
    def bytes_per_s(self) -> float:
        """Since it was made."""
        return self.said_bytes / (time.monotonic() - self._begun_s)

    def talk_until(self, is_so: Callable[[], object]) -> None:
        """Talk until it is so; AssertionError when patience ends."""

        def look() -> object:
            due = LOAD_BYTES_PER_S * (time.monotonic() - self._begun_s) - self.said_bytes
            with suppress(BlockingIOError):
                while due > 0:
                    size = self._sock.send(memoryview(self._data)[self.said_bytes % len(LONG_LINE) :])
                    self.said_bytes, due = self.said_bytes + size, due - size
            return is_so()

        until(look)
