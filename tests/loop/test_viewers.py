"""Viewers, clients of --read-only-port: they receive everything, and what they send is thrown away."""

from typing import Any

import pytest

from hub.config.values import Rate
from hub.loop.snapshot_maker import summary
from hub.session.client import Client
from hub.session.read_gate import RATE
from tests.sim.stage import MUCH, VIEWERS, Actor, Stage
from tests.support import bye


class Scene:
    """A talker, and a viewer that has been let in and greeted."""

    def __init__(self, said: bytes = b"", **settings: Any) -> None:
        self.stage = Stage(**{"mode": "broadcast", "announce": 0, **settings})
        [self.talker] = self.stage.join()
        self.say(self.talker, said)
        [self.viewer] = self.stage.join(listener=VIEWERS, into=MUCH)
        self.client: Client = self.stage.client(self.viewer)

    def say(self, actor: Actor, data: bytes) -> None:
        """The talker or the viewer sends this."""
        actor.send(data)
        self.stage.rest()

    def end_of_stream(self, last: bytes = b"") -> None:
        """The viewer sends this and its end of stream."""
        self.viewer.send(last)
        self.viewer.half_close()
        self.stage.rest()

    @property
    def discarded(self) -> int:
        """What /api/summary says of it."""
        return summary(self.stage.hub, self.stage.kernel.now).lines_discarded


@pytest.mark.promise("viewer-receives")
def test_viewer_receives_the_room_and_is_not_obeyed() -> None:
    scene = Scene(b"before\n", mode="chat", announce=50)
    for said in (b"hello\n", b"/nick eve\n/join tea\n", b"\n", b"/quit\n"):
        scene.say(scene.viewer, said)
    scene.say(scene.talker, b"after\n")
    assert scene.viewer.got.splitlines() == [
        b"* welcome to hubbub - you are guest-2 in lobby, with 1 other; /help lists commands",
        b"* history: 1 line of lobby, the newest 0 s old",
        *(b"<guest-1> before", b"* end of history", b"<guest-1> after"),
    ]
    assert scene.talker.got.endswith(b"* guest-1 joined\n<guest-1> before\n<guest-1> after\n")
    assert scene.client.close.reason is None and scene.client.inbox.lines_in == 0
    assert (scene.discarded, scene.stage.hub.counters.lines_in) == (5, 2)


@pytest.mark.promise("viewer-receives")
def test_viewer_in_echo_mode_receives_nothing() -> None:
    scene = Scene(mode="echo")
    scene.say(scene.talker, b"one\n")
    scene.say(scene.viewer, b"two\n")
    assert (scene.talker.got, scene.viewer.got) == (b"one\n", b"")
    assert scene.discarded == 1


@pytest.mark.promise("viewer-limits")
def test_idle_time_of_a_viewer_starts_anew_with_what_it_sends() -> None:
    scene = Scene(idle_timeout_s=50)
    scene.stage.pass_time(40)
    scene.say(scene.viewer, b"here\n")
    scene.stage.pass_time(40)
    assert scene.client.close.reason is None
    scene.say(scene.viewer, b"\xff\xf1")  # A NOP of the telnet layer is no activity of anybody.
    scene.stage.pass_time(10.1)
    assert scene.client.close.reason == "idle"


@pytest.mark.promise("viewer-limits")
def test_too_long_line_of_a_viewer_closes_it() -> None:
    scene = Scene(max_line_bytes=100)
    scene.say(scene.viewer, b"a\n" + b"b" * 100 + b"\n" + b"c" * 101 + b"\nd\n")
    assert scene.viewer.got == bye("line_too_long", "limit=100")
    assert scene.discarded == 2


@pytest.mark.promise("viewer-limits")
def test_viewer_may_speak_telnet() -> None:
    scene = Scene()
    scene.say(scene.viewer, b"\xff\xfd\x01\xff\xf6")
    scene.say(scene.talker, b"news \xff\xff\n")
    assert scene.viewer.got == b"\xff\xfc\x01* yes, hubbub is here\r\nnews \xff\xff\r\n"
    scene.say(scene.viewer, b"\xff\xfa\x18" + b"x" * 300)
    assert scene.client.close.reason == "protocol_error"


@pytest.mark.promise("viewer-limits")
@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_line_rate_does_not_hold_for_a_viewer(mode: str) -> None:
    scene = Scene(mode=mode, line_rate=Rate(1, "s", 1))
    scene.say(scene.viewer, b"said for nothing\n" * 1000)
    assert scene.discarded == 1000
    assert scene.client.is_reading and not scene.client.gate.has(RATE)


@pytest.mark.promise("viewer-receives")
@pytest.mark.parametrize("trigger", ["level", "edge"])
@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_eof_of_a_viewer_closes_nothing(mode: str, trigger: str) -> None:
    """A viewer such as `ncat < /dev/null` has ended its own stream and goes on reading."""
    scene = Scene(mode=mode, trigger=trigger)
    scene.end_of_stream(b"an unfinished line")
    assert scene.client.inbox.eof and not scene.stage.hub.ready.readable
    for _ in range(3):
        scene.say(scene.talker, b"news\n")
    assert scene.viewer.got.count(b"news\n") == 3
    close = scene.client.close
    assert (scene.client.phase, close.reason, close.pending) == ("open", None, None)
    assert scene.discarded == 1
    scene.viewer.reset()
    scene.say(scene.talker, b"more\n")
    assert [end["reason"] for end in scene.stage.ends] == ["peer_closed"]


@pytest.mark.promise("viewer-receives")
def test_silent_viewer_with_eof_at_once_is_greeted_and_receives() -> None:
    stage = Stage(mode="chat", announce=0)
    [ann] = stage.join()
    [viewer] = stage.arrive(listener=VIEWERS)
    viewer.half_close()
    stage.pass_time(0.1)
    ann.send(b"news\n")
    stage.rest()
    welcome, news = viewer.got.splitlines()
    assert welcome.startswith(b"* welcome to hubbub") and news == b"<guest-1> news"


@pytest.mark.promise("viewer-limits")
def test_viewer_behind_its_eof_is_closed_as_idle_unwarned() -> None:
    scene = Scene(mode="chat", idle_timeout_s=10.0, idle_warning_s=8.0)
    before = len(scene.viewer.got)
    scene.end_of_stream()
    scene.stage.pass_time(10.1)
    assert scene.viewer.got[before:] == bye("idle", "after=10s limit=10s")
    assert {end["reason"] for end in scene.stage.ends} == {"idle"}
