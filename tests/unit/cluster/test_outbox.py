"""What a hub says to the cluster: one batch in flight, the same until it is stored."""

from math import inf

from cluster.envelope import MOST_BYTES, MOST_ENTRIES, Entry, Kind, Rules, unpacked
from cluster.outbox import ACK_S, GIVE_UP_S, Outbox, Publish, entries

RULES = Rules(most_line_bytes=0, is_chat=False)


def an_outbox(*lines: bytes, **options: int) -> Outbox:
    """With these lines of client 5, said at 0 s."""
    outbox = Outbox(0.003, **options)
    for line in lines:
        assert outbox.put(talk(line), 5, 0.0)
    return outbox


def talk(line: bytes) -> Entry:
    return Entry(Kind.TALK, "lobby", 1, line + b"\n")


def published(outbox: Outbox, now: float) -> Publish:
    """What the outbox wants to be stored."""
    found = outbox.next(now, 0)
    assert found is not None
    return found


def said(publish: Publish) -> bytes:
    """The lines of a message."""
    return b"".join(entry.data for entry in unpacked(publish.message, RULES).entries)


def test_lines_that_come_meanwhile_are_the_next_batch() -> None:
    outbox = an_outbox(b"one", b"two")
    first = published(outbox, 0.0)
    assert (first.number, first.expected, said(first)) == (1, 0, b"one\ntwo\n")
    outbox.put(talk(b"three"), 6, 0.01)
    assert outbox.next(0.02, 0) is None
    outbox.stored(1, 17, 0.03)
    second = published(outbox, 0.03)
    assert (second.number, second.expected, said(second)) == (2, 17, b"three\n")
    outbox.stored(2, 18, 0.03)  # The acknowledgement may be quicker than the batch itself.
    assert [outbox.came_back(number, 17, 0.04) for number in (1, 2, 2)] == [[5, 5], [6], []]


def test_batch_without_an_answer_is_sent_again_unchanged() -> None:
    outbox = an_outbox(b"one")
    first = published(outbox, 0.0)
    outbox.put(talk(b"two"), 5, 0.5)
    assert outbox.timeout(0.5) == ACK_S - 0.5
    assert outbox.next(0.99, 0) is None
    assert published(outbox, 1.0) == first
    outbox.again()
    assert published(outbox, 1.1) == first
    assert outbox.resent == 2


def test_late_answers_change_nothing() -> None:
    outbox = an_outbox(b"one")
    published(outbox, 0.0)
    outbox.stored(1, 17, 0.1)
    outbox.put(talk(b"two"), 5, 0.1)
    second = published(outbox, 0.2)
    outbox.stored(1, 17, 0.3)
    assert outbox.is_flying
    outbox.last_is(1, 17, 0.3)  # The stream refused the second try of the first: the second goes on.
    assert published(outbox, 0.3) == second
    outbox.last_is(2, 18, 0.4)
    assert outbox.is_empty and outbox.waiting_bytes == 0


def test_record_that_went_back_is_gone_on_from() -> None:
    outbox = an_outbox(b"one")
    published(outbox, 0.0)
    outbox.stored(1, 17, 0.1)
    outbox.put(talk(b"two"), 5, 0.1)
    assert published(outbox, 0.2).expected == 17
    outbox.last_is(0, 0, 0.3)
    again = published(outbox, 0.3)
    assert (again.number, again.expected, said(again)) == (2, 0, b"two\n")


def test_busy_stream_is_asked_again_at_the_time() -> None:
    outbox = an_outbox(b"one")
    first = published(outbox, 0.0)
    outbox.wait_until(0.35)
    assert outbox.next(0.34, 0) is None
    assert published(outbox, 0.36) == first


def test_two_batches_are_apart_by_the_spacing() -> None:
    outbox = an_outbox(b"one")
    published(outbox, 0.0)
    outbox.stored(1, 1, 0.001)
    assert outbox.timeout(0.001) == inf
    outbox.put(talk(b"two"), 5, 0.001)
    assert outbox.next(0.002, 0) is None
    assert outbox.timeout(0.002) == 0.001
    assert published(outbox, 0.003).number == 2


def test_lines_beyond_the_limit_are_refused_and_counted() -> None:
    outbox = an_outbox(b"x" * 60, limit_bytes=100)
    assert not outbox.put(talk(b"y" * 60), 5, 0.0)
    assert outbox.put(talk(b"z" * 60), 0, 0.0)  # The hub's own.
    assert outbox.refused_lines == 1
    assert said(published(outbox, 0.0)) == b"x" * 60 + b"\n" + b"z" * 60 + b"\n"


def test_time_without_an_answer_is_that_of_the_oldest_line() -> None:
    outbox = an_outbox(b"one")
    assert outbox.unheard_s(2.0) == 2.0
    published(outbox, 2.0)
    outbox.put(talk(b"two"), 5, 3.0)
    outbox.stored(1, 1, 4.0)
    assert outbox.unheard_s(5.0) == 1.0
    published(outbox, 5.0)
    outbox.stored(2, 2, 5.0)
    assert outbox.unheard_s(9.0) == 0.0


def test_what_is_too_much_for_a_message_is_several() -> None:
    lines = [b"%05d" % number + b"x" * 95 for number in range(5000)]
    cut = entries(Kind.TALK, "lobby", lines)
    outbox = Outbox(0.0)
    for entry in [*cut, *[talk(b"tiny")] * (2 * MOST_ENTRIES)]:
        outbox.put(entry, 5, 0.0)
    heard, now = b"", 0.0
    while not outbox.is_empty:
        publish = published(outbox, now)
        assert len(publish.message) <= MOST_BYTES
        heard += said(publish)
        outbox.stored(publish.number, publish.number, now)
        now += 1.0
    assert heard == b"".join(line + b"\n" for line in lines) + b"tiny\n" * (2 * MOST_ENTRIES)


def test_stored_batch_that_never_comes_is_given_up_once() -> None:
    """Not at once: it may have been stored in another stream, which is not known yet."""
    outbox = an_outbox(b"one")
    published(outbox, 0.0)
    outbox.stored(1, 17, 0.1)
    assert outbox.give_up(3.0) == 0
    assert [outbox.give_up(now) for now in (0.1 + GIVE_UP_S, 100.0)] == [1, 0]


def test_batch_that_came_back_is_not_given_up() -> None:
    outbox = an_outbox(b"one")
    published(outbox, 0.0)
    outbox.stored(1, 17, 0.1)
    outbox.came_back(1, 17, 0.2)
    assert outbox.give_up(100.0) == 0
