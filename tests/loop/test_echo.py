"""Echo: whole lines go back in the read step, past the outbox, unless something waits there."""

import pytest

from tests.loop.scene import KERNEL_BYTES
from tests.loop.support import RecordingSockets, SteppedHub, take_all
from tests.sim.stage import MUCH, Stage
from tests.support import PAIRS, closing

ENDS = {"lf": b"\n", "crlf": b"\r\n"}
LINES = b"".join(b"line %d\n" % number for number in range(1000))


def test_read_of_whole_lines_goes_back_as_it_came() -> None:
    sockets = RecordingSockets()
    with SteppedHub(sockets=sockets, mode="echo") as hub, closing(hub.join()) as (peer,):
        hub.say(peer, b"hello\n")
        client = hub.deliver(peer, b"one\n\ntwo\n")
        hub.loop.turn()
        assert sockets.sends == [(client.fd, b"hello\n"), (client.fd, b"one\n\ntwo\n")]
        assert peer.read_until(b"two\n") == b"hello\none\n\ntwo\n"
        assert (client.inbox.lines_in, client.outbox.lines_out) == (4, 4)
        hub.assert_books_balance()


@pytest.mark.parametrize("eol", ["lf", "crlf"])
def test_echo_goes_out_behind_what_waits_and_as_asked_for(eol: str) -> None:
    with SteppedHub(mode="echo", eol=eol) as hub, closing(hub.join()) as (peer,):
        hub.say(peer, b"hello\n")
        client = hub.deliver(peer, b"again\n")
        hub.hub.ready.put(client, b"* first\n")
        hub.settle()
        hub.turns()
        hub.say(peer, b"plain\n")
        expected = b"hello\n* first\nagain\nplain\n"
        assert peer.read_until(b"plain" + ENDS[eol]) == expected.replace(b"\n", ENDS[eol])


def test_lines_behind_an_echo_that_was_refused_keep_their_order() -> None:
    stage = Stage(mode="echo")
    [actor] = stage.join(into=MUCH, out=KERNEL_BYTES, reads=False)
    for at in range(0, len(LINES), 500):
        actor.send(LINES[at : at + 500])
        stage.rest()
    assert stage.client(actor).outbox.blocked
    actor.reads = True
    stage.rest()
    assert actor.got == LINES
    assert stage.client(actor).outbox.lines_out == 1000


@pytest.mark.parametrize(("trigger", "read"), PAIRS)
def test_reset_that_only_the_echo_meets_is_told_as_a_reset(trigger: str, read: str) -> None:
    with SteppedHub(mode="echo", trigger=trigger, read=read) as hub, closing(hub.join()) as (peer,):
        hub.say(peer, b"hello\n")
        hub.deliver(peer, b"lost it\n" * 60)  # Two reads, the first of which is whole lines.
        take_all(peer)
        peer.reset()
        ended = hub.turns_until(hub.endings)[0]
        assert ended["reason"] == "peer_reset"
        assert (ended["lines_in"], ended["lines_out"]) == (61, 1)
        assert (ended["unsent_own_bytes"], ended["unsent_bytes"]) == (480, 0)
        hub.assert_books_balance()
