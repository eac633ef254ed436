"""The mailbox: every command is taken once and in order, and the bell rings while there is something."""

import os
import select
import threading
import time
from collections.abc import Callable, Iterator

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
    return bool(select.select([mailbox.bells[0]], [], [], 0)[0])


def test_commands_come_out_once_and_in_order_within_a_budget(mailbox: Mailbox) -> None:
    assert not rings(mailbox) and mailbox.take(10) == []
    for number in range(1000):
        mailbox.post(Stop(number))
    assert rings(mailbox)
    assert mailbox.take(998) == [Stop(number) for number in range(998)]
    assert rings(mailbox)  # Past the budget it goes on.
    assert mailbox.take(998) == [Stop(998), Stop(999)]
    assert not rings(mailbox) and mailbox.take(10) == []


@pytest.mark.promise("order-mailbox")
def test_a_full_counter_neither_blocks_nor_loses_the_command(mailbox: Mailbox) -> None:
    os.eventfd_write(mailbox.bells[0], 2**64 - 2)  # the most that eventfd(2) holds
    mailbox.post(Stop(9))
    assert rings(mailbox)
    assert mailbox.take(1) == [Stop(9)]


def test_a_ring_may_find_nothing(mailbox: Mailbox) -> None:
    os.eventfd_write(mailbox.bells[0], 1)
    assert mailbox.take(10) == []
    assert not rings(mailbox)


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


def test_closing_gives_the_descriptors_back() -> None:
    box = Mailbox()
    box.close()
    for fd in (*box.bells, box.signal_fd):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


@pytest.mark.promise("order-mailbox")
def test_commands_of_four_threads_are_all_done_once_and_in_order(
    record_property: Callable[[str, object], None],
) -> None:
    each, done = 5_000, list[tuple[int, int]]()
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
        record_property("20,000 commands of 4 threads", f"{time.monotonic() - start_s:.1f} s")
        record_property("a line among them came back after", f"{answered_s * 1000:.0f} ms")
        for thread in range(4):
            assert [number for who, number in done if who == thread] == list(range(each))


@pytest.mark.promise("order-mailbox")
def test_a_command_whose_ring_is_denied_is_done_the_next_turn(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """The bell is full for us, or the kernel lies: the loop publishes once a second, and takes it then."""
    answered: list[tuple[float, int]] = []
    with ThreadHub(mode="echo") as hub:
        until(lambda: hub.summaries)
        asked_s, published = time.monotonic(), len(hub.summaries)
        with monkeypatch.context() as patch:
            patch.setattr(hub.mailbox, "ring", lambda: None)
            hub.mailbox.post(WantClient(0, lambda _: answered.append((time.monotonic(), len(hub.summaries)))))
            until(lambda: answered)
        ((answered_s, later),) = answered
        record_property("one that nobody rang for was done after", f"{1000 * (answered_s - asked_s):.0f} ms")
        assert later - published <= 2  # The one that is due, and one that came just before the question.
