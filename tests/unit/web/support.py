"""A stand-in for the hub: a thread that answers the mailbox from made-up rows, and small HTTP clients."""

import http.client
import json
import logging
import os
import select
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from hub.config.settings import Settings
from hub.control.mailbox import Mailbox, WantClient, WantClosed, WantRooms, WantRows
from hub.control.snapshots import (
    Account,
    ClientCounts,
    ClientRow,
    ClosedClient,
    ClusterState,
    EventCounts,
    HubRow,
    InOut,
    LoopTimes,
    RoomRow,
    Summary,
)
from web.thread import WebThread


def make_summary(**changed: Any) -> Summary:
    summary = Summary(
        version="0.0.test", build="pure", uptime_s=3725.5, started_wall_s=1_700_000_000.0, taken_s=12.5,
        mode="chat", trigger="level", read="drain", idle_strategy="deadline", idle_timeout_s=300.0,
        draining=False, listeners=("127.0.0.1:9000", "[::1]:9000"), max_clients=10_000, rooms=2, turns=7,
        refused=2, clients=ClientCounts(open=3, accepted=1234567, peak=40), lingering=1, log_dropped=0,
        lines=InOut(in_=100, out=300), bytes=InOut(in_=5_000, out=15_000),
        events=EventCounts(in_=101, out=11, rdhup=5, hup=4, err=1, accept=9),
        syscalls={"epoll_wait": 900, "recv": 210, "send": 320}, closed={"idle": 3, "quit": 8},
        loop=LoopTimes(busy_s=2.5, turn_p99_ms=0.4, turn_max_ms=1.2),
        account=Account(owed=15_000, replayed=20, delivered=14_000, skipped=0, unsent=1_020),
    )  # fmt: skip
    return msgspec.structs.replace(summary, **changed)


COUNTED = dict.fromkeys(("lines_in", "lines_out", "bytes_in", "bytes_out"), 0)


def make_row(client_id: int, **changed: Any) -> ClientRow:
    names = {"transport": "tcp", "nick": f"guest-{client_id}", "room": "lobby", "state": "reading"}
    figures = {"age_s": 10.0, "idle_s": 1.0, "lag_bytes": 0, "outbox_bytes": 0}
    peer = f"127.0.0.1:{40_000 + client_id % 20_000}"
    return ClientRow(**{"id": client_id, "peer": peer, **COUNTED, **names, **figures, **changed})


def make_closed(client_id: int, **changed: Any) -> ClosedClient:
    names = {"peer": "127.0.0.1:50000", "transport": "tcp", "nick": f"guest-{client_id}", "room": "lobby"}
    why = {"reason": "idle", "detail": "after=300s", "due_s": 300.0, "decided_s": 300.004, "lateness_ms": 4.2}
    ended = {
        "closed_wall_s": 1_700_000_000.0 + client_id,
        "age_s": 312.0,
        "unsent_bytes": 0,
        "farewell": True,
    }
    return ClosedClient(**{"id": client_id, **names, **why, **ended, **COUNTED, **changed})


def make_room(name: str, clients: int) -> RoomRow:
    return RoomRow(name=name, clients=clients, lines=10, bytes=100, log_lines=5, log_bytes=50)


def make_hub(name: str, **changed: Any) -> HubRow:
    figures = {"clients": 3, "rooms": 2, "lines_in": 100, "lines_out": 900, "behind": 0}
    stream = {"ack_p50_ms": 0.8, "ack_p99_ms": 4.2, "gaps": 0, "resent": 0, "refused_lines": 0}
    return HubRow(**{"hub": name, "is_this": False, "beat_s": 0.4, **figures, **stream, **changed})


def make_cluster(*hubs: HubRow, **changed: Any) -> ClusterState:
    """The cluster as hub `a` sees it: hubs a and b, unless told."""
    rows = hubs or (make_hub("a", is_this=True, beat_s=0.0), make_hub("b"))
    link = {"is_linked": True, "unheard_s": 0.0, "waiting_bytes": 0, "applied": 70, "head": 70, "links": 1}
    missing = {"refused_messages": 0, "lost": 0, "forks": 0}
    return ClusterState(**{"hub": "a", "hubs": rows, **link, **missing, **changed})


class StandInHub:
    """Answers every question at once, from the lists that the test has set."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.rows: Sequence[ClientRow] = ()
        self.closed: Sequence[ClosedClient] = ()
        self.rooms: Sequence[RoomRow] = ()
        self.asked: list[str] = []
        self._mailbox = mailbox
        self._stop_event = os.eventfd(0)
        self._thread = threading.Thread(target=self._run, name="stand-in hub", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        os.eventfd_write(self._stop_event, 1)
        self._thread.join(5)
        os.close(self._stop_event)

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self._mailbox.bells[0], select.POLLIN)
        poller.register(self._stop_event, select.POLLIN)
        while all(fd != self._stop_event for fd, _ in poller.poll()):
            self.answer_all()

    def answer_all(self) -> None:
        for command in self._mailbox.take(64):
            self.asked.append(type(command).__name__)
            match command:
                case WantRows(reply=rows_reply):
                    rows_reply(list(self.rows))
                case WantClient(id=client_id, reply=client_reply):
                    client_reply(next((row for row in self.rows if row.id == client_id), None))
                case WantClosed(offset=offset, limit=limit, reply=closed_reply):
                    closed_reply((self.closed[offset : offset + limit], len(self.closed)))
                case WantRooms(offset=offset, limit=limit, reply=rooms_reply):
                    rooms_reply((self.rooms[offset : offset + limit], len(self.rooms)))


class Records(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.levels: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        self.levels.append(record.levelno)


class Clock:
    """Time as a number that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Served:
    """The real page over a stand-in hub, which says what no real one would. The test moves its time."""

    def __init__(self, port: int = 0, public_ws: str = "", **options: Any) -> None:
        self.mailbox = Mailbox()
        self.hub = StandInHub(self.mailbox)
        self.clock = Clock()
        names = ("Hub.Example", "one.example:7777")
        settings = Settings(web_port=port, allowed_hosts=names, public_ws=public_ws)
        self.page = WebThread(settings, self.mailbox, clock=self.clock, **options)
        self.url = ""

    def __enter__(self) -> "Served":
        self.hub.start()
        self.url = self.page.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.page.stop()
        self.hub.stop()
        self.mailbox.close()

    def publish(self, **changed: Any) -> None:
        self.page.gateway.publish(make_summary(**changed))

    def reset(self) -> None:
        """Nobody is there, and what the page knows of the rows is old."""
        self.hub.rows, self.hub.closed, self.hub.rooms = (), (), ()
        self.clock.now_s += 1.0
        self.publish()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def ask(url: str, path: str, method: str = "GET") -> Answer:
    """One request over a connection of its own."""
    host = f"localhost:{port_of(url)}"
    return ask_raw(url, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())


def handshake(url: str, lines: str, host: str = "") -> bytes:
    """RFC 6455, 1.2; `lines` are those about where it comes from."""
    return (
        f"GET /live HTTP/1.1\r\nHost: {host or f'localhost:{port_of(url)}'}\r\n{lines}"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class LiveTab:
    """A tab of the live page, as far as the wire goes."""

    def __init__(self, url: str) -> None:
        address, own = url.replace("http", "ws", 1) + "live", Origin(url.rstrip("/"))
        connecting = connect(address, origin=own, proxy=None, max_size=None, max_queue=None)
        self.ws = connecting.__enter__()
        self.hello = self.next("hello")

    def __enter__(self) -> "LiveTab":
        return self

    def __exit__(self, *_: object) -> None:
        self.ws.close()

    def send(self, **view: object) -> None:
        """A view."""
        self.ws.send(json.dumps(view))

    def next(self, kind: str = "update") -> dict[str, Any]:
        """The next message, which has to be of this kind."""
        message: dict[str, Any] = json.loads(self.ws.recv(timeout=10))
        assert message["kind"] == kind, message
        return message

    def until(self, look: Callable[[dict[str, Any]], object], kind: str = "update") -> dict[str, Any]:
        """The first message of this kind that looks right."""
        for _ in range(100):
            message: dict[str, Any] = json.loads(self.ws.recv(timeout=10))
            if message["kind"] == kind and look(message):
                return message
        raise AssertionError("a hundred messages, and not the one")

    def close_code(self) -> int | None:
        """What the server closes with, after all that it still had to say."""
        try:
            while True:
                self.ws.recv(timeout=10)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


def ask_raw(url: str, request: bytes) -> Answer:
    """The bytes as they are; whatever comes until the other side closes is the answer."""
    with socket.create_connection(("127.0.0.1", port_of(url)), timeout=10) as peer:
        peer.sendall(request)
        response = http.client.HTTPResponse(peer, method="HEAD" if request.startswith(b"HEAD ") else "GET")
        response.begin()
        return Answer(response.status, response.headers, response.read())
