"""The publish step: totals once a second, and answers to questions of the page, in slices."""

from collections.abc import Sequence

import pytest

from hub.control.mailbox import Command, Stop, WantClient, WantClosed, WantRooms, WantRows
from hub.control.snapshots import ClientRow, ClosedClient, RoomRow
from hub.loop.limits import Budgets
from hub.loop.publisher import PUBLISH_S
from tests.loop.support import SteppedHub
from tests.support import closing

SLICES = Budgets(rows=3)


def ask(hub: SteppedHub, question: Command) -> None:
    """A question that one turn can answer."""
    hub.mailbox.post(question)
    hub.loop.turn()


# Totals.


def test_totals_are_published_once_a_second_in_many_turns() -> None:
    with SteppedHub() as hub, closing(hub.join(1)):
        hub.now_s += PUBLISH_S
        hub.turns()
        published = len(hub.summaries)
        for step in range(40):
            hub.now_s += PUBLISH_S / 8
            hub.turns(2)
            assert len(hub.summaries) == published + (step + 1) // 8


def test_the_totals_add_up_at_every_publication() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(4)) as peers:
        hub.say(peers[0], b"/quit\n")
        peers[1].reset()
        hub.turns_until(hub.endings)
        hub.now_s += PUBLISH_S
        hub.turns()
        last = hub.summaries[-1]
        assert last.clients.accepted == 4 == last.clients.open + sum(last.closed.values())
        assert (last.lingering, last.closed) == (1, {"quit": 1, "peer_reset": 1})


def test_a_drain_is_published_at_once_and_answers_questions() -> None:
    with SteppedHub(drain_s=0.0) as hub, closing(hub.join(1)):
        published = len(hub.summaries)
        answers: list[object] = []
        hub.mailbox.post(Stop())
        hub.mailbox.post(WantClosed(0, 5, answers.append))
        hub.mailbox.post(WantRooms(0, 5, lambda page: answers.append(page[1])))
        hub.loop.turn()
        assert len(hub.summaries) == published + 1
        assert hub.summaries[-1].draining
        assert answers == [((), 0), 1]


def test_many_questions_are_answered_a_few_a_turn_in_order() -> None:
    with SteppedHub(Budgets(commands=2)) as hub:
        answers: list[int] = []
        for number in range(5):
            hub.mailbox.post(WantClient(number, lambda _, number=number: answers.append(number)))
        for answered in (2, 4, 5):
            hub.loop.turn()  # Without a bell: questions that are left keep the loop from waiting.
            assert answers == list(range(answered))


# Rows.


@pytest.mark.parametrize("count", [0, 10])
def test_rows_are_made_a_slice_a_turn_without_waiting(count: int) -> None:
    with SteppedHub(SLICES) as hub, closing(hub.join(count)):
        answers: list[Sequence[ClientRow]] = []
        hub.mailbox.post(WantRows(answers.append))
        turns = 0
        while not answers:
            hub.loop.turn()  # Without a bell: rows that are not finished keep the loop from waiting.
            turns += 1
        assert turns == max(1, -(-count // 3))
        assert [row.id for row in answers[0]] == list(range(1, count + 1))


def test_questions_that_come_during_a_round_share_the_next_one() -> None:
    with SteppedHub(SLICES) as hub, closing(hub.join(5)):
        answers: list[tuple[str, Sequence[ClientRow]]] = []

        def want_rows(name: str) -> WantRows:
            return WantRows(lambda rows: answers.append((name, rows)))

        ask(hub, want_rows("first"))
        hub.mailbox.post(want_rows("second"))
        hub.mailbox.post(want_rows("third"))
        with closing(hub.join(1)):
            hub.turns_until(lambda: len(answers) == 3)
            names, rows = zip(*answers, strict=True)
            assert names == ("first", "second", "third")
            assert [len(seen) for seen in rows] == [5, 6, 6]
            assert rows[1] is rows[2]


def test_clients_that_come_and_go_disturb_no_others_rows() -> None:
    with SteppedHub(SLICES) as hub, closing(hub.join(8)) as peers:
        answers: list[Sequence[ClientRow]] = []
        hub.mailbox.post(WantRows(answers.append))
        hub.loop.turn()
        peers[0].close()
        peers[7].close()
        with closing(hub.join(1)):
            hub.turns_until(lambda: answers)
            assert set(range(2, 8)) <= {row.id for row in answers[0]} <= set(range(1, 9))


# A client, closed clients, rooms.


def test_one_client_can_be_asked_for_until_it_ends() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(2)) as (first, _):
        rows: list[ClientRow | None] = []
        ask(hub, WantClient(1, rows.append))
        hub.say(first, b"/quit\n")
        ask(hub, WantClient(1, rows.append))
        ask(hub, WantClient(99, rows.append))
        assert [row and (row.id, row.nick) for row in rows] == [(1, "guest-1"), None, None]


@pytest.mark.promise("order-reused-descriptor")
def test_id_of_a_closed_client_never_shows_a_newer_one() -> None:
    with SteppedHub() as hub, closing(hub.join(2)) as leavers:
        left = {hub.client(peer).fd: hub.client(peer).id for peer in leavers}
        for peer in leavers:  # They end and keep their own descriptors, so the hub's are free.
            peer.half_close()
        hub.turns_until(lambda: not hub.hub.connections.by_fd)
        with closing(hub.join(1)) as (stranger,):  # Its own socket took the one, the hub's side the other.
            assert hub.client(stranger).fd in left
            rows: list[ClientRow | None] = []
            for number in left.values():
                ask(hub, WantClient(number, rows.append))
            assert rows == [None, None]
            assert hub.client(stranger).id not in left.values()


def test_closed_clients_come_newest_first_and_in_pages() -> None:
    with SteppedHub(mode="echo") as hub:
        for _ in range(5):
            [peer] = hub.join(1)
            hub.say(peer, b"hello\n")
            peer.reset()
            hub.turns_until(lambda: not hub.hub.connections.by_fd)
        answers: list[tuple[Sequence[ClosedClient], int]] = []
        ask(hub, WantClosed(2, 2, answers.append))
        ((page, kept),) = answers
        assert ([closed.id for closed in page], kept) == ([3, 2], 5)


def test_rooms_come_largest_first_and_in_pages() -> None:
    with SteppedHub(mode="chat") as hub, closing(hub.join(6)) as peers:
        for peer in peers[:3]:
            hub.say(peer, b"/join large\n")
        hub.say(peers[3], b"/join small\n")
        answers: list[tuple[Sequence[RoomRow], int]] = []
        for offset, limit in [(0, 10), (1, 1), (2, 5), (3, 5)]:
            ask(hub, WantRooms(offset, limit, answers.append))
        pages = [[room.name for room in page] for page, _ in answers]
        assert pages == [["large", "lobby", "small"], ["lobby"], ["small"], []]
        assert {count for _, count in answers} == {3}
