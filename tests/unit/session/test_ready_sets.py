"""The ready sets: which clients the next steps look at, in the order in which they were marked."""

from hub.close_reasons import CloseReason
from hub.rooms.segments import Item
from hub.session.read_gate import ENDED
from hub.session.ready_sets import ReadySets
from tests.unit.support import a_client, shown


def test_put_queues_an_item_of_its_kind_and_marks_the_client() -> None:
    ready, client = ReadySets(), a_client()
    ready.put(client, b"* hello\n")
    ready.put(client, b"echo\n", owed=True, own=True)
    ready.put(client, b"\xff\xf1", raw=True)
    echo = Item(-1, b"echo\n", owed=True, own=True)
    items = [Item(-1, b"* hello\n"), echo, Item(-1, b"\xff\xf1", raw=True)]
    assert shown(client.outbox.items) == shown(items)
    assert ready.writable == {client: None}


def test_client_marked_twice_keeps_its_first_place() -> None:
    ready, first, second = ReadySets(), a_client(7), a_client(3)
    for client in (first, second, first):
        ready.put(client, b"*\n")
    assert list(ready.writable) == [first, second]


def test_end_is_recorded_and_closes_nothing() -> None:
    ready, client = ReadySets(), a_client()
    ready.end(client, CloseReason.IDLE, "after=300s", due=300.0, decided=300.004)
    close = client.close
    assert (close.reason, close.detail, close.due, close.decided) == ("idle", "after=300s", 300.0, 300.004)
    assert ready.closing == {client.id: client}
    assert client.gate.has(ENDED)
    assert not ready.finished and not ready.abort


def test_first_reason_wins_settled_or_not() -> None:
    ready, client = ReadySets(), a_client()
    ready.end(client, CloseReason.QUIT)
    ready.end(client, CloseReason.SLOW_CONSUMER, "lag=5", due=1.0, decided=2.0)
    close = client.close
    assert (close.reason, close.detail, close.due, close.decided) == (CloseReason.QUIT, "", None, None)
    del ready.closing[client.id]
    ready.end(client, CloseReason.SERVER_SHUTDOWN)
    assert not ready.closing
