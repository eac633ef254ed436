"""--slow skip: a client that misses lines is told exactly how many, where the gap is."""

import re
from typing import Any

import pytest

from tests.loop.scene import LINE, SMALL_LAG, Scene
from tests.loop.support import take_all
from tests.support import ThreadHub, closing, until
from tests.support_ws import WsPeer

GAP = re.compile(rb"\* skipped (\d+) lines\r?\n")
SIZE = 100


def line(number: int) -> bytes:
    """A line of SIZE bytes that is like no other."""
    return b"%07d " % number + b"x" * (SIZE - 9) + b"\n"


def assert_whole(got: bytes, said: int) -> int:
    """Every line is whole and in order, and each gap is as long as its notice says; lines missed."""
    expected = missed = 0
    for one in got.splitlines(keepends=True):
        gap = GAP.fullmatch(one)
        if gap:
            expected += int(gap[1])
            missed += int(gap[1])
        else:
            assert one.replace(b"\r", b"") == line(expected)
            expected += 1
    assert expected == said
    return missed


class Numbered(Scene):
    """Under --slow skip: numbered lines to a slow one for which nobody waits."""

    def __init__(self, others: int = 3, **changes: Any) -> None:
        super().__init__(others, **{"slow": "skip", "patience_s": 0, **changes})
        self.said = 0

    def talk(self, count: int = 10) -> None:
        """The next lines."""
        self.say(b"".join(line(number) for number in range(self.said, self.said + count)))
        self.said += count

    def talk_until_gaps(self, gaps: int = 1) -> None:
        """Lines until the slow one has missed some so many times."""
        for _ in range(gaps):
            before = self.client.outbox.losses.skipped_lines
            while self.client.outbox.losses.skipped_lines == before:
                self.talk()
                assert self.said < 20_000


@pytest.mark.promise("skip-count")
@pytest.mark.parametrize(("trigger", "eol"), [("level", "lf"), ("edge", "crlf")])
def test_client_that_comes_and_goes_sees_where_its_gaps_are(trigger: str, eol: str) -> None:
    scene = Numbered(trigger=trigger, eol=eol)
    for _ in range(3):
        scene.talk_until_gaps()
        scene.takes(30_000)
    scene.talk(5)
    scene.reads()
    missed = assert_whole(scene.heard, scene.said)
    assert missed == scene.client.outbox.losses.skipped_lines > 10
    assert scene.hub.account.skipped == scene.client.outbox.losses.skipped_bytes == missed * SIZE
    assert not scene.end


@pytest.mark.promise("skip-count")
def test_client_that_never_reads_is_owed_one_notice() -> None:
    scene = Numbered()
    scene.talk_until_gaps(4)
    assert sum(item.skipped > 0 for item in scene.client.outbox.items) == 1
    assert scene.client.outbox.item_bytes < 2 * SIZE  # The notice, and what is left of a line that was begun.
    scene.reads()
    assert assert_whole(scene.heard, scene.said) == scene.client.outbox.losses.skipped_lines


@pytest.mark.promise("skip-dead")
def test_client_that_takes_nothing_skips_until_it_would_be_idle() -> None:
    """No lag closes a client that skips; the idle timeout does, and says that it took nothing."""
    scene = Numbered(idle_timeout_s=300)
    began_s = scene.stage.kernel.now
    scene.talk_until_gaps()
    while not scene.end:
        scene.talk(100)
        scene.stage.pass_time(5)
        assert scene.stage.kernel.now < began_s + 400
    assert scene.end == "slow_consumer after=300s limit=300s"
    assert scene.stage.kernel.now - began_s >= 300
    scene.slow.close()
    scene.stage.rest()
    end = scene.stage.end_of(scene.slow)
    assert end is not None
    assert end["skipped_lines"] == scene.client.outbox.losses.skipped_lines > 100
    assert end["skipped_bytes"] == scene.hub.account.skipped == SIZE * end["skipped_lines"]


@pytest.mark.promise("skip-dead")
def test_gap_is_no_sign_of_life_for_which_a_room_waits() -> None:
    scene = Numbered(patience_s=4)
    while not scene.waits:  # The room waits for one near the limit that took bytes lately.
        scene.talk()
    scene.stage.pass_time(2.1)
    while scene.client.outbox.losses.skipped_lines < 5 * SMALL_LAG // SIZE:
        assert not scene.waits
        scene.talk()
    scene.reads()
    assert assert_whole(scene.heard, scene.said) == scene.client.outbox.losses.skipped_lines


def test_client_that_holds_its_room_up_skips_and_is_not_closed() -> None:
    scene = Numbered(others=0)
    while not scene.waits:
        scene.talk()
    assert not scene.client.outbox.losses.skipped_lines
    scene.stage.pass_time(10.1)
    assert not scene.waits and not scene.end and scene.client.outbox.losses.skipped_lines
    scene.talk(3)
    scene.reads()
    assert assert_whole(scene.heard, scene.said) == scene.client.outbox.losses.skipped_lines


def test_notice_of_a_gap_precedes_answers_in_any_room() -> None:
    scene = Numbered(mode="chat")
    scene.talk(10)
    scene.slow.send(b"/who\n")
    scene.talk_until_gaps()
    scene.slow.send(b"/join den\n")
    scene.reads()
    (told,) = GAP.findall(scene.heard)
    assert int(told) == scene.client.outbox.losses.skipped_lines
    order = [scene.heard.index(part) for part in (b"* skipped ", b"* in lobby", b"* you are now in den")]
    assert order == sorted(order)


@pytest.mark.promise("skip-count")
def test_slow_browser_gets_whole_messages_and_the_notice() -> None:
    """On real sockets."""
    text = LINE.decode().rstrip("\n") * 30
    with (
        ThreadHub(slow="skip", max_lag_bytes=SMALL_LAG, patience_s=0, trigger="edge") as hub,
        WsPeer(hub.ws_port, receive_buffer=4096) as browser,
    ):
        until(lambda: hub.loop.hub.rooms.lobby.subscribers)
        (talker, *others) = hub.peers(4)
        with closing([talker, *others]):
            client, said = hub.loop.hub.connections.clients[1], 0
            while not client.outbox.losses.skipped_lines:
                talker.send(f"{text}\n".encode() * 8)
                said += 8
                until(lambda said=said: hub.loop.hub.counters.lines_in == said)
                for peer in (talker, *others):
                    take_all(peer)
            talker.send(b"the end\n")
            *messages, _ = browser.read_until("the end")
            gaps = [
                int(gap[1])
                for gap in (re.fullmatch(r"\* skipped (\d+) lines", str(m)) for m in messages)
                if gap
            ]
            assert messages.count(text) + sum(gaps) == said
            assert messages.count(text) + len(gaps) == len(messages)
            assert sum(gaps) == client.outbox.losses.skipped_lines
