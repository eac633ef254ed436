"""The one order of the stream: each message once, holes fetched, and what is gone counted."""

from math import inf

import pytest

from cluster.fold import FETCHED_AT_ONCE, HELD_BYTES, LIVES, TAIL_S, Applied, Fold, Name, Origin, Stored

ANN, BOB = Origin("ann", "1"), Origin("bob", "1")


def stored(sequence: int, origin: Origin = ANN, size: int = 1) -> Stored:
    return Stored(sequence, origin, b"x" * size, sequence)


def apply_all(fold: Fold, now: float = 0.0) -> list[int]:
    """Apply whatever can be, each with its sequence as its number; the sequences."""
    applied = []
    while (item := fold.next()) is not None:
        assert fold.apply(item, item.sequence, now).is_new
        applied.append(item.sequence)
    return applied


def test_messages_are_applied_in_order_and_once() -> None:
    fold = Fold()
    for sequence in (2, 1, 2, 1, 3):
        fold.heard(stored(sequence), 0.0)
    assert apply_all(fold) == [1, 2, 3]
    fold.heard(stored(2), 0.0)
    assert apply_all(fold) == []
    assert fold.doubles == 3


def test_hole_is_fetched_at_once_and_a_tail_after_a_while() -> None:
    fold = Fold()
    fold.heard(stored(4), 0.0)
    assert fold.missing(0.0) == (1, 3)
    assert fold.fetched(1, 3, [stored(1), stored(2), stored(3)], 0.0) == 0
    assert apply_all(fold) == [1, 2, 3, 4]
    assert (fold.gaps, fold.missing(9.0), fold.timeout(9.0)) == (3, None, inf)
    fold.head_is(6, 10.0)
    assert fold.missing(10.0) is None
    assert fold.timeout(10.0) == pytest.approx(TAIL_S)
    assert fold.missing(10.0 + TAIL_S) == (5, 6)


def test_long_hole_is_fetched_in_parts() -> None:
    fold = Fold()
    fold.heard(stored(1000), 0.0)
    assert fold.missing(0.0) == (1, FETCHED_AT_ONCE)
    fold.fetched(1, FETCHED_AT_ONCE, [stored(n) for n in range(1, 100)], 0.0)  # An answer may end early.
    apply_all(fold)
    assert fold.missing(0.0) == (100, 99 + FETCHED_AT_ONCE)


@pytest.mark.parametrize("found", [[stored(8), stored(9)], [stored(8)]])
def test_what_the_stream_has_no_more_is_passed_and_counted(found: list[Stored]) -> None:
    fold = Fold()
    fold.heard(stored(10), 0.0)
    assert fold.fetched(1, 9, found, 0.0) == 7
    assert apply_all(fold)[0] == 8
    assert fold.gone_before(5) == 0


def test_emptied_stream_is_gone_on_with_where_it_begins() -> None:
    fold = Fold()
    fold.head_is(20, 0.0)
    assert fold.fetched(1, 20, [], 0.0) == 0
    assert fold.gone_before(20) == 19
    assert fold.missing(1.0) == (20, 20)


def test_messages_before_their_turn_are_held_up_to_a_limit() -> None:
    fold = Fold()
    fold.heard(stored(3, size=HELD_BYTES), 0.0)
    fold.heard(stored(2), 0.0)
    assert fold.dropped == 1
    fold.heard(stored(1), 0.0)  # Its turn: there is always place.
    assert apply_all(fold) == [1]
    assert fold.missing(0.0) == (2, 2)


def test_batch_that_was_applied_before_is_not_new() -> None:
    fold = Fold()
    fold.heard(stored(1), 0.0)
    fold.apply(stored(1), 7, 0.0)
    fold.connected(1)
    fold.go_back(0)
    fold.heard(stored(1), 0.0)
    assert fold.apply(stored(1), 7, 0.0) == Applied(is_new=False, lost=0)


def test_batch_that_never_comes_is_known_by_the_next() -> None:
    fold = Fold()
    for sequence, (origin, number) in enumerate([(ANN, 4), (BOB, 9), (ANN, 5), (ANN, 9)], 1):
        fold.heard(stored(sequence, origin), 0.0)
        lost = fold.apply(stored(sequence, origin), number, 0.0).lost
        assert lost == (3 if number == 9 and origin is ANN else 0)


def test_refused_message_is_passed_and_says_nothing_of_numbers() -> None:
    fold = Fold()
    fold.heard(stored(1), 0.0)
    assert fold.apply(stored(1), 0, 0.0) == Applied(is_new=False, lost=0)
    assert list(fold.names) == [(1, Name(ANN, 0, 1))]
    assert fold.doubles == 0


def test_lives_that_are_long_over_are_forgotten() -> None:
    fold = Fold()
    for sequence in range(1, LIVES + 3):
        origin = Origin("ann", str(sequence))
        fold.heard(stored(sequence, origin), 0.0)
        fold.apply(stored(sequence, origin), 1, 0.0)
    again = stored(LIVES + 3, Origin("ann", "1"))
    fold.heard(again, 0.0)
    assert fold.apply(again, 1, 0.0).is_new


def test_going_back_forgets_what_waits_and_fetches_anew() -> None:
    fold = Fold()
    for sequence in (1, 2, 3, 9):
        fold.heard(stored(sequence), 0.0)
    apply_all(fold)
    fold.connected(4)
    fold.go_back(2)
    assert [sequence for sequence, _ in fold.names] == [1, 2]
    assert fold.missing(0.0) == (3, 4)
    fold.connected(2)
    fold.go_back(2)
    assert fold.missing(100.0) is None


def test_what_comes_while_the_record_is_compared_is_kept() -> None:
    fold = Fold()
    fold.connected(2)
    fold.heard(stored(3), 0.0)
    fold.go_back(2)
    assert (fold.head, apply_all(fold)) == (3, [3])
