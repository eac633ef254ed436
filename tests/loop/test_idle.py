"""What counts as activity under each idle strategy, and what becomes of a client that is owed something."""

from contextlib import suppress
from typing import Any, get_args

import pytest

from hub.config.settings import IdleStrategy
from tests.loop.scene import LINE, Scene
from tests.loop.support import SteppedHub, take_all
from tests.sim.stage import BROWSERS, LINES, SENDERS, VIEWERS, Stage
from tests.support import ThreadHub, bye, closing

NOP, ARE_YOU_THERE = b"\xff\xf1", b"\xff\xf6"
each_strategy = pytest.mark.parametrize("strategy", get_args(IdleStrategy))
each_exact_strategy = pytest.mark.parametrize("strategy", ["sweep", "deadline"])


def hub_with(strategy: str, **changes: Any) -> SteppedHub:
    """A hub with an idle timeout of ten seconds."""
    return SteppedHub(idle_strategy=strategy, idle_timeout_s=10, sweep_interval_s=0.5, **changes)


def stays(hub: SteppedHub, said: bytes) -> list[bool]:
    """Of one who is silent and one who says so each second: whether they are there after twelve."""
    with closing(hub.join(2)) as peers:
        clients = [hub.client(peer) for peer in peers]
        for _ in range(12):
            hub.now_s += 1
            if clients[1].close.reason is None:
                hub.say(peers[1], said)
            hub.turns()
            for peer in peers:
                take_all(peer)
        assert {client.close.reason for client in clients} <= {None, "idle"}
        return [client.close.reason is None for client in clients]


@pytest.mark.promise("idle-tx")
@each_strategy
def test_only_poll_lets_a_busy_client_keep_an_idle_one(strategy: str) -> None:
    with hub_with(strategy, mode="echo") as hub:
        assert stays(hub, b"busy\n") == [strategy == "poll", True]


@pytest.mark.promise("idle-tx")
def test_question_of_the_page_keeps_nobody_under_poll() -> None:
    with hub_with("poll", mode="echo") as hub, closing(hub.join(1)) as (peer,):
        client = hub.client(peer)
        for _ in range(5):
            assert client.close.reason is None
            hub.now_s += 2.1
            hub.turns()
        assert client.close.reason == "idle"


@pytest.mark.promise("idle-tx")
@pytest.mark.parametrize("counts", ["rx+tx", "rx"])
@each_exact_strategy
def test_lines_of_others_keep_a_client_where_tx_counts(strategy: str, counts: str) -> None:
    with hub_with(strategy, idle_counts=counts) as hub:
        assert stays(hub, b"news\n") == [counts == "rx+tx", True]


@pytest.mark.promise("idle-auto")
@pytest.mark.parametrize(
    ("mode", "listener", "stays"),
    [
        ("chat", LINES, False), ("chat", BROWSERS, False), ("chat", VIEWERS, True), ("chat", SENDERS, False),
        ("broadcast", LINES, True), ("broadcast", BROWSERS, True), ("broadcast", VIEWERS, True),
        ("broadcast", SENDERS, False),
    ],
)  # fmt: skip
@each_exact_strategy
def test_hearing_keeps_readers_of_a_feed_and_no_one_in_chat(
    strategy: str, mode: str, listener: int, stays: bool
) -> None:
    times = {"sweep_interval_s": 0.5, "idle_timeout_s": 3.0}
    stage = Stage(mode=mode, idle_strategy=strategy, write_only_port=0, **times)
    [talker], [silent] = stage.join(), stage.join(listener=listener)
    client = stage.client(silent)
    for _ in range(4):
        talker.send(b"news\n")
        stage.pass_time(1)
    assert (client.close.reason is None) == stays
    assert stage.client(talker).close.reason is None


@pytest.mark.promise("idle-auto")
def test_silent_chat_client_expires_while_another_talks() -> None:
    """With the settings of `serve`, on real sockets, but for the time."""
    with ThreadHub(mode="chat", idle_timeout_s=0.5) as hub, hub.peer() as silent, hub.peer() as talker:
        silent.sock.settimeout(0.1)
        while b"bye" not in silent.seen:
            talker.send(b"still here\n")
            with suppress(TimeoutError):
                silent.seen += silent.sock.recv(65536)
        assert silent.seen.endswith(bye("idle", "after=0.5s limit=0.5s"))
        assert silent.seen.count(b"still here") >= 3
        assert hub.loop.hub.counters.closed == {"idle": 1}


@pytest.mark.promise("idle-activity")
@pytest.mark.parametrize("counts", ["rx+tx", "rx"])
@pytest.mark.parametrize("command", [NOP, ARE_YOU_THERE])
@each_exact_strategy
def test_commands_of_the_telnet_layer_are_no_activity(strategy: str, command: bytes, counts: str) -> None:
    with hub_with(strategy, mode="echo", idle_counts=counts) as hub:
        assert stays(hub, command) == [False, False]


@pytest.mark.promise("idle-activity")
@each_exact_strategy
def test_notices_of_the_hub_are_no_activity(strategy: str) -> None:
    with hub_with(strategy, mode="chat") as hub, closing(hub.join(2)) as (idle, restless):
        heard, client = b"", hub.client(idle)
        for number in range(12):
            hub.now_s += 1
            hub.say(restless, b"/nick n%d\n" % number)
            heard += take_all(idle)
        assert heard.count(b" is now ") >= 8
        assert client.close.reason == "idle"


@pytest.mark.promise("idle-unread")
@each_strategy
def test_client_owed_lines_at_its_deadline_is_a_slow_consumer(strategy: str) -> None:
    scene = Scene(idle_strategy=strategy, idle_timeout_s=10, sweep_interval_s=0.5)
    scene.fill()
    scene.stage.pass_time(10.6)
    assert scene.end == "slow_consumer after=10s limit=10s"
    close, (lines, said, _) = scene.client.close, scene.heard.partition(b"* bye")
    assert close.decided is not None and close.due is not None and close.decided >= close.due
    assert lines == (LINE * 10)[: len(lines)] and not said
