"""Records made from counters and outboxes: each figure stands where its name says."""

import msgspec
import pytest

from hub import BUILD, __version__
from hub.close_reasons import CloseReason
from hub.config.settings import Settings
from hub.control import snapshots as records
from hub.loop.snapshot_maker import client_row, room_row, state, summary
from hub.session.client import Client, Phase
from hub.session.read_gate import ENDED, OUTBOX, RATE, ROOM
from tests.unit.protocol.support import websocket
from tests.unit.support import SPEAKER, a_client, a_hub, a_room, take


def busy_client() -> Client:
    """A client that is owed lines of its room, and has items behind them."""
    client = a_client(now=2.0)
    client.active_at = 9.0
    client.inbox.lines_in, client.inbox.bytes_in = 1, 3
    client.outbox.lines_out, client.outbox.bytes_out = 2, 4
    room = a_room(client)
    room.append(b"first", SPEAKER)
    room.append(b"second", SPEAKER)
    room.log.seal()
    client.outbox.put(b"* answer\n")
    client.outbox.put(b"echo\n", owed=True)
    return client


def test_a_row_shows_the_client_with_times_cut_to_milliseconds() -> None:
    assert client_row(busy_client(), "ann", now=12.0019) == records.ClientRow(
        id=1, peer="192.0.2.1:1", transport="line", nick="ann", room="tea", age_s=10.001, idle_s=3.001,
        lines_in=1, lines_out=2, bytes_in=3, bytes_out=4, lag_bytes=len(b"first\nsecond\n"),
        outbox_bytes=len(b"* answer\necho\n"), state="reading",
    )  # fmt: skip


def test_a_row_tells_the_tag_of_a_browser() -> None:
    client = a_client(transport="websocket")
    client.inbox.transport = websocket()
    client.inbox.transport.tag = "k3j"
    assert client_row(client, "", now=1.0).tag == "k3j"


def test_a_client_active_after_the_clock_was_read_is_idle_for_0() -> None:
    client = a_client()
    client.active_at = 9.5
    row = client_row(client, "", now=9.0)
    assert (row.idle_s, row.room) == (0.0, "")


@pytest.mark.parametrize(
    ("reasons", "is_blocked", "phase", "ends", "words"),
    [
        (0, False, "open", None, "reading"),
        (0, False, "open", CloseReason.IDLE, "closing"),
        (0, False, "opening", None, "opening"),
        (OUTBOX, False, "open", None, "paused: outbox"),
        (ROOM | RATE, False, "open", None, "paused: room, rate"),
        (ENDED, False, "open", None, "reading"),
        (0, True, "open", None, "blocked for 3 s"),
        (ROOM, True, "open", None, "blocked for 3 s, paused: room"),
        (0, True, "flushing", None, "closing"),
        (0, False, "lingering", None, "closing"),
    ],
)
def test_the_state_says_how_both_sides_of_a_client_are(
    reasons: int, is_blocked: bool, phase: Phase, ends: CloseReason | None, words: str
) -> None:
    client = a_client()
    client.phase, client.ending.reason = phase, ends
    client.gate.add(reasons)
    if is_blocked:
        client.outbox.refused(1.5)
    assert state(client, now=5.0) == words


def test_state_of_a_slow_but_steady_reader_tells_its_last_sign() -> None:
    client = a_client()
    client.outbox.refused(1.0)
    client.outbox.is_writable(60.0)
    assert state(client, now=62.5) == "blocked for 2 s"


def test_queued_is_what_is_owed_of_the_lag_and_of_the_items() -> None:
    client = busy_client()
    assert client.outbox.queued_bytes == len(b"first\nsecond\necho\n")
    take(client.outbox, 2)
    assert client.outbox.queued_bytes == len(b"rst\nsecond\necho\n")


def test_a_room_row_tells_what_was_said_and_what_the_log_holds() -> None:
    client = a_client()
    room = a_room(client, a_client(2))
    for line in (b"one", b"two", b"three"):
        room.append(line, SPEAKER)
        room.log.seal()
    room.trim(room.log.chunks[2].start)
    assert room_row(room) == records.RoomRow(
        name="tea", clients=2, lines=3, bytes=14, log_lines=1, log_bytes=6
    )


def test_the_summary_puts_each_figure_where_its_name_says() -> None:
    settings = Settings(mode="echo", trigger="edge", idle_strategy="sweep", idle_timeout_s=7.0, max_clients=9)
    with a_hub(settings) as hub:
        status, counters = hub.status, hub.counters
        status.started_at, hub.log_dropped = 100.0, lambda: 11
        status.addresses = {"line": ("127.0.0.1:9000",), "websocket": ("127.0.0.1:9001",)}
        counters.accepted, counters.peak, counters.turns = 14, 3, 50
        counters.lines_in, counters.lines_out, counters.bytes_in, counters.bytes_out = 21, 22, 23, 24
        counters.events_in, counters.events_out, counters.events_rdhup = 31, 32, 33
        counters.events_hup, counters.events_err, counters.events_accept = 34, 35, 36
        counters.lines_discarded = 37
        for turn_s in (0.25, 0.002):
            hub.turn_times.add(turn_s)
        hub.turn_times.close_interval()
        for number, name in enumerate(("quit", "server_full", "origin_refused", "silent"), 2):
            counters.closed[CloseReason(name)] = number
        hub.connections.clients.update({1: a_client(1), 2: a_client(2)})
        hub.connections.closing[3] = a_client(3)
        account = hub.account
        account.owed, account.replayed, account.delivered = 41, 42, 43
        account.skipped, account.unsent, account.unsent_own = 44, 45, 46
        made = summary(hub, now=112.3456)
    calls = ("epoll_wait", "epoll_ctl", "accept", "recv", "send", "shutdown", "close")
    assert made == records.Summary(
        version=__version__, build=BUILD, uptime_s=12.346, started_wall_s=0.0, taken_s=112.3456, mode="echo",
        trigger="edge", read="drain", idle_strategy="sweep", idle_timeout_s=7.0, draining=False,
        listeners=("127.0.0.1:9000",), ws_listeners=("127.0.0.1:9001",), max_line_bytes=8192,
        max_clients=9,
        clients=records.ClientCounts(open=2, accepted=14, peak=3), rooms=1,
        lines=records.InOut(in_=21, out=22), lines_discarded=37, bytes=records.InOut(in_=23, out=24),
        events=records.EventCounts(in_=31, out=32, rdhup=33, hup=34, err=35, accept=36),
        syscalls=dict.fromkeys(calls, 0), turns=50,
        loop=records.LoopTimes(busy_s=0.252, turn_p99_ms=250.0, turn_max_ms=250.0), refused=7, lingering=1,
        account=records.Account(owed=41, replayed=42, delivered=43, skipped=44, unsent=45, unsent_own=46),
        closed={"quit": 2, "server_full": 3, "origin_refused": 4, "silent": 5}, log_dropped=11,
    )  # fmt: skip


def test_a_summary_is_a_snapshot() -> None:
    with a_hub() as hub:
        before = summary(hub, now=1.0)
        encoded = msgspec.json.encode(before)
        hub.counters.closed[CloseReason.IDLE] += 1
        hub.counters.turns += 1
        assert msgspec.json.encode(before) == encoded
