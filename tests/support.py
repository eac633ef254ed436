"""What the tests share: a hub on a thread, a hub in a process, and clients with a blocking socket each.

Nothing here sleeps to wait for something: a reader waits for the bytes themselves, and `until` looks
again at a condition with a deadline that only a failing test ever reaches.
"""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

from hub import BUILD
from hub.close_reasons import CloseReason, told_to_people
from hub.config.settings import Settings
from hub.config.values import NO_RATE
from hub.control.mailbox import Mailbox, Stop
from hub.control.snapshots import Summary
from hub.loop.assembly import Hub, intake_of, limits_of
from hub.loop.event_loop import EventLoop
from hub.loop.limits import Budgets, Limits
from hub.net.poller import Poller
from hub.net.sockets import Sockets
from hub.rooms.registry import MakeRoom
from hub.rooms.room import Room
from hub.session.client import Client, Transport

T = TypeVar("T")
PAIRS = [("level", "once"), ("level", "drain"), ("edge", "drain")]
"""The trigger and read pairs that serve allows."""
each_pair = pytest.mark.parametrize(("trigger", "read"), PAIRS)
each_trigger = pytest.mark.parametrize("trigger", ["level", "edge"])
Record = Callable[[str, object], None]
"""What `record_property` is: figures of the run."""
PATIENCE_S = 20.0
ROOT = Path(__file__).resolve().parent.parent


def interpreted_only(why: str) -> pytest.MarkDecorator:
    """A test that the compiled build skips, for this reason."""
    return pytest.mark.skipif(BUILD == "compiled", reason=why)


def until(look: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """The first true thing that `look` answers; AssertionError when patience ends."""
    end = time.monotonic() + patience_s
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < end, f"still not so after {patience_s} s: {look}"
        time.sleep(0.002)


def bye(reason: str, detail: str = "", end: str = "\n") -> bytes:
    """The farewell line that a client gets, with its sentence."""
    return f"* bye {told_to_people(CloseReason(reason), detail)}{end}".encode()


def queued_bytes(clients: Iterable[Client]) -> int:
    """Canonical bytes that these clients are still owed, worked out from their outboxes."""
    return sum(client.outbox.queued_bytes for client in clients)


class Peer:
    """A client with a plain blocking socket: what it got and has not been asked for waits in `seen`."""

    def __init__(self, port: int, host: str = "127.0.0.1", *, receive_buffer: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect((host, port))
        self.seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def fileno(self) -> int:
        """For select(2) and its like."""
        return self.sock.fileno()

    def send(self, data: bytes) -> None:
        """All of it."""
        self.sock.sendall(data)

    def read_until(self, end: bytes) -> bytes:
        """Everything up to and with `end`."""
        while end not in self.seen:
            data = self.sock.recv(65536)
            assert data, f"closed before {end!r}; got {self.seen[-300:]!r}"
            self.seen += data
        cut = self.seen.index(end) + len(end)
        got, self.seen = self.seen[:cut], self.seen[cut:]
        return got

    def line(self) -> bytes:
        """One line with its end."""
        return self.read_until(b"\n")

    def echo(self, line: bytes = b"hello\n") -> None:
        """A line there and back."""
        self.send(line)
        got = self.line()
        assert got == line, got

    def read(self, size: int) -> bytes:
        """Exactly this many bytes."""
        while len(self.seen) < size:
            data = self.sock.recv(1 << 20)
            assert data, f"closed after {len(self.seen)} of {size} bytes"
            self.seen += data
        got, self.seen = self.seen[:size], self.seen[size:]
        return got

    def rest(self) -> bytes:
        """Everything up to the hub's end of stream."""
        while data := self.sock.recv(1 << 20):
            self.seen += data
        got, self.seen = self.seen, b""
        return got

    def nothing_waits(self) -> bool:
        """Whether there is nothing to read at this moment."""
        self.sock.setblocking(False)
        try:
            return not self.seen and not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            self.sock.settimeout(PATIENCE_S)

    def half_close(self) -> None:
        """End of stream to the hub; reading goes on."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """FIN, or RST when something was left unread."""
        self.sock.close()


class ThreadHub:
    """The real loop on a thread of the test, on a port of its own. Records are there to be looked at."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        budgets: Budgets | None = None,
        sockets: Sockets | None = None,
        clock: Callable[[], float] = time.monotonic,
        limits: Limits | None = None,
        make_room: MakeRoom = Room,
        poller: Poller | None = None,
        **changes: Any,
    ) -> None:
        base = settings or Settings(
            host="127.0.0.1",
            port=0,
            ws_port=0,
            web=False,
            mode="broadcast",
            drain_s=2.0,
            line_rate=NO_RATE,
            self_echo=True,
        )
        self.settings = replace(base, **changes)
        self.mailbox = Mailbox()
        self.summaries: list[Summary] = []
        self.log: list[tuple[str, dict[str, object]]] = []
        self.poller = Poller(self.settings.trigger) if poller is None else poller  # An empty one is false.
        hub = Hub(
            self.settings, limits or limits_of(self.settings), intake_of(self.settings),
            sockets or Sockets(), self.poller, clock,
            self._note, self.summaries.append, steady_clock=clock,
            budgets=budgets or Budgets(), make_room=make_room,
        )  # fmt: skip
        self.loop = EventLoop(hub, self.mailbox)
        self.port = int(self.loop.listen()[0].rsplit(":", 1)[1])
        self.ws_port = self._port_of("websocket")
        self.read_only_port = self._port_of("read-only")
        self.write_only_port = self._port_of("write-only")
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        self.poller.close()
        self.mailbox.close()
        if kind is None:
            assert self.failure is None, self.failure
            faults = [fields for event, fields in self.log if event == "fault"]
            assert not faults, faults
            self.assert_books_balance()

    def stop(self) -> None:
        """Drain, and wait for the end."""
        if self._thread.is_alive():
            self.mailbox.post(Stop())
            self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the hub did not end"

    def peer(self, **options: Any) -> Peer:
        """A new client of this hub."""
        return Peer(self.port, **options)

    def peers(self, count: int, **options: Any) -> list[Peer]:
        """Some new clients, accepted when this returns."""
        before = self.loop.hub.counters.accepted
        made = [self.peer(**options) for _ in range(count)]
        until(lambda: self.loop.hub.counters.accepted >= before + count)
        return made

    def endings(self) -> list[dict[str, Any]]:
        """The log records of ends so far, oldest first."""
        return [fields for event, fields in self.log if event == "closed"]

    def ending(self, count: int = 1) -> dict[str, Any]:
        """The record of the count-th end, once it is there."""
        return until(lambda: self.endings()[count - 1 : count])[0]

    def reasons(self) -> dict[str, int]:
        """How many ended for which reason so far."""
        return dict(Counter(str(ending["reason"]) for ending in self.endings()))

    def open_clients(self) -> int:
        """How many are in a room."""
        return sum(len(room.subscribers) for room in self.loop.hub.rooms.all())

    def assert_books_balance(self) -> None:
        """Promise 6, on a hub that has ended: connections to the unit, bytes to the byte."""
        hub = self.loop.hub
        counters = hub.counters
        assert counters.accepted == len(hub.connections.clients) + sum(counters.closed.values())
        books, queued = hub.account, queued_bytes(hub.connections.by_fd.values())
        assert books.owed + books.replayed == books.delivered + books.skipped + books.unsent + queued

    def _note(self, event: str, *, like: object = None, **fields: object) -> None:
        self.log.append((event, fields))

    def _port_of(self, transport: Transport) -> int:
        """0 where there is none."""
        addresses = self.loop.hub.status.addresses.get(transport)
        return int(addresses[0].rsplit(":", 1)[1]) if addresses else 0

    def _run(self) -> None:
        try:
            self.loop.run()
        except BaseException as failure:  # handed to the test's thread, which raises it
            self.failure = failure


HUBBUB = (sys.executable, "-m", "hubbub")
_LISTENER = re.compile(r"hubbub: (?P<what>(?:read-only |write-only )?lines|websockets) on \S+:(?P<port>\d+)$")


class HubProcess:
    """`hubbub serve` or `demo` as a process of its own, on free ports that are read from its start lines."""

    def __init__(
        self,
        *flags: str,
        prefix: Sequence[str] = (),
        program: Sequence[str] = HUBBUB,
        command: str = "serve",
        **popen: Any,
    ) -> None:
        arguments = [*prefix, *program, command, "--port", "0", *flags]
        if "--line-rate" not in flags:  # Tests talk faster than people.
            arguments += ["--line-rate", "0"]
        if not {"--self-echo", "--no-self-echo"} & set(flags):  # Tests see their own lines in every mode.
            arguments += ["--self-echo"]
        if not {"--no-web", "--web-port"} & set(flags):
            arguments += ["--web-port", "0"]
        if not {"--no-ws", "--ws-port"} & set(flags):
            arguments += ["--ws-port", "0"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        options: dict[str, Any] = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.DEVNULL,
            "cwd": "/",
            "env": environment,
        } | popen
        self.process: subprocess.Popen[bytes] = subprocess.Popen(arguments, **options)
        self.start_lines: list[str] = []
        self.port = self.ws_port = self.read_only_port = self.write_only_port = 0
        self.url = ""
        assert self.process.stdout is not None
        for raw in iter(self.process.stdout.readline, b""):
            line = raw.decode()
            self.start_lines.append(line)
            if found := _LISTENER.search(line):
                name = found["what"].replace("lines", "port").replace("websockets", "ws_port")
                setattr(self, name.replace("-", "_").replace(" ", "_"), int(found["port"]))
            if found := re.search(r"page on (\S+)", line):
                self.url = found[1]
            if "at most" in line:  # the last of the start lines
                break
        assert self.port, f"the hub did not start: {self.start_lines}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def peer(self, **options: Any) -> Peer:
        """A new client of this hub."""
        return Peer(self.port, **options)

    def get(self, path: str) -> Any:
        """What the page's JSON API answers."""
        with urllib.request.urlopen(self.url + path.lstrip("/"), timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def summary(self) -> dict[str, Any]:
        """The totals as last published, which is once a second."""
        summary: dict[str, Any] = self.get("/api/summary")
        return summary

    def open_clients(self) -> int:
        """How many are connected."""
        return int(self.summary()["clients"]["open"])

    def wait_open(self, count: int) -> None:
        """Until so many clients are connected."""
        until(lambda: self.open_clients() == count)

    def reasons(self) -> dict[str, int]:
        """How many ended for which reason so far."""
        return {reason: count for reason, count in self.summary()["closed"].items() if count}

    def closed(self, accepted: int, still_open: int = 0) -> dict[str, int]:
        """How many ended for which reason, once so many came and so many are left; and the books balance."""

        def settled() -> bool:
            summary = self.summary()
            clients = summary["clients"]
            now = clients["accepted"], clients["open"], summary["lingering"]
            return bool(now == (accepted, still_open, 0))

        until(settled)
        counts, account = self.reasons(), self.summary()["account"]
        assert sum(counts.values()) + still_open == accepted, counts
        left = account["delivered"] + account["skipped"] + account["unsent"]
        assert still_open or account["owed"] + account["replayed"] == left, account
        return counts

    def log(self) -> str:
        """All that it wrote to a stderr of its own (`stderr=subprocess.PIPE`), once it has ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Ask it to end; the exit code."""
        self.process.send_signal(signum)
        return self.process.wait(PATIENCE_S)

    def stand_still(self) -> None:
        """It does nothing until `go_on`; the kernel goes on taking connections and bytes for it."""
        self.process.send_signal(signal.SIGSTOP)
        # The signal is sent before every thread has stopped.
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def go_on(self) -> None:
        """After `stand_still`: what happened meanwhile has happened at once for it."""
        self.process.send_signal(signal.SIGCONT)

    def cpu_s(self) -> float:
        """Processor seconds, user and system, that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self) -> int:
        """Resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        """How many descriptors it holds."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@contextmanager
def closing(peers: Sequence[Peer]) -> Iterator[Sequence[Peer]]:
    """These clients, closed at the end whatever happens."""
    try:
        yield peers
    finally:
        for peer in peers:
            peer.close()
