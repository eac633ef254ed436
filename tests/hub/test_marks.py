"""Marks: whom the next steps have to look at, in the order in which they were marked."""

from __future__ import annotations

from hub.close_reasons import CloseReason
from hub.session.client import Piece
from hub.session.ready_sets import Marks
from tests.hub.test_client import a_client


def test_private_output_marks_its_client_for_the_flush() -> None:
    marks, client = Marks(), a_client()
    marks.put(client, b"* hello\n")
    assert client.private == [Piece(-1, b"* hello\n")]
    assert marks.flush == {client.id: client}


def test_what_kind_of_output_it_is_goes_with_the_piece() -> None:
    marks, client = Marks(), a_client()
    marks.put(client, b"echo\n", owed=True)
    marks.put(client, b"\xff\xf1", raw=True)
    assert client.private == [Piece(-1, b"echo\n", owed=True), Piece(-1, b"\xff\xf1", raw=True)]


def test_marking_twice_keeps_the_first_place_in_the_line() -> None:
    marks, first, second = Marks(), a_client(7), a_client(3)
    for client in (first, second, first):
        marks.put(client, b"*\n")
    assert list(marks.flush.values()) == [first, second]


def test_an_end_is_recorded_and_nothing_is_closed() -> None:
    marks, client = Marks(), a_client()
    marks.end(client, CloseReason.IDLE, "after=300s", due=300.0, decided=300.004)
    assert (client.reason, client.detail) == (CloseReason.IDLE, "after=300s")
    assert (client.due, client.decided) == (300.0, 300.004)
    assert marks.ended == {client.id: client}
    assert not marks.finished
    assert not marks.given_up


def test_the_first_reason_wins() -> None:
    marks, client = Marks(), a_client()
    marks.end(client, CloseReason.QUIT)
    marks.end(client, CloseReason.SLOW_CONSUMER, "lag=5", due=1.0, decided=2.0)
    assert (client.reason, client.detail) == (CloseReason.QUIT, "")
    assert (client.due, client.decided) == (None, None)


def test_a_settled_end_is_not_recorded_again() -> None:
    marks, client = Marks(), a_client()
    marks.end(client, CloseReason.QUIT)
    del marks.ended[client.id]
    marks.end(client, CloseReason.SERVER_SHUTDOWN)
    assert not marks.ended
