"""Records made from counters and outboxes: each figure stands where its name says."""

from __future__ import annotations

import msgspec
import pytest

from hub import __version__
from hub.close_reasons import CloseReason
from hub.config.settings import Settings
from hub.control import snapshots as records
from hub.loop.snapshot_maker import account_record, client_row, queued_bytes, room_row, state
from hub.protocol.line_transport import LineTransport
from hub.rooms.accounting import Account
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


def test_a_row_shows_the_client_at_this_moment() -> None:
    assert client_row(busy_client(), "ann", now=12.0) == records.ClientRow(
        id=1,
        peer="192.0.2.1:1",
        transport="line",
        nick="ann",
        room="tea",
        age_s=10.0,
        idle_s=3.0,
        lines_in=1,
        lines_out=2,
        bytes_in=3,
        bytes_out=4,
        lag_bytes=len(b"first\nsecond\n"),
        outbox_bytes=len(b"* answer\necho\n"),
        state="reading",
    )


def test_a_row_tells_the_tag_of_a_browser() -> None:
    client = a_client(transport="websocket")
    client.inbox.transport = websocket()
    client.inbox.transport.tag = "k3j"
    assert client_row(client, "", now=1.0).tag == "k3j"
    assert isinstance(a_client().inbox.transport, LineTransport)
    assert client_row(a_client(), "", now=1.0).tag == ""


def test_times_in_a_row_are_cut_to_milliseconds() -> None:
    client = a_client(now=1.0)
    client.active_at = 2.0
    row = client_row(client, "", now=3.0019)
    assert (row.age_s, row.idle_s) == (2.001, 1.001)


def test_a_client_active_after_the_clock_was_read_is_idle_for_0() -> None:
    client = a_client()
    client.active_at = 9.5
    assert client_row(client, "", now=9.0).idle_s == 0.0


def test_an_echo_client_is_in_no_room() -> None:
    assert client_row(a_client(), "", now=1.0).room == ""


@pytest.mark.parametrize(
    ("reasons", "is_blocked", "phase", "words"),
    [
        (0, False, Phase.OPEN, "reading"),
        (0, False, Phase.OPENING, "opening"),
        (OUTBOX, False, Phase.OPEN, "paused: outbox"),
        (ROOM | RATE, False, Phase.OPEN, "paused: room, rate"),
        (ENDED, False, Phase.OPEN, "reading"),
        (0, True, Phase.OPEN, "blocked for 3 s"),
        (ROOM, True, Phase.OPEN, "blocked for 3 s, paused: room"),
        (0, True, Phase.FLUSHING, "closing"),
        (0, False, Phase.LINGERING, "closing"),
    ],
)
def test_the_state_says_how_both_sides_of_a_client_are(
    reasons: int, is_blocked: bool, phase: Phase, words: str
) -> None:
    client = a_client()
    client.phase = phase
    client.gate.add(reasons)
    if is_blocked:
        client.outbox.refused(1.5)
    assert state(client, now=5.0) == words


def test_a_client_with_a_close_reason_is_closing() -> None:
    client = a_client()
    client.close.reason = CloseReason.IDLE
    assert state(client, now=1.0) == "closing"


def test_state_of_a_slow_but_steady_reader_tells_its_last_sign() -> None:
    client = a_client()
    client.phase = Phase.OPEN
    client.outbox.refused(1.0)
    client.outbox.is_writable(60.0)
    assert state(client, now=62.5) == "blocked for 2 s"


def test_queued_is_what_is_owed_of_the_lag_and_of_the_items() -> None:
    client = busy_client()
    assert queued_bytes([client]) == len(b"first\nsecond\necho\n")
    take(client.outbox, 2)
    assert queued_bytes([client]) == len(b"rst\nsecond\necho\n")
    assert queued_bytes([client, busy_client()]) == 2 * len(b"first\nsecond\necho\n") - 2
    assert queued_bytes([]) == 0


def test_the_account_goes_over_field_by_field() -> None:
    account = Account()
    account.owed, account.replayed, account.delivered, account.skipped, account.unsent = 1, 2, 3, 4, 5
    assert account_record(account, 6) == records.Account(
        owed=1, replayed=2, delivered=3, skipped=4, unsent=5, queued=6
    )
    assert account_record(account).queued is None


def test_a_room_row_tells_what_was_said_and_what_the_log_holds() -> None:
    client = a_client()
    room = a_room(client, a_client(2))
    for line in (b"one", b"two", b"three"):
        room.append(line, SPEAKER)
        room.log.seal()
    room.trim(room.log.head, 1, 1 << 20)
    assert room_row(room) == records.RoomRow(
        name="tea", clients=2, lines=3, bytes=14, log_lines=1, log_bytes=6
    )


def test_the_summary_puts_each_figure_where_its_name_says() -> None:
    settings = Settings(mode="echo", trigger="edge", idle_strategy="sweep", idle_timeout_s=7.0, max_clients=9)
    with a_hub(settings) as hub:
        status = hub.status
        status.started_at, status.started_wall_s, status.log_dropped = 100.0, 5000.0, lambda: 11
        status.addresses = {"line": ("127.0.0.1:9000",), "websocket": ("127.0.0.1:9001",)}
        counters = hub.counters
        counters.accepted, counters.peak, counters.refused, counters.turns = 4, 3, 1, 50
        counters.lines_in, counters.lines_out, counters.bytes_in, counters.bytes_out = 21, 22, 23, 24
        counters.events_in, counters.events_out, counters.events_rdhup = 31, 32, 33
        counters.events_hup, counters.events_err, counters.events_accept = 34, 35, 36
        for turn_s in (0.25, 0.002):
            hub.turn_times.add(turn_s)
        hub.turn_times.close_interval()
        counters.closed[CloseReason.QUIT] += 2
        hub.connections.clients.update({1: a_client(1), 2: a_client(2)})
        hub.connections.closing[3] = a_client(3)
        hub.account.owed = 41
        made = hub.maker.summary(now=112.3456)
    assert made.version == __version__
    assert (made.uptime_s, made.started_wall_s, made.taken_s) == (12.346, 5000.0, 112.3456)
    assert (made.mode, made.trigger, made.read) == ("echo", "edge", "drain")
    assert (made.idle_strategy, made.idle_timeout_s, made.max_clients) == ("sweep", 7.0, 9)
    assert made.listeners == ("127.0.0.1:9000",)
    assert made.ws_listeners == ("127.0.0.1:9001",)
    assert (made.loop.busy_s, made.loop.turn_max_ms) == (0.252, 250.0)
    assert made.loop.turn_p99_ms == 250.0
    assert made.clients == records.ClientCounts(open=2, accepted=4, peak=3)
    assert made.lines == records.InOut(in_=21, out=22)
    assert made.bytes == records.InOut(in_=23, out=24)
    assert made.events == records.EventCounts(in_=31, out=32, rdhup=33, hup=34, err=35, accept=36)
    assert (made.turns, made.refused, made.lingering, made.log_dropped) == (50, 1, 1, 11)
    assert made.closed == {"quit": 2}
    assert (made.account.owed, made.account.queued) == (41, None)
    assert not made.draining


def test_the_summary_names_every_kind_of_system_call() -> None:
    with a_hub() as hub:
        made = hub.maker.summary(now=1.0)
    assert set(made.syscalls) == {
        "epoll_wait", "epoll_ctl", "accept", "recv", "send", "shutdown", "close"
    }  # fmt: skip


def test_a_summary_is_a_snapshot() -> None:
    with a_hub() as hub:
        before = hub.maker.summary(now=1.0)
        encoded = msgspec.json.encode(before)
        hub.counters.turns += 1
        hub.counters.closed[CloseReason.IDLE] += 1
        hub.sockets.calls["recv"] += 1
        hub.account.owed += 1
        assert msgspec.json.encode(before) == encoded
        assert hub.maker.summary(now=1.0) != before
