"""The close log: closed clients newest first, a bounded number of them, each with its whole summary."""

import sys

import pytest

from hub.close_reasons import CloseReason
from hub.control.snapshots import ClosedClient
from hub.loop.close_log import STRANGERS_KEPT, CloseLog, entry_of
from hub.loop.core import Status
from hub.session.client import Client
from tests.unit.support import a_client

Records = list[dict[str, object]]


def a_closed_client(id: int = 1, reason: CloseReason = CloseReason.QUIT, address: str = "") -> Client:
    """A client; where it has an address, a stranger from there."""
    client = a_client(id)
    client.ending.reason = reason
    if address:
        client.address, client.ending.is_stranger = address, True
    return client


def a_log_of(*clients: Client) -> tuple[CloseLog, Records]:
    """A close log of these clients, and the log records that it wrote."""
    records: Records = []
    dates = Status(0.0, lambda: 1000.0, lambda: 0.0)
    log = CloseLog(lambda event, **fields: records.append({"event": event, **fields}), dates)
    for client in clients:
        log.record(client, now=5.0)
    return log, records


def log_of_clients(count: int) -> CloseLog:
    """One after another, with ids from 1 on."""
    return a_log_of(*map(a_closed_client, range(1, count + 1)))[0]


@pytest.mark.parametrize(
    ("offset", "limit", "page"),
    [(0, 2, [5, 4]), (1, 3, [4, 3, 2]), (4, 10, [1]), (5, 10, []), (0, 0, []), (0, 100, [5, 4, 3, 2, 1])],
)
def test_a_page_is_newest_first_from_its_offset(offset: int, limit: int, page: list[int]) -> None:
    assert [entry.id for entry in log_of_clients(5).page(offset, limit)] == page


def test_ten_thousand_are_kept_and_then_the_oldest_goes() -> None:
    log = log_of_clients(10_003)
    assert len(log) == 10_000
    assert [entry.id for entry in (*log.page(0, 1), *log.page(9_999, 5))] == [10_003, 4]


@pytest.mark.promise("close-strangers")
@pytest.mark.parametrize("offset", range(8))
@pytest.mark.parametrize("limit", [0, 1, 3, 9])
@pytest.mark.parametrize("strange", [set(), {1}, {3, 4}, {7}, {1, 2, 4, 7}, set(range(1, 8))], ids=str)
def test_strangers_stand_among_clients_in_their_order(strange: set[int], limit: int, offset: int) -> None:
    clients = [a_closed_client(id, address=f"a{id}" if id in strange else "") for id in range(1, 8)]
    log, _ = a_log_of(*clients)
    assert len(log) == 7
    assert [entry.id for entry in log.page(offset, limit)] == [*range(7, 0, -1)][offset : offset + limit]


@pytest.mark.promise("close-strangers")
def test_strangers_push_no_client_out_of_the_close_log() -> None:
    """Of each address and reason the newest is kept, and of few of these."""
    log = log_of_clients(10_000)
    for number in range(20_000):
        log.record(a_closed_client(20_000 + number, address=f"10.0.{number % 3}.1"), now=6.0)
    assert [entry.id for entry in log.page(0, 5)] == [39_999, 39_998, 39_997, 10_000, 9_999]
    for number in range(2 * STRANGERS_KEPT):
        log.record(a_closed_client(50_000 + number, address=f"10.1.0.{number}"), now=7.0)
    assert len(log) == 10_000 + STRANGERS_KEPT
    newest = 50_000 + 2 * STRANGERS_KEPT - 1
    ids = [entry.id for entry in log.page(0, 20_000)]
    assert ids == [*range(newest, newest - STRANGERS_KEPT, -1), *range(10_000, 0, -1)]
    log.record(a_closed_client(90_000), now=8.0)
    assert [entry.id for entry in (*log.page(0, 2), *log.page(len(log) - 1, 2))] == [90_000, newest, 2]


def test_one_address_has_an_entry_for_each_reason() -> None:
    reasons = [CloseReason.IDLE, CloseReason.PER_IP_LIMIT, CloseReason.IDLE]
    log, _ = a_log_of(*(a_closed_client(id, reason, "::1") for id, reason in enumerate(reasons)))
    assert [(entry.id, entry.reason) for entry in log.page(0, 9)] == [(2, "idle"), (1, "per_ip_limit")]


@pytest.mark.promise("close-strangers")
def test_each_entry_of_a_client_is_a_log_record_by_itself() -> None:
    _, records = a_log_of(a_closed_client(1), a_closed_client(2))
    assert [(record["event"], record["id"]) for record in records] == [("closed", 1), ("closed", 2)]
    assert all(set(record) == {"event", *ClosedClient.__struct_fields__} for record in records)


def test_records_of_strangers_are_alike_by_their_reason() -> None:
    _, [record] = a_log_of(a_closed_client(1, CloseReason.WRONG_PROTOCOL, "::1"))
    assert (record["like"], record["id"]) == ({"reason": "wrong_protocol"}, 1)


@pytest.mark.promise("close-silent")
def test_a_silent_end_is_told_at_debug_level_and_not_kept() -> None:
    log, [record] = a_log_of(a_closed_client(1, CloseReason.SILENT, "::1"))
    assert (record["level"], record["id"], len(log), log.page(0, 9)) == ("debug", 1, 0, ())


@pytest.mark.promise("close-log-time")
@pytest.mark.parametrize(
    ("passed_s", "set_s"),
    [(0, 0), (50, 0), (50, 3600), (50, -3600), (50, 0.9), (3600, 0), (3600, -1.7e9)],
    ids=["at once", "later", "set on", "set back", "slewed", "suspended", "from 2023 to 1970"],
)
def test_closes_are_dated_by_the_wall_clock_of_now(passed_s: float, set_s: float) -> None:
    """The steady clock goes on while the loop's stands still, as in a suspend. All to within a second."""
    now, wall = [1000.0], [1.7e9]
    status = Status(1.0, lambda: wall[0], lambda: now[0])
    log = CloseLog(lambda event, **_: None, status)
    for id in (1, 2):
        client = a_client(id)
        client.ending.reason = CloseReason.QUIT
        log.record(client, now=7.0)
        now[0] += 10
        wall[0] += 10
    now[0] += passed_s
    wall[0] += passed_s + set_s
    dated = [entry.closed_wall_s for entry in log.page(0, 2)]
    assert dated == pytest.approx([wall[0] - passed_s - 10, wall[0] - passed_s - 20], abs=0.01)
    assert abs(status.started_wall_s - (wall[0] - passed_s - 20)) < 1


def test_an_entry_has_the_clients_whole_summary() -> None:
    client = a_client(7, now=2.0)
    close, inbox, outbox, losses = client.ending, client.inbox, client.outbox, client.outbox.losing
    close.reason, close.detail = CloseReason.SLOW_CONSUMER, "lag=1048577"
    close.nick, close.room = "ann", "tea"
    inbox.lines_in, inbox.bytes_in = 1, 3
    outbox.lines_out, outbox.bytes_out = 2, 4
    losses.unsent_bytes, losses.unsent_item_bytes = 5, 6
    losses.skipped_lines, losses.skipped_bytes, outbox.farewell_sent = 7, 8, True
    assert entry_of(client, wall_s=1_700_000_000.12345, now=12.34567) == ClosedClient(
        id=7, peer="192.0.2.1:7", transport="line", nick="ann", room="tea",
        reason="slow_consumer", detail="lag=1048577", closed_wall_s=1_700_000_000.123, age_s=10.346,
        due_s=None, decided_s=None, lateness_ms=None, lines_in=1, lines_out=2, bytes_in=3, bytes_out=4,
        unsent_bytes=5, unsent_outbox_bytes=6, skipped_lines=7, skipped_bytes=8, farewell=True,
    )  # fmt: skip


def test_where_a_timer_decided_its_lateness_is_in_milliseconds() -> None:
    client = a_closed_client(reason=CloseReason.IDLE)
    client.ending.due, client.ending.decided = 300.0, 300.0125
    entry = entry_of(client, wall_s=0.0, now=301.0)
    assert (entry.due_s, entry.decided_s, entry.lateness_ms) == (300.0, 300.0125, 12.5)


def test_an_entry_takes_few_calls() -> None:
    """Hundreds close in one turn, so no field is searched for among the parts of a client."""
    client, events = a_closed_client(), list[str]()
    sys.setprofile(lambda frame, event, argument: events.append(event))
    try:
        entry_of(client, wall_s=0.0, now=0.0)
    finally:
        sys.setprofile(None)
    assert 0 < sum(event in ("call", "c_call") for event in events) < 10


def test_an_entry_without_a_reason_is_a_fault() -> None:
    with pytest.raises(AssertionError):
        entry_of(a_client(), wall_s=0.0, now=0.0)
