"""What a room said and who heard it otherwise: each way in which a hub can go wrong is noticed."""

import random
from collections.abc import Sequence

import pytest

from bench import order_checker
from bench.order_checker import DeliveryError, Line, OrderChecker, RoomLines, read, text_of

TALK: list[Line] = [(1, 0), (2, 0), (1, 1), (3, 0), (2, 1), (1, 2)]


def told() -> RoomLines:
    """A room that somebody has heard from its beginning."""
    room = RoomLines()
    tell(OrderChecker(room, begins=True), TALK)
    return room


def tell(checker: OrderChecker, lines: Sequence[Line]) -> int:
    return sum(checker.hear(line) for line in lines)


@pytest.mark.parametrize("line", [(0, 0), (6, 1), (17, 123456), (40_000, 3)])
def test_a_line_is_read_as_it_was_said(line: Line) -> None:
    assert read(f"<guest-7> {text_of(line)}") == line


@pytest.mark.parametrize(
    "heard", ["* guest-7 joined", "", "<guest-7> hello", "soak 1 0 .", "<a b> soak 1 0 x."]
)
def test_what_others_say_is_no_line_of_the_soak(heard: str) -> None:
    assert read(heard) is None


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: text.replace("x", "X", 1)])
def test_a_line_with_a_byte_changed_is_wrong(change: object) -> None:
    assert callable(change)
    with pytest.raises(DeliveryError, match="heard"):
        read(f"<guest-7> {change(text_of((5, 2)))}")


@pytest.mark.parametrize("start", range(len(TALK)))
def test_who_comes_in_anywhere_and_hears_the_rest_hears_right(start: int) -> None:
    assert tell(OrderChecker(told()), TALK[start:]) == len(TALK) - start


def test_a_client_ahead_of_the_others_extends_the_room() -> None:
    room = told()
    assert tell(OrderChecker(room), [*TALK[4:], (3, 1)]) == 3
    assert tell(OrderChecker(room), [(1, 2), (3, 1), (4, 0)]) == 3


@pytest.mark.promise("soak-red")
@pytest.mark.parametrize("lost", range(1, len(TALK) - 1))
def test_a_line_that_one_client_does_not_get_is_wrong(lost: int) -> None:
    with pytest.raises(DeliveryError, match="where others heard"):
        tell(OrderChecker(told()), TALK[:lost] + TALK[lost + 1 :])


@pytest.mark.promise("soak-red")
def test_a_line_that_nobody_gets_is_wrong() -> None:
    with pytest.raises(DeliveryError, match="where 1 is the sender's next"):
        tell(OrderChecker(RoomLines(), begins=True), [(1, 0), (1, 2)])


@pytest.mark.promise("soak-red")
@pytest.mark.parametrize("twice", range(len(TALK)))
def test_a_line_that_comes_twice_is_wrong(twice: int) -> None:
    for room in (told(), RoomLines()):
        checker = OrderChecker(room, begins=True)
        with pytest.raises(DeliveryError, match="heard"):
            tell(checker, [*TALK[: twice + 1], *TALK[twice:]])


@pytest.mark.promise("soak-red")
def test_two_lines_that_change_places_for_one_client_are_wrong() -> None:
    with pytest.raises(DeliveryError, match="where others heard"):
        tell(OrderChecker(told()), [(1, 0), (1, 1), (2, 0)])


def test_a_newcomer_that_reads_first_is_compared_later() -> None:
    room = RoomLines()
    resident, newcomer = OrderChecker(room, begins=True), OrderChecker(room)
    assert tell(newcomer, TALK[2:4]) == 0
    assert tell(resident, TALK[:4]) == 4
    assert newcomer.hear(TALK[4]) == 3
    with pytest.raises(DeliveryError, match="where 2 is the sender's next"):
        newcomer.hear((1, 3))


def test_a_room_drops_its_oldest_lines_and_compares_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_checker, "KEPT_LINES", 10)
    room, dice = RoomLines(), random.Random(1)
    resident, late = OrderChecker(room, begins=True), OrderChecker(room, begins=True)
    said = [(1, number) for number in range(50)]
    tell(resident, said)
    assert room.find((1, 39)) is None and room.find((1, 40)) == 40
    tell(late, said[:41])
    with pytest.raises(DeliveryError, match="where others heard"):
        late.hear((1, 41 + dice.randrange(1, 8)))
