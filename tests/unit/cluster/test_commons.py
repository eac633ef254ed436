"""The commons of a cluster: a line is heard when the stream has it, in one order with those of all hubs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.envelope import MOST_BYTES
from tests.unit.cluster.company import ANN, BOB, ME
from tests.unit.cluster.link import announcement, notice, talk
from tests.unit.cluster.scene import Scene

FOREIGN = "<guest-ann-1> from afar"


# What is said here.


def test_line_is_heard_when_it_comes_back_and_not_before() -> None:
    scene = Scene()
    first, second = scene.join(), scene.join()
    scene.say(first, "hello")
    scene.turn()
    assert len(scene.broker.published) == 1
    assert scene.heard(first) == scene.heard(second) == []
    scene.broker.ack()
    scene.turn()
    assert scene.heard(second) == [], "an acknowledgement is no line"


def test_line_that_came_back_is_heard_by_all_and_its_sender() -> None:
    scene = Scene()
    first, second = scene.join(), scene.join()
    scene.say(first, "hello")
    scene.settle()
    assert scene.heard(first) == scene.heard(second) == ["<guest-me-1> hello"]
    assert scene.balances() and scene.account.owed > 0


def test_sender_does_not_get_its_own_line_without_self_echo() -> None:
    scene = Scene(self_echo=False)
    first, second = scene.join(), scene.join()
    scene.say(first, "hello")
    scene.elsewhere(talk("lobby", FOREIGN))
    scene.settle()
    assert (scene.heard(first), scene.heard(second)) == ([FOREIGN], [FOREIGN, "<guest-me-1> hello"])
    assert scene.balances()


def test_lines_of_all_hubs_have_the_order_of_the_stream() -> None:
    scene = Scene()
    client = scene.join()
    scene.say(client, "one", "two")
    scene.broker.says(talk("lobby", "<guest-ann-1> before"))
    scene.broker.store()
    scene.broker.says(talk("lobby", "<guest-bob-1> behind"), origin=BOB)
    scene.settle()
    assert scene.heard(client) == [
        *("<guest-ann-1> before", "<guest-me-1> one", "<guest-me-1> two", "<guest-bob-1> behind")
    ]


def test_line_of_a_client_that_has_left_is_heard_by_the_others() -> None:
    scene = Scene(self_echo=False)
    first, second = scene.join(), scene.join()
    scene.say(first, "good bye")
    scene.leave(first)
    scene.settle()
    assert scene.heard(second) == ["<guest-me-1> good bye"]


def test_line_is_heard_in_the_room_where_it_was_said() -> None:
    scene = Scene()
    first, second = scene.join(), scene.join()
    scene.say(first, "here", "/join Tea")
    scene.heard(first)
    scene.settle()
    assert (scene.heard(first), scene.heard(second)) == ([], ["<guest-me-1> here"])
    scene.say(first, "there")
    scene.settle()
    assert (scene.heard(first), scene.heard(second)) == (["<guest-me-1> there"], [])


def test_lines_that_are_too_much_for_one_message_are_several() -> None:
    scene = Scene(mode="broadcast", max_lag_bytes=1 << 22, room_bytes=1 << 19)
    client = scene.join()
    lines = [f"{number:04} " + "x" * 995 for number in range(400)]
    scene.say(client, *lines)
    scene.settle()
    assert scene.heard(client) == lines and scene.broker.head > 400_000 // MOST_BYTES


def test_nothing_is_lost_while_the_link_is_away() -> None:
    scene = Scene()
    client = scene.join()
    scene.say(client, "one")
    scene.broker.down()
    scene.turn()
    scene.say(client, "two")
    scene.broker.up()
    scene.settle()
    assert [line for line in scene.heard(client) if line[0] == "<"] == [
        *("<guest-me-1> one", "<guest-me-1> two")
    ]


@pytest.mark.parametrize("notices", [True, False])
def test_broadcast_passes_lines_of_other_hubs_verbatim(notices: bool) -> None:
    scene = Scene(mode="broadcast", notices=notices)
    client = scene.join()
    scene.elsewhere(talk("lobby", "* no notice\x1b[2J", "", "x"))
    assert scene.heard(client) == ["* no notice\x1b[2J", "", "x"]


# What is said elsewhere.


def test_foreign_line_is_heard_in_its_room_alone() -> None:
    scene = Scene()
    first, second = scene.join(), scene.join("/join tea")
    scene.elsewhere(talk("lobby", FOREIGN), talk("TEA", "<guest-ann-2> tea", "<guest-ann-2> time"))
    assert scene.heard(first) == [FOREIGN]
    assert scene.heard(second) == ["<guest-ann-2> tea", "<guest-ann-2> time"]
    assert scene.balances()


def test_foreign_line_is_cleaned() -> None:
    scene = Scene()
    client = scene.join()
    scene.elsewhere(talk("lobby", "<ann> \x1b[2J\u202ehello"))
    assert scene.heard(client) == ["<ann> \ufffd[2J\ufffdhello"]


def test_message_that_is_no_envelope_is_told_and_counted() -> None:
    scene = Scene()
    client = scene.join()
    scene.elsewhere(talk("lobby", "* forged"))
    assert scene.heard(client) == ["* 1 messages of the cluster cannot be read here"]
    assert scene.commons.state(scene.now).refused_messages == 1


def test_notice_is_heard_in_its_room_and_is_no_history() -> None:
    scene = Scene()
    first, second = scene.join(), scene.join("/join tea")
    scene.elsewhere(notice("tea", "* zoe joined"), notice("nowhere", "* zoe left"))
    assert (scene.heard(first), scene.heard(second)) == ([], ["* zoe joined"])
    assert not scene.room("tea").history.last(9, 999)
    assert scene.rooms.find("nowhere") is None


def test_announcement_is_heard_in_every_room_with_people() -> None:
    scene = Scene()
    first, second = scene.join(), scene.join("/join tea")
    scene.elsewhere(announcement("* the record went back"))
    assert scene.heard(first) == scene.heard(second) == ["* the record went back"]
    scene.say(first, "/join tea")
    before = scene.rooms.lobby.log.head
    scene.elsewhere(announcement("* again"))
    assert scene.rooms.lobby.log.head == before, "nobody is there"


def test_notices_of_a_turn_go_to_the_room_on_all_hubs() -> None:
    scene = Scene(announce=10)
    first = scene.join("/who")
    scene.join()
    scene.say(first, "/join tea")
    scene.heard(first)
    scene.turn()
    scene.settle()
    assert scene.heard(first) == ["* guest-me-1 joined"]
    assert scene.heard(scene.clients[2]) == ["* guest-me-1 left"]


def test_hub_without_notices_hears_talk_only() -> None:
    scene = Scene(notices=False)
    client = scene.join()
    scene.elsewhere(talk("lobby", FOREIGN), notice("lobby", "* zoe joined"), announcement("* all"))
    scene.elsewhere(talk("lobby", "* forged"))
    assert scene.heard(client) == [FOREIGN]


def test_small_room_is_not_small_with_people_on_other_hubs() -> None:
    scene = Scene(announce=3)
    client = scene.join("/who")
    scene.beat(ANN, people={"lobby": 3})
    other = scene.join("/who")
    assert scene.heard(client) == []
    scene.say(other, "/join tea", "/leave")
    assert "* you are now in lobby, with 4 others" in scene.heard(other)


@pytest.mark.parametrize("first", ["ann", "zoe"])
def test_death_of_a_hub_is_told_by_the_first_hub_alone(first: str) -> None:
    scene = Scene()
    client = scene.join()
    scene.beat(BOB._replace(hub=first))
    scene.beat(BOB)
    for _ in range(60):
        scene.beat(BOB._replace(hub=first))
        scene.turn(0.1)
    scene.settle()
    told = ["* hub bob is gone, and who was there"] if first == "zoe" else []
    assert scene.heard(client) == told


# All together.


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(["x", "/join tea", "/leave", "/who", "foreign", "store", "down", "up", "turn"]),
        ),
        max_size=40,
    ),
    st.booleans(),
)
def test_all_that_was_said_is_heard_once_and_in_order(deeds: list[tuple[int, str]], echo: bool) -> None:
    scene = Scene(self_echo=echo)
    people, witness, count = [scene.join() for _ in range(3)], scene.join(), 0
    said: list[str] = []
    for number, deed in deeds:
        client = people[number]
        if deed in ("store", "down", "up"):
            getattr(scene.broker, deed)()
        elif deed == "foreign":
            scene.broker.says(talk("lobby", f"<ann> {(count := count + 1)}"))
        elif deed == "x":
            count += 1
            if client.room is scene.rooms.lobby:
                said.append(f"<guest-me-{client.id}> {count}")
            scene.say(client, str(count))
        else:
            scene.say(client, *([deed] if deed != "turn" else []))
        assert scene.balances()
    scene.broker.up()
    scene.settle()
    heard = [line for line in scene.heard(witness) if line[0] == "<"]
    assert [line for line in heard if line.startswith("<guest-me")] == said
    assert len(set(heard)) == len(heard)
    assert scene.member.origin == ME and scene.balances()
