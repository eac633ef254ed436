"""Viewers, clients of --read-only-port: they receive everything, and what they send is thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hub.config.values import Rate
from hub.session.client import Client, Phase
from hub.session.read_gate import RATE
from tests.loop.support import SteppedHub, take_all
from tests.support import Peer, closing


@contextmanager
def a_viewer(hub: SteppedHub) -> Iterator[tuple[Peer, Client]]:
    """A viewer that has been let in and greeted, and the hub's side of it."""
    before = hub.hub.counters.accepted
    with Peer(int(hub.hub.status.addresses["read-only"][0].rpartition(":")[2])) as viewer:
        hub.turns_until(lambda: hub.hub.counters.accepted > before)
        hub.now_s += 2 * hub.hub.limits.opening_s
        hub.turns()
        hub.settle()
        yield viewer, hub.client(viewer)


def discarded(hub: SteppedHub) -> int:
    """What /api/summary says of it."""
    return hub.hub.maker.summary(hub.now_s).lines_discarded


@pytest.mark.promise("viewer-receives")
def test_viewer_receives_the_room_and_is_not_obeyed() -> None:
    with SteppedHub(mode="chat", read_only_port=0) as hub, closing(hub.join(1)) as (ann,):
        hub.say(ann, b"before\n")
        with a_viewer(hub) as (viewer, client):
            take_all(ann)
            for said in (b"hello\n", b"/nick eve\n/join tea\n", b"\n", b"/quit\n"):
                hub.say(viewer, said)
            hub.say(ann, b"after\n")
            assert viewer.read_until(b"after\n").splitlines() == [
                b"* welcome to hubbub - you are guest-2 in lobby, with 1 other; /help lists commands",
                b"* guest-1 joined",
                b"<guest-1> before",
                b"<guest-1> after",
            ]
            assert take_all(ann) == b"<guest-1> after\n"
            assert client.close.reason is None and client.inbox.lines_in == 0
            assert (discarded(hub), hub.hub.counters.lines_in) == (5, 2)


@pytest.mark.promise("viewer-receives")
def test_viewer_in_echo_mode_receives_nothing() -> None:
    with (
        SteppedHub(mode="echo", read_only_port=0) as hub,
        closing(hub.join(1)) as (talker,),
        a_viewer(hub) as (viewer, _),
    ):
        hub.say(talker, b"one\n")
        hub.say(viewer, b"two\n")
        assert talker.line() == b"one\n"
        assert viewer.nothing_waits()
        assert discarded(hub) == 1


@pytest.mark.promise("viewer-limits")
def test_idle_time_of_a_viewer_starts_anew_with_what_it_sends() -> None:
    with SteppedHub(idle_timeout_s=50, read_only_port=0) as hub, a_viewer(hub) as (viewer, client):
        hub.now_s += 40
        hub.say(viewer, b"here\n")
        hub.now_s += 40
        hub.turns(2)
        assert client.close.reason is None
        hub.say(viewer, b"\xff\xf1")  # A NOP of the telnet layer is no activity of anybody.
        hub.now_s += 10.1
        hub.turns(2)
        assert client.close.reason == "idle"


@pytest.mark.promise("viewer-limits")
def test_too_long_line_of_a_viewer_closes_it() -> None:
    with SteppedHub(max_line_bytes=100, read_only_port=0) as hub, a_viewer(hub) as (viewer, _):
        hub.say(viewer, b"a\n" + b"b" * 100 + b"\n" + b"c" * 101 + b"\nd\n")
        assert viewer.rest() == b"* bye reason=line_too_long limit=100\n"
        assert discarded(hub) == 2


@pytest.mark.promise("viewer-limits")
def test_viewer_may_speak_telnet() -> None:
    with (
        SteppedHub(read_only_port=0) as hub,
        closing(hub.join(1)) as (talker,),
        a_viewer(hub) as (viewer, client),
    ):
        hub.say(viewer, b"\xff\xfd\x01\xff\xf6")
        hub.say(talker, b"news \xff\xff\n")
        heard = viewer.read_until(b"\xff\xff\r\n")
        assert heard == b"\xff\xfc\x01* yes, hubbub is here\r\nnews \xff\xff\r\n"
        hub.say(viewer, b"\xff\xfa\x18" + b"x" * 300)
        assert client.close.reason == "protocol_error"


@pytest.mark.promise("viewer-limits")
@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_line_rate_does_not_hold_for_a_viewer(mode: str) -> None:
    rate = Rate(1, "s", 1)
    with SteppedHub(mode=mode, line_rate=rate, read_only_port=0) as hub, a_viewer(hub) as (viewer, client):
        hub.say(viewer, b"said for nothing\n" * 1000)
        assert discarded(hub) == 1000
        assert client.is_reading and not client.gate.has(RATE)


@pytest.mark.promise("viewer-receives")
@pytest.mark.parametrize("trigger", ["level", "edge"])
@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_eof_of_a_viewer_closes_nothing(mode: str, trigger: str) -> None:
    """A viewer such as `ncat < /dev/null` has ended its own stream and goes on reading."""
    with (
        SteppedHub(mode=mode, trigger=trigger, announce=0, read_only_port=0) as hub,
        closing(hub.join(1)) as (ann,),
        a_viewer(hub) as (viewer, client),
    ):
        hub.deliver(viewer, b"an unfinished line", fin=True)
        hub.turns_until(lambda: client.inbox.eof)
        take_all(viewer)
        for _ in range(3):
            hub.say(ann, b"news\n")
            assert viewer.line().endswith(b"news\n")
        hub.settle()
        assert (client.phase, client.close.reason, client.close.pending) == (Phase.OPEN, None, None)
        assert not hub.hub.ready.readable
        assert discarded(hub) == 1
        viewer.reset()
        hub.say(ann, b"more\n")
        hub.turns_until(hub.endings)
        assert hub.ending()["reason"] == "peer_closed"


@pytest.mark.promise("viewer-receives")
def test_silent_viewer_with_eof_at_once_is_greeted_and_receives() -> None:
    with SteppedHub(mode="chat", announce=0, read_only_port=0) as hub, closing(hub.join(1)) as (ann,):
        port = int(hub.hub.status.addresses["read-only"][0].rpartition(":")[2])
        with Peer(port) as viewer:
            viewer.half_close()
            hub.turns_until(lambda: len(hub.hub.connections.clients) == 2)
            hub.now_s += 2 * hub.hub.limits.opening_s
            hub.turns(3)
            hub.say(ann, b"news\n")
            assert viewer.line().startswith(b"* welcome to hubbub")
            assert viewer.line() == b"<guest-1> news\n"


@pytest.mark.promise("viewer-limits")
def test_viewer_behind_its_eof_is_closed_as_idle() -> None:
    with SteppedHub(idle_timeout_s=50, read_only_port=0) as hub, a_viewer(hub) as (viewer, client):
        hub.deliver(viewer, b"", fin=True)
        hub.turns_until(lambda: client.inbox.eof)
        hub.now_s += 50.1
        hub.turns(2)
        assert viewer.rest().endswith(b"* bye reason=idle after=50s\n")
        assert hub.ending()["reason"] == "idle"


def test_viewer_behind_its_end_of_stream_is_not_warned() -> None:
    times = {"idle_timeout_s": 10.0, "idle_warning_s": 8.0}
    with SteppedHub(mode="chat", read_only_port=0, **times) as hub, a_viewer(hub) as (viewer, client):
        take_all(viewer)
        hub.deliver(viewer, b"", fin=True)
        hub.turns_until(lambda: client.inbox.eof)
        hub.now_s += 5
        hub.turns(3)
        assert take_all(viewer) == b""
