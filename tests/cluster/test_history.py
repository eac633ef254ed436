"""What was said on other hubs, for those who come later: rooms, hubs that start, hubs that stop."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.cluster.scene import ClusterHub, hubs_of
from tests.cluster.support import a_broker
from tests.e2e.load import queues
from tests.support import Peer, until

LINES = 30


@contextmanager
def two_hubs(folder: Path, mode: str = "chat") -> Iterator[tuple[str, ClusterHub, ClusterHub]]:
    """The address of a broker, and two hubs of its cluster."""
    with a_broker(folder) as broker, hubs_of(folder, 2 * [broker.url], mode) as (a, b):
        yield broker.url, a, b


def person(hub: ClusterHub, nick: str, room: str = "") -> Peer:
    """Somebody with this nick in this room, who has read all up to that."""
    peer = hub.peer()
    peer.send(b"/nick %s\n" % nick.encode())
    peer.read_until(b"* you are now %s\n" % nick.encode())
    if room:
        join(peer, room)
    return peer


def join(peer: Peer, room: str) -> list[bytes]:
    """Go to this room; what is shown of its past there."""
    peer.send(b"/join %s\n/no-command\n" % room.encode())
    peer.read_until(b"* you are now in %s, " % room.encode())
    return talk_in(peer.read_until(b"/no-command"))


def talk_in(seen: bytes) -> list[bytes]:
    """The lines that people said."""
    return [line for line in seen.splitlines() if line.startswith(b"<")]


def say(peer: Peer, nick: str, count: int, first: int = 0) -> list[bytes]:
    """So many numbered lines, once they are back; as others see them."""
    texts = [b"line %d" % number for number in range(first, first + count)]
    peer.send(b"".join(text + b"\n" for text in texts))
    lines = [b"<%s> %s" % (nick.encode(), text) for text in texts]
    peer.read_until(lines[-1] + b"\n")
    return lines


def catch_up(peer: Peer) -> None:
    """Until the hub of this client has heard all that was said before: the client hears itself."""
    peer.send(b"caught up\n")
    peer.read_until(b"caught up\n")


def test_hub_that_comes_later_shows_what_others_said(tmp_path: Path) -> None:
    with two_hubs(tmp_path) as (url, a, _b), ExitStack() as stack:
        ann, bob = stack.enter_context(person(a, "ann")), stack.enter_context(person(a, "bob", "tea"))
        in_lobby, in_tea = say(ann, "ann", LINES), say(bob, "bob", LINES)
        late = stack.enter_context(ClusterHub("d", url, tmp_path, mode="chat"))
        newcomer = stack.enter_context(late.peer())
        shown = newcomer.read_until(b"* end of history\n")
        assert b"* history: 20 lines of lobby" in shown
        assert talk_in(shown) == in_lobby[-20:]
        assert join(newcomer, "tea") == in_tea[-20:]


def test_room_without_anybody_here_has_its_history(tmp_path: Path) -> None:
    with two_hubs(tmp_path) as (_, a, b), person(a, "ann", "tea") as ann, person(b, "bob") as bob:
        said = say(ann, "ann", 5)
        catch_up(bob)
        bob.send(b"/join tea\n")
        seen = bob.read_until(b"* end of history\n")
        assert talk_in(seen) == said
        more = say(ann, "ann", 5, first=5)
        assert talk_in(bob.read_until(more[-1] + b"\n")) == more


def test_room_that_was_left_goes_on_with_its_history(tmp_path: Path) -> None:
    with two_hubs(tmp_path) as (_, a, b), person(a, "ann", "tea") as ann:
        with person(b, "bob", "tea") as bob:
            said = say(ann, "ann", 5)
            bob.read_until(said[-1] + b"\n")
        said += say(ann, "ann", 5, first=5)
        with person(b, "cy") as cy:
            catch_up(cy)
            assert join(cy, "tea") == said


def test_history_shows_nobody_what_they_saw_before(tmp_path: Path) -> None:
    with two_hubs(tmp_path) as (_, a, b), person(a, "ann", "tea") as ann, person(b, "bob", "tea") as bob:
        seen = say(ann, "ann", 5)
        bob.read_until(seen[-1] + b"\n")
        join(bob, "lobby")
        missed = say(ann, "ann", 5, first=5)
        catch_up(bob)
        assert join(bob, "tea") == missed


def test_history_shows_nobody_twice_what_it_showed(tmp_path: Path) -> None:
    with two_hubs(tmp_path) as (_, a, b), ExitStack() as stack:
        ann = stack.enter_context(person(a, "ann", "tea"))
        said = say(ann, "ann", 15)
        bob = stack.enter_context(person(b, "bob"))
        catch_up(bob)
        assert join(bob, "tea") == said
        stack.enter_context(person(b, "cy", "tea"))  # So that the room stays when bob leaves it.
        join(bob, "lobby")
        missed = say(ann, "ann", 2, first=15)
        catch_up(bob)
        assert join(bob, "tea") == missed


def wait_until_all_is_read(hub: ClusterHub) -> None:
    """Until the hub has taken all that its clients sent from the kernel."""
    until(lambda: all(each.unsent == each.unread == 0 for each in queues(hub.port).values()))


@pytest.mark.parametrize("mode", ["broadcast", "chat"])
def test_hub_that_stops_hands_on_what_was_said(tmp_path: Path, mode: str) -> None:
    with a_broker(tmp_path) as broker, hubs_of(tmp_path, 2 * [broker.url], mode) as (a, b):
        with b.peer() as listener, ExitStack() as stack:
            talkers = [stack.enter_context(a.peer()) for _ in range(5)]
            greet(listener, talkers)
            with broker.standing_still():
                for number, talker in enumerate(talkers):
                    talker.send(b"".join(b"%d says %d\n" % (number, line) for line in range(100)))
                wait_until_all_is_read(a)
                a.process.terminate()
                a.wait_for_record("event=draining")
            heard = lines_of(listener, len(talkers) * 100)
            assert a.process.wait(10) == 0
        for number in range(len(talkers)):
            ours = [line for line in heard if line.startswith(b"%d says" % number)]
            assert ours == [b"%d says %d" % (number, line) for line in range(100)]


def greet(listener: Peer, talkers: Sequence[Peer]) -> None:
    """Until the listener has heard each of them."""
    listener.send(b"here\n")
    listener.read_until(b"here\n")
    for number, talker in enumerate(talkers):
        talker.send(b"hello %d\n" % number)
        listener.read_until(b"hello %d\n" % number)


def lines_of(listener: Peer, count: int) -> list[bytes]:
    """The next lines of the form `N says M`, so many, without what chat puts before them."""
    found, end_s = list[bytes](), time.monotonic() + 20.0
    while len(found) < count and time.monotonic() < end_s:
        line = listener.line().rstrip(b"\n")
        if b" says " in line:
            found.append(line.partition(b"> ")[2] or line)
    return found


@pytest.mark.parametrize("mode", ["broadcast", "chat"])
def test_client_that_ends_its_input_hears_its_last_line(tmp_path: Path, mode: str) -> None:
    with a_broker(tmp_path) as broker, hubs_of(tmp_path, [broker.url], mode) as (a,), a.peer() as peer:
        peer.send(b"hello\nthe last\n")
        peer.half_close()
        assert b"the last\n" in peer.rest()
