"""Records made from counters and positions: each figure stands where its name says."""

from __future__ import annotations

import msgspec
import pytest

from hub import __version__
from hub.close_reasons import CloseReason
from hub.config.settings import Settings
from hub.control import snapshots as records
from hub.loop.counters import account_record, client_row, queued_bytes, room_row, summary
from hub.rooms.accounting import Account
from hub.rooms.outbox import next_parts, take
from hub.session.client import Client, Phase
from tests.hub.test_client import SPEAKER, a_client, a_room
from tests.hub.test_delivery import a_hub


def busy_client() -> Client:
    """One that stands in the middle of a line, with a room and private output behind it."""
    client = a_client(
        nick="ann", joined_at=2.0, active_at=9.0, lines_in=1, lines_out=2, bytes_in=3, bytes_out=4
    )
    room = a_room(client)
    room.append(b"first", SPEAKER)
    room.append(b"second", SPEAKER)
    room.seal()
    client.put(b"* answer\n")
    client.put(b"echo\n", owed=True)
    return client


def test_a_row_shows_the_client_at_this_moment() -> None:
    assert client_row(busy_client(), now=12.0) == records.ClientRow(
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
        private_bytes=len(b"* answer\necho\n"),
        state="reading",
    )


def test_a_row_tells_the_tag_of_a_browser() -> None:
    assert client_row(a_client(tag="k3j"), now=1.0).tag == "k3j"


def test_times_in_a_row_are_cut_to_milliseconds() -> None:
    row = client_row(a_client(joined_at=1.0, active_at=2.0), now=3.0019)
    assert (row.age_s, row.idle_s) == (2.001, 1.001)


def test_a_client_active_after_the_reading_of_the_clock_is_idle_for_0() -> None:
    assert client_row(a_client(active_at=9.5), now=9.0).idle_s == 0.0


def test_an_echo_client_is_in_no_room() -> None:
    assert client_row(a_client(), now=1.0).room == ""


@pytest.mark.parametrize(
    ("client", "state"),
    [
        (a_client(), "reading"),
        (a_client(choked=True), "paused"),
        (a_client(held=True), "paused"),
        (a_client(phase=Phase.FLUSHING), "paused"),
        (a_client(deaf=True), "feed"),
        (a_client(deaf=True, choked=True), "feed"),
    ],
)
def test_the_state_says_whether_the_hub_reads_it(client: Client, state: str) -> None:
    assert client_row(client, now=1.0).state == state


def test_queued_is_lag_and_the_owed_part_of_everything_private() -> None:
    client, account = busy_client(), Account()
    assert queued_bytes([client]) == len(b"first\nsecond\necho\n")
    take(client, next_parts(client), 2, account)
    assert queued_bytes([client]) == len(b"rst\nsecond\necho\n")
    assert queued_bytes([client, busy_client()]) == 2 * len(b"first\nsecond\necho\n") - 2
    assert queued_bytes([]) == 0


def test_a_deaf_client_has_nothing_of_its_room_queued() -> None:
    client = busy_client()
    client.deaf = True
    assert queued_bytes([client]) == len(b"echo\n")


def test_the_account_goes_over_field_by_field() -> None:
    account = Account(owed=1, replayed=2, delivered=3, skipped=4, unsent=5)
    assert account_record(account, 6) == records.Account(
        owed=1, replayed=2, delivered=3, skipped=4, unsent=5, queued=6
    )
    assert account_record(account).queued is None


def test_a_room_row_tells_what_was_said_and_what_the_log_still_holds() -> None:
    client = a_client()
    room = a_room(client, a_client(2))
    for line in (b"one", b"two", b"three"):
        room.append(line, SPEAKER)
        room.seal()
    room.trim(room.end, 1, 1 << 20)
    assert room_row(room) == records.RoomRow(
        name="tea", clients=2, lines=3, bytes=14, log_lines=1, log_bytes=6
    )


def test_the_summary_puts_each_figure_where_its_name_says() -> None:
    settings = Settings(mode="echo", trigger="edge", idle_strategy="sweep", idle_timeout_s=7.0, max_clients=9)
    with a_hub(settings) as hub:
        hub.started_at, hub.started_wall_s, hub.addresses = 100.0, 5000.0, ("127.0.0.1:9000",)
        hub.log_dropped = lambda: 11
        counters = hub.counters
        counters.accepted, counters.peak, counters.refused, counters.turns = 4, 3, 1, 50
        counters.lines_in, counters.lines_out, counters.bytes_in, counters.bytes_out = 21, 22, 23, 24
        counters.events_in, counters.events_out, counters.events_rdhup = 31, 32, 33
        counters.events_hup, counters.events_err, counters.events_accept = 34, 35, 36
        hub.ws_addresses = ("127.0.0.1:9001",)
        for turn_s in (0.25, 0.002):
            hub.turn_times.add(turn_s)
        hub.turn_times.close_interval()
        counters.closed[CloseReason.QUIT] += 2
        hub.clients = {1: a_client(1), 2: a_client(2)}
        hub.by_fd = {**hub.clients, 3: a_client(3)}
        hub.account.owed = 41
        made = summary(hub, now=112.3456)
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
        made = summary(hub, now=1.0)
    assert set(made.syscalls) == {
        "epoll_wait", "epoll_ctl", "accept", "recv", "send", "shutdown", "close"
    }  # fmt: skip


def test_a_summary_is_a_snapshot() -> None:
    with a_hub() as hub:
        before = summary(hub, now=1.0)
        encoded = msgspec.json.encode(before)
        hub.counters.turns += 1
        hub.counters.closed[CloseReason.IDLE] += 1
        hub.sockets.calls["recv"] += 1
        hub.account.owed += 1
        assert msgspec.json.encode(before) == encoded
        assert summary(hub, now=1.0) != before
