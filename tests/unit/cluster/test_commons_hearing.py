"""What one turn hears: as much as its rooms have place for, and nobody waits for a crowd for ever."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.commons import HOLD_S, LOOK_S, TURN_BYTES
from cluster.envelope import Entry
from cluster.events import Garbled, Owned, Spoke
from cluster.names import key_of
from tests.unit.cluster.company import ANN, BOB, a_beat
from tests.unit.cluster.link import announcement, talk
from tests.unit.cluster.scene import Scene

KIB = 1024


def bulk(room: str, kib: int) -> Entry:
    """So much talk for one room."""
    return talk(room, *[f"<ann> {'x' * (KIB - 7)}"] * kib)


def intakes(scene: Scene) -> dict[str, int]:
    """How many KiB each room has taken since its last pass."""
    return {room.key: room.log.intake // KIB for room in scene.rooms.all()}


# The share of a turn.


def test_turn_hears_256_kib_and_the_rest_in_the_next() -> None:
    scene = Scene(room_bytes=1 << 30)
    scene.join()
    for _ in range(10):
        scene.broker.says(bulk("lobby", 100))
    scene.commons.step(scene.now)
    assert intakes(scene) == {"lobby": 300} and TURN_BYTES == 256 * KIB
    assert scene.commons.timeout(scene.now) == 0.0
    for _ in range(3):
        scene.commons.step(scene.now)
    assert intakes(scene) == {"lobby": 1000}
    assert scene.commons.timeout(scene.now) > 0


def test_room_takes_its_share_of_a_pass_and_no_more() -> None:
    scene = Scene(room_bytes=64 * KIB)
    scene.join()
    for _ in range(3):
        scene.broker.says(bulk("lobby", 40))
    scene.commons.step(scene.now)
    assert intakes(scene) == {"lobby": 40}
    for _ in range(5):
        scene.commons.step(scene.now)
    assert intakes(scene) == {"lobby": 40}, "its pass is still under way"
    for _ in range(2):
        scene.seal()
        scene.hand_out()
        scene.commons.step(scene.now)
        assert intakes(scene) == {"lobby": 40}
    assert scene.member.fold.behind == 0


def test_message_larger_than_the_share_is_heard_by_an_empty_room() -> None:
    scene = Scene(room_bytes=10 * KIB)
    scene.join()
    scene.broker.says(bulk("lobby", 40))
    scene.commons.step(scene.now)
    assert intakes(scene) == {"lobby": 40}


def test_full_room_holds_up_what_is_behind_and_is_looked_at_soon() -> None:
    """The order is that of the stream. While a pass is under way the loop goes on anyway."""
    scene = Scene(room_bytes=64 * KIB)
    scene.join("/join tea")
    scene.join()
    for entry in (bulk("lobby", 60), bulk("lobby", 60), talk("tea", "<ann> x")):
        scene.broker.says(entry)
    scene.commons.step(scene.now)
    assert intakes(scene) == {"lobby": 60, "tea": 0}
    assert scene.commons.timeout(scene.now) == 0.0


def test_room_with_place_again_is_not_waited_for() -> None:
    """Its pass ended in the same turn, so the next one may hear at once."""
    scene = Scene(room_bytes=64 * KIB)
    scene.join()
    for _ in range(2):
        scene.broker.says(bulk("lobby", 60))
    scene.turn()
    assert intakes(scene) == {"lobby": 0} and scene.member.fold.behind == 1
    assert scene.commons.timeout(scene.now) == 0.0


def test_talk_for_rooms_in_which_nobody_is_waits_for_no_room() -> None:
    scene = Scene(room_bytes=10 * KIB)
    scene.join()
    for _ in range(3):
        scene.broker.says(bulk("tea", 40))
    scene.commons.step(scene.now)
    assert scene.member.fold.behind == 0


# Congested rooms.


def test_congested_room_holds_for_one_second_at_most() -> None:
    scene = Scene()
    scene.join("/join tea")
    client = scene.join()
    scene.congested.add("tea")
    scene.broker.says(talk("tea", "<ann> one"))
    scene.broker.says(talk("lobby", "<ann> behind it"))
    scene.pass_s(HOLD_S - 0.05, 0.05)
    assert scene.heard(client) == [] and 0 < scene.commons.timeout(scene.now) <= LOOK_S
    scene.pass_s(0.15, 0.05)
    assert scene.heard(client) == ["<ann> behind it"]
    assert scene.heard(scene.clients[1]) == ["<ann> one"] and HOLD_S == 1.0


def test_congested_room_holds_once_until_it_has_recovered() -> None:
    scene = Scene()
    client = scene.join("/join tea")
    scene.join()
    scene.congested.add("tea")
    scene.elsewhere(talk("tea", "<ann> one"))
    scene.pass_s(1.1)
    scene.elsewhere(talk("tea", "<ann> two"))
    assert scene.heard(client) == ["<ann> one", "<ann> two"]
    scene.congested.clear()
    scene.elsewhere(talk("tea", "<ann> three"))
    scene.congested.add("tea")
    scene.elsewhere(talk("tea", "<ann> four"))
    assert scene.heard(client) == ["<ann> three"]
    scene.pass_s(1.1)
    assert scene.heard(client) == ["<ann> four"]


def test_room_of_most_clients_holds_for_as_long_as_it_must() -> None:
    """Steady readers are not closed where a hub alone would wait for them."""
    scene = Scene()
    client = scene.join()
    scene.congested.add("lobby")
    scene.elsewhere(talk("lobby", "<ann> one"))
    scene.pass_s(10 * HOLD_S)
    assert scene.heard(client) == []
    scene.congested.clear()
    scene.pass_s(0.1)
    assert scene.heard(client) == ["<ann> one"]


def test_room_that_recovers_is_heard_at_the_next_look() -> None:
    scene = Scene()
    client = scene.join()
    scene.congested.add("lobby")
    scene.elsewhere(talk("lobby", "<ann> one"))
    scene.congested.clear()
    scene.turn(scene.commons.timeout(scene.now))
    assert scene.heard(client) == ["<ann> one"]


def test_congested_room_holds_nothing_that_stands_before_it() -> None:
    scene = Scene()
    client = scene.join()
    scene.join("/join tea")
    scene.congested.add("tea")
    scene.broker.says(talk("lobby", "<ann> before"))
    scene.elsewhere(talk("tea", "<ann> one"))
    assert scene.heard(client) == ["<ann> before"]


def test_announcements_wait_for_no_congested_room() -> None:
    scene = Scene()
    client = scene.join()
    scene.congested.add("lobby")
    scene.elsewhere(announcement("* all"))
    assert scene.heard(client) == ["* all"]


def test_congested_room_that_goes_holds_nothing() -> None:
    scene = Scene()
    client, other = scene.join("/join tea"), scene.join()
    scene.congested.add("tea")
    scene.broker.says(talk("tea", "<ann> one"))
    scene.elsewhere(talk("lobby", "<ann> two"))
    scene.leave(client)
    scene.turn(LOOK_S)
    assert scene.heard(other) == ["<ann> two"]


def test_record_of_another_hub_is_no_fact_of_the_stream() -> None:
    """A hub that has not noticed yet that the record went back tells the old head; nothing is wrong here."""
    scene = Scene()
    client = scene.join()
    scene.elsewhere(talk("lobby", "<ann> one"))
    scene.beat(ANN, applied=1000)
    scene.pass_s(2)
    scene.broker.down()
    scene.turn()
    scene.broker.up()
    scene.settle()
    assert scene.heard(client) == ["<ann> one"]
    assert scene.commons.state(scene.now).forks == 0


# When there is something to do.


@pytest.mark.parametrize("event", [Garbled(), Owned("key", None, 0), Spoke(BOB, a_beat())])
def test_event_that_nobody_took_yet_is_due_at_once(event: object) -> None:
    scene = Scene()
    scene.broker.events.append(event)  # type: ignore[arg-type]
    assert scene.commons.timeout(scene.now) == 0.0
    scene.turn()
    assert scene.commons.timeout(scene.now) > 0.0


def test_hub_without_a_link_waits_for_events_alone() -> None:
    scene = Scene()
    scene.join()
    scene.broker.down()
    scene.turn()
    assert scene.commons.timeout(scene.now) == inf


DEEDS = st.tuples(
    st.sampled_from(["say", "say", "store", "ack", "down", "up", "congest", "clear", "foreign", "bulk"])
    | st.sampled_from(["ask", "claim", "beat", "beat far", "drop", "much"]),
    st.sampled_from([0.0, 0.0, 0.02, 0.3, 1.0, 2.5]),
)


class Loop(Scene):
    """The scene as its loop runs it: it sleeps as long as the commons says, and may not do so in vain."""

    def do(self, deed: str) -> None:
        """Something happens."""
        people, broker = list(self.clients.values()), self.broker
        deeds = {
            "say": lambda: self.say(people[0], "hello"),
            "much": lambda: self.say(people[0], *["x" * 8000] * 40),
            "congest": lambda: self.congested.add("lobby"),
            "clear": self.congested.clear,
            "foreign": lambda: broker.says(talk("lobby", "<ann> x")),
            "bulk": lambda: broker.says(bulk("lobby", 100)),
            "ask": lambda: self.commons.ask("who", ["lobby"], lambda *_: None),
            "claim": lambda: self.commons.claim(999, "zoe", lambda _: None),
            "beat": lambda: broker.events.append(Spoke(ANN, a_beat(applied=broker.head))),
            "beat far": lambda: broker.events.append(Spoke(BOB, a_beat(applied=broker.head + 5))),
            "drop": broker.published.clear,
        }
        deeds.get(deed, getattr(broker, deed, lambda: None))()

    def sleep_through(self, seconds: float) -> None:
        """Turns until this time is over; the loop may turn without a wait only so often."""
        end, idle = self.now + seconds, 0
        while True:
            timeout_s = self.commons.timeout(self.now)
            assert timeout_s >= 0.0
            idle = idle + 1 if timeout_s == 0.0 and not self.broker.events else 0
            assert idle < 30, "a busy loop"
            if self.now + timeout_s > end:
                break
            self.turn(timeout_s)
        self.turn(end - self.now)


@given(st.lists(DEEDS, min_size=5, max_size=30), st.booleans())
def test_loop_is_never_busy_in_vain(deeds: list[tuple[str, float]], notices: bool) -> None:
    scene = Loop(notices=notices)
    scene.join()
    for deed, seconds in deeds:
        scene.do(deed)
        scene.sleep_through(seconds)


@given(st.lists(DEEDS, min_size=5, max_size=30))
def test_loop_that_sleeps_as_it_is_told_does_all_in_time(deeds: list[tuple[str, float]]) -> None:
    """Beats, questions and claims end, and what was said is heard, though only timeouts wake the loop."""
    scene, ends = Loop(), list[str]()
    client = scene.join()
    for deed, seconds in deeds:
        scene.do(deed)
        scene.sleep_through(seconds)
    scene.congested.clear()
    scene.broker.up()
    scene.sleep_through(3)
    scene.commons.ask("who", [], lambda answers, silent: ends.append("asked"))
    scene.commons.claim(999, "yan", lambda refusal: ends.append("claimed"))
    scene.say(client, "the end")
    beats = len(scene.broker.beats)
    for _ in range(80):
        scene.broker.store()
        scene.sleep_through(0.05)
    assert sorted(ends) == ["asked", "claimed"] and len(scene.broker.beats) >= beats + 3
    assert scene.member.outbox.is_empty
    assert "<guest-me-1> the end" in scene.heard(client)
    assert key_of("yan") in [key for key, _ in scene.broker.claims]
