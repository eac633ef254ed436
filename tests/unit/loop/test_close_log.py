"""The close log: closed clients newest first, a bounded number of them, each with its whole summary."""

import sys

import pytest

from hub.close_reasons import CloseReason
from hub.control.snapshots import ClosedClient
from hub.loop.close_log import CloseLog, entry_of
from hub.session.client import Client
from tests.unit.support import a_client


def a_closed_client(id: int = 1, reason: CloseReason = CloseReason.QUIT) -> Client:
    client = a_client(id)
    client.close.reason = reason
    return client


def a_log_of(clients: int) -> tuple[CloseLog, list[dict[str, object]]]:
    """A close log of so many clients, and the log records that it wrote."""
    records: list[dict[str, object]] = []
    log = CloseLog(lambda event, **fields: records.append({"event": event, **fields}))
    for id in range(1, clients + 1):
        log.record(a_closed_client(id), wall_s=1000.0, now=5.0)
    return log, records


@pytest.mark.parametrize(
    ("offset", "limit", "page"),
    [(0, 2, [5, 4]), (1, 3, [4, 3, 2]), (4, 10, [1]), (5, 10, []), (0, 0, []), (0, 100, [5, 4, 3, 2, 1])],
)
def test_a_page_is_newest_first_from_its_offset(offset: int, limit: int, page: list[int]) -> None:
    log, _ = a_log_of(5)
    assert [entry.id for entry in log.page(offset, limit)] == page


def test_ten_thousand_are_kept_and_then_the_oldest_goes() -> None:
    log, _ = a_log_of(10_003)
    assert len(log) == 10_000
    assert [entry.id for entry in (*log.page(0, 1), *log.page(9_999, 5))] == [10_003, 4]


def test_each_entry_is_a_log_record_as_well() -> None:
    _, records = a_log_of(2)
    assert [(record["event"], record["id"]) for record in records] == [("closed", 1), ("closed", 2)]
    assert set(records[0]) == {"event", *ClosedClient.__struct_fields__}


def test_an_entry_has_the_clients_whole_summary() -> None:
    client = a_client(7, now=2.0)
    close, inbox, outbox = client.close, client.inbox, client.outbox
    close.reason, close.detail = CloseReason.SLOW_CONSUMER, "lag=1048577"
    close.nick, close.room = "ann", "tea"
    inbox.lines_in, inbox.bytes_in = 1, 3
    outbox.lines_out, outbox.bytes_out = 2, 4
    outbox.unsent_bytes, outbox.unsent_item_bytes = 5, 6
    outbox.skipped_lines, outbox.skipped_bytes, outbox.farewell_sent = 7, 8, True
    assert entry_of(client, wall_s=1_700_000_000.12345, now=12.34567) == ClosedClient(
        id=7, peer="192.0.2.1:7", transport="line", nick="ann", room="tea",
        reason="slow_consumer", detail="lag=1048577", closed_wall_s=1_700_000_000.123, age_s=10.346,
        due_s=None, decided_s=None, lateness_ms=None, lines_in=1, lines_out=2, bytes_in=3, bytes_out=4,
        unsent_bytes=5, unsent_outbox_bytes=6, skipped_lines=7, skipped_bytes=8, farewell=True,
    )  # fmt: skip


def test_where_a_timer_decided_its_lateness_is_in_milliseconds() -> None:
    client = a_closed_client(reason=CloseReason.IDLE)
    client.close.due, client.close.decided = 300.0, 300.0125
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
