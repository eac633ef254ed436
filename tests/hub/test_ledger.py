"""The ledger: endings newest first, a bounded number of them, each with its whole summary."""

from __future__ import annotations

import pytest

from hub.close_reasons import CloseReason
from hub.control.snapshots import Ending
from hub.loop.close_log import Ledger, ending_of
from tests.hub.test_client import a_client


def an_ending(id: int) -> Ending:
    return ending_of(a_client(id, reason=CloseReason.QUIT), wall_s=1000.0, now=5.0)


def ids(endings: object) -> list[int]:
    assert isinstance(endings, tuple)
    return [ending.id for ending in endings]


def test_a_new_ledger_is_empty() -> None:
    ledger = Ledger()
    assert len(ledger) == 0
    assert ids(ledger.page(0, 10)) == []


@pytest.mark.parametrize(
    ("offset", "limit", "page"),
    [(0, 2, [5, 4]), (1, 3, [4, 3, 2]), (4, 10, [1]), (5, 10, []), (0, 0, []), (0, 100, [5, 4, 3, 2, 1])],
)
def test_a_page_is_newest_first_from_its_offset(offset: int, limit: int, page: list[int]) -> None:
    ledger = Ledger()
    for id in range(1, 6):
        ledger.add(an_ending(id))
    assert ids(ledger.page(offset, limit)) == page


def test_ten_thousand_are_kept_and_then_the_oldest_goes() -> None:
    ledger = Ledger()
    for id in range(1, 10_004):
        ledger.add(an_ending(id))
    assert len(ledger) == 10_000
    assert ids(ledger.page(0, 1)) == [10_003]
    assert ids(ledger.page(9_999, 5)) == [4]


def test_an_ending_has_the_clients_whole_summary() -> None:
    client = a_client(
        7,
        nick="ann",
        reason=CloseReason.SLOW_CONSUMER,
        detail="lag=1048577",
        last_room="tea",
        joined_at=2.0,
        lines_in=1,
        lines_out=2,
        bytes_in=3,
        bytes_out=4,
        unsent_bytes=5,
        unsent_private_bytes=6,
        farewell_sent=True,
    )
    assert ending_of(client, wall_s=1_700_000_000.12345, now=12.34567) == Ending(
        id=7,
        peer="192.0.2.1:7",
        transport="line",
        nick="ann",
        room="tea",
        reason="slow_consumer",
        detail="lag=1048577",
        ended_wall_s=1_700_000_000.123,
        age_s=10.346,
        due_s=None,
        decided_s=None,
        lateness_ms=None,
        lines_in=1,
        lines_out=2,
        bytes_in=3,
        bytes_out=4,
        unsent_bytes=5,
        unsent_private_bytes=6,
        farewell=True,
    )


def test_where_a_timer_decided_its_lateness_is_in_milliseconds() -> None:
    client = a_client(reason=CloseReason.IDLE, due=300.0, decided=300.0125)
    ending = ending_of(client, wall_s=0.0, now=301.0)
    assert (ending.due_s, ending.decided_s, ending.lateness_ms) == (300.0, 300.0125, 12.5)


def test_an_ending_without_a_reason_is_a_fault() -> None:
    with pytest.raises(AssertionError):
        ending_of(a_client(), wall_s=0.0, now=0.0)
