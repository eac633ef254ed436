"""Viewers, who came in by --read-only-port: they hear everything, and what they say is thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hub.config.values import Rate
from hub.loop.counters import summary
from hub.session.client import Client
from tests.hub.support_turns import SteppedHub, take_all
from tests.support import Peer, closing


@contextmanager
def a_viewer(hub: SteppedHub) -> Iterator[tuple[Peer, Client]]:
    """One viewer who has been let in and greeted, and the hub's side of it."""
    before = hub.hub.counters.accepted
    with Peer(int(hub.hub.read_only_addresses[0].rpartition(":")[2])) as viewer:
        hub.turns_until(lambda: hub.hub.counters.accepted > before)
        hub.now_s += 2 * hub.hub.limits.pause_s
        hub.turns()
        hub.settle()
        yield viewer, hub.client(viewer)


def discarded(hub: SteppedHub) -> int:
    """What /api/summary says of it."""
    return summary(hub.hub, hub.now_s).lines_discarded


@pytest.mark.promise("viewer-receives")
def test_a_viewer_hears_the_room_like_anybody_and_none_of_its_commands_is_obeyed() -> None:
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
                b"* guest-2 joined",
                b"<guest-1> after",
            ]
            assert take_all(ann) == b"<guest-1> after\n"
            assert client.reason is None and client.lines_in == 0
            assert (discarded(hub), hub.hub.counters.lines_in) == (5, 2)


@pytest.mark.promise("viewer-receives")
def test_in_echo_mode_there_is_nothing_for_a_viewer_to_hear() -> None:
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
def test_the_idle_time_of_a_viewer_starts_anew_with_what_it_sends() -> None:
    with SteppedHub(idle_timeout_s=50, read_only_port=0) as hub, a_viewer(hub) as (viewer, client):
        hub.now_s += 40
        hub.say(viewer, b"here\n")
        hub.now_s += 40
        hub.turns(2)
        assert client.reason is None
        hub.say(viewer, b"\xff\xf1")  # A NOP of the telnet layer is no activity of anybody.
        hub.now_s += 10.1
        hub.turns(2)
        assert client.reason == "idle"


@pytest.mark.promise("viewer-limits")
def test_a_line_of_a_viewer_that_is_too_long_ends_it_behind_the_lines_that_count() -> None:
    with SteppedHub(max_line_bytes=100, read_only_port=0) as hub, a_viewer(hub) as (viewer, _):
        hub.say(viewer, b"a\n" + b"b" * 100 + b"\n" + b"c" * 101 + b"\nd\n")
        assert viewer.rest() == b"* bye reason=line_too_long limit=100\n"
        assert discarded(hub) == 2


@pytest.mark.promise("viewer-limits")
def test_a_viewer_speaks_telnet_like_anybody() -> None:
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
        assert client.reason == "protocol_error"


@pytest.mark.promise("viewer-limits")
@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_no_line_rate_holds_for_a_viewer(mode: str) -> None:
    rate = Rate(1, "s", 1)
    with SteppedHub(mode=mode, line_rate=rate, read_only_port=0) as hub, a_viewer(hub) as (viewer, client):
        hub.say(viewer, b"said for nothing\n" * 1000)
        assert discarded(hub) == 1000
        assert client.reading and not client.throttled
