"""The mailbox: every command is taken once and in order, and the bell rings while there is something."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from hub.control.mailbox import Mailbox, Stop, WantClient
from tests.support import ThreadHub, until


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.close()


def rings(mailbox: Mailbox) -> bool:
    """Whether epoll would report the doorbell now."""
    return bool(select.select([mailbox.fileno()], [], [], 0)[0])


def test_a_new_mailbox_is_silent_and_empty(mailbox: Mailbox) -> None:
    assert not rings(mailbox)
    assert mailbox.take(10) == []


def test_commands_come_out_once_and_in_order(mailbox: Mailbox) -> None:
    for number in range(5):
        mailbox.post(Stop(number))
    assert mailbox.take(10) == [Stop(number) for number in range(5)]
    assert mailbox.take(10) == []


def test_a_thousand_posts_ring_until_they_are_taken(mailbox: Mailbox) -> None:
    for number in range(1000):
        mailbox.post(Stop(number))
    assert rings(mailbox)
    assert len(mailbox.take(1000)) == 1000
    assert not rings(mailbox)


def test_past_the_budget_the_bell_goes_on_ringing(mailbox: Mailbox) -> None:
    for number in range(3):
        mailbox.post(Stop(number))
    assert mailbox.take(2) == [Stop(0), Stop(1)]
    assert rings(mailbox)
    assert mailbox.take(2) == [Stop(2)]
    assert not rings(mailbox)


@pytest.mark.promise("order-mailbox")
def test_a_full_counter_neither_blocks_nor_loses_the_command(mailbox: Mailbox) -> None:
    os.eventfd_write(mailbox.fileno(), 2**64 - 2)  # the most that eventfd(2) holds
    mailbox.post(Stop(9))
    assert rings(mailbox)
    assert mailbox.take(1) == [Stop(9)]


def test_a_ring_may_find_nothing(mailbox: Mailbox) -> None:
    os.eventfd_write(mailbox.fileno(), 1)
    assert mailbox.take(10) == []
    assert not rings(mailbox)


def test_two_threads_that_post_lose_nothing_and_keep_their_order(mailbox: Mailbox) -> None:
    def post(first: int) -> None:
        for number in range(first, first + 2000):
            mailbox.post(Stop(number))

    threads = [threading.Thread(target=post, args=(first,)) for first in (0, 10_000)]
    for thread in threads:
        thread.start()
    taken: list[int] = []
    while len(taken) < 4000:
        assert select.select([mailbox.fileno()], [], [], 20)[0], f"silent with {len(taken)} of 4000 taken"
        taken += [command.signal for command in mailbox.take(7) if isinstance(command, Stop)]
    for thread in threads:
        thread.join()
    assert [number for number in taken if number < 10_000] == list(range(2000))
    assert [number for number in taken if number >= 10_000] == list(range(10_000, 12_000))


def test_a_command_posted_while_the_bell_is_emptied_rings_again(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.eventfd_read

    def read_after_a_post(fd: int) -> int:
        mailbox.post(Stop(2))
        return read(fd)

    mailbox.post(Stop(1))
    monkeypatch.setattr(os, "eventfd_read", read_after_a_post)
    assert mailbox.take(10) == [Stop(1)]
    monkeypatch.undo()
    assert rings(mailbox)
    assert mailbox.take(10) == [Stop(2)]


def test_a_signal_handler_may_post(mailbox: Mailbox) -> None:
    before = signal.signal(signal.SIGUSR1, lambda signum, _: mailbox.post(Stop(signum)))
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert mailbox.take(10) == [Stop(signal.SIGUSR1)]


def test_closing_gives_the_descriptor_back() -> None:
    box = Mailbox()
    fd = box.fileno()
    box.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_child_process_does_not_inherit_the_doorbell(mailbox: Mailbox) -> None:
    assert not os.get_inheritable(mailbox.fileno())


@pytest.mark.promise("order-mailbox")
def test_commands_of_four_threads_are_all_done_once_and_in_order(
    record_property: Callable[[str, object], None],
) -> None:
    each, done = 25_000, list[tuple[int, int]]()
    with ThreadHub(mode="echo") as hub, hub.peer() as peer:

        def post(thread: int) -> None:
            for number in range(each):
                hub.mailbox.post(WantClient(0, lambda _, number=number: done.append((thread, number))))

        threads = [threading.Thread(target=post, args=(number,)) for number in range(4)]
        start_s = time.monotonic()
        for thread in threads:
            thread.start()
        peer.send(b"meanwhile\n")
        assert peer.line() == b"meanwhile\n"
        answered_s = time.monotonic() - start_s
        for thread in threads:
            thread.join()
        until(lambda: len(done) >= 4 * each)
        record_property("100,000 commands of 4 threads", f"{time.monotonic() - start_s:.1f} s")
        record_property("a line among them came back after", f"{answered_s * 1000:.0f} ms")
        for thread in range(4):
            assert [number for who, number in done if who == thread] == list(range(each))


@pytest.mark.promise("order-mailbox")
def test_a_command_whose_ring_is_denied_is_done_the_next_turn(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """The bell is full for us, or the kernel lies: the loop publishes once a second, and takes it then."""
    delays_s: list[float] = []
    publications: list[int] = []
    with ThreadHub(mode="echo") as hub:

        def answer(since_s: float, published: int, _: object) -> None:
            delays_s.append(time.monotonic() - since_s)
            publications.append(len(hub.summaries) - published)

        with monkeypatch.context() as patch:
            patch.setattr(hub.mailbox, "_ring", lambda: None)
            for asked in range(1, 3):
                hub.mailbox.post(WantClient(0, partial(answer, time.monotonic(), len(hub.summaries))))
                until(lambda asked=asked: len(delays_s) == asked)
        record_property("the latest of those nobody rang for", f"{max(delays_s) * 1000:.0f} ms")
        assert max(publications) <= 2  # The one that is due, and one that came just before the question.
