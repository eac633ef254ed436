"""The place up to which our record and the stream's agree."""

from math import log2

import pytest

from cluster.fold import Name, Origin
from cluster.fork import ForkCheck, Seen

OURS = [(sequence, Name(Origin("ann", "1"), sequence, 7)) for sequence in range(1, 1001)]


def settled(check: ForkCheck, same_until: int, last: int) -> tuple[int, int]:
    """Answer for a stream that agrees up to `same_until` and ends at `last`; common, and the questions."""
    asked = 0
    while check.common is None:
        asked += 1
        at = check.question
        other = Name(Origin("bob", "1"), at, 7) if at <= last else None
        check.answer(Name(Origin("ann", "1"), at, 7) if at <= same_until else other)
    return check.common, asked


@pytest.mark.parametrize("same_until", [0, 1, 2, 499, 500, 998, 999, 1000])
@pytest.mark.parametrize("more", [-5, 0, 7])
def test_fork_is_found_wherever_it_is(same_until: int, more: int) -> None:
    last = max(same_until, 1000 + more)
    check = ForkCheck(OURS, 1000, 1000, Seen("now", 1, last), same_stream=True)
    common, asked = settled(check, same_until, last)
    assert common == same_until
    assert check.has_forked == (same_until < 1000)
    assert asked <= 2 * log2(1000) + 2


def test_only_what_the_stream_still_keeps_is_compared() -> None:
    check = ForkCheck(OURS, 1000, 1000, Seen("now", 900, 2000), same_stream=True)
    assert settled(check, 950, 2000)[0] == 950
    check = ForkCheck(OURS, 1000, 1000, Seen("now", 1500, 2000), same_stream=True)
    assert (check.common, check.has_forked) == (1000, False)


@pytest.mark.parametrize(("applied", "forked"), [(0, False), (1000, True)])
def test_another_stream_has_nothing_in_common(applied: int, forked: bool) -> None:
    check = ForkCheck(OURS[:applied], applied, applied, Seen("later", 1, 5), same_stream=False)
    assert (check.common, check.has_forked) == (0, forked)


def test_hub_that_has_applied_nothing_begins_at_the_beginning() -> None:
    check = ForkCheck([], 0, 0, Seen("now", 1, 5), same_stream=True)
    assert (check.common, check.has_forked) == (0, False)


def test_record_that_is_shorter_than_it_was_has_forked() -> None:
    check = ForkCheck([], 40, 40, Seen("now", 1, 10), same_stream=True)
    assert (check.common, check.has_forked) == (10, True)
    check = ForkCheck(OURS, 1000, 1005, Seen("now", 1, 1000), same_stream=True)  # Stored, and never applied.
    assert settled(check, 1000, 1000)[0] == 1000
    assert check.has_forked


def test_batch_that_was_stored_again_is_another_message() -> None:
    check = ForkCheck(OURS, 1000, 1000, Seen("now", 1, 1000), same_stream=True)
    check.answer(Name(Origin("ann", "1"), 1000, 8))
    assert check.has_forked
