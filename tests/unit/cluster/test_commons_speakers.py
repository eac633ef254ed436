"""What those who speak are told, and when they wait, while the stream is slow, silent or full."""

from math import inf

from cluster.commons import FULL_BYTES
from cluster.outbox import LIMIT_BYTES
from cluster.speakers import SILENT_S
from hub.session.client import Client
from tests.unit.cluster.company import ME
from tests.unit.cluster.link import talk
from tests.unit.cluster.scene import Scene

WAIT = "* the cluster does not answer; lines wait"
AGAIN = "* the cluster answers again; what waited is sent"
LINE = "x" * 8000


def said(scene: Scene, client: Client, count: int) -> None:
    """So many lines of 8 kB, in one go; what the commons takes of them is on its way."""
    assert client.room is not None
    scene.commons.say(client.room, [f"<a> {LINE}".encode()] * count, client.id, scene.now)


def fill(scene: Scene, client: Client) -> None:
    """The client says lines until there is no place for any of this size."""
    said(scene, client, LIMIT_BYTES // 8010)
    before = scene.member.outbox.refused_lines
    while scene.member.outbox.refused_lines == before:
        said(scene, client, 1)


def waits(scene: Scene, client: Client) -> bool:
    """Whether the client is not read now."""
    return scene.commons.holds_up(client.id, at_end=False)


# A full hub.


def test_senders_wait_while_256_kib_are_on_their_way() -> None:
    scene = Scene()
    client, other = scene.join(), scene.join()
    said(scene, client, FULL_BYTES // 8010)
    assert not waits(scene, client)
    said(scene, client, 2)
    assert waits(scene, client) and waits(scene, other)
    scene.turn()
    assert waits(scene, client)
    scene.settle()
    assert not waits(scene, client) and not waits(scene, other)


def test_senders_to_a_silent_stream_are_told_and_do_not_wait() -> None:
    scene = Scene()
    client = scene.join()
    said(scene, client, 40)
    scene.turn()
    assert waits(scene, client)
    scene.turn(SILENT_S)
    assert not waits(scene, client)
    assert scene.heard(client) == [WAIT]


def test_senders_without_a_link_do_not_wait() -> None:
    scene = Scene()
    client = scene.join()
    scene.broker.down()
    scene.turn()
    said(scene, client, 400)
    assert not waits(scene, client)


def test_senders_that_cannot_be_told_wait_near_the_limit() -> None:
    scene = Scene(notices=False)
    client = scene.join()
    scene.broker.down()
    scene.turn()
    said(scene, client, (LIMIT_BYTES - FULL_BYTES) // 8010)
    assert not waits(scene, client)
    said(scene, client, 3)
    assert waits(scene, client)
    assert scene.member.outbox.refused_lines == 0
    scene.turn(60.0)
    assert waits(scene, client)
    scene.broker.up()
    scene.settle()
    assert not waits(scene, client) and scene.heard(client).count(f"<a> {LINE}") > 400


def test_client_that_claims_a_nick_waits_and_the_others_do_not() -> None:
    scene = Scene()
    client, other = scene.join(), scene.join()
    refusals = list[str]()
    scene.commons.claim(client.id, "zoe", refusals.append)
    assert waits(scene, client) and not waits(scene, other)
    scene.turn(2.0)
    assert len(refusals) == 1 and not waits(scene, client)


# A silent stream.


def test_sender_is_told_once_of_silence_and_once_of_its_end() -> None:
    scene = Scene()
    client, other = scene.join(), scene.join()
    scene.say(client, "one")
    scene.pass_s(0.9)
    assert scene.heard(client) == []
    assert scene.commons.timeout(scene.now) <= 0.11
    scene.pass_s(0.2)
    assert scene.heard(client) == [WAIT]
    scene.say(client, "two")
    scene.pass_s(10)
    assert scene.heard(client) == []
    scene.settle()
    assert sorted(scene.heard(client)) == sorted([AGAIN, "<guest-me-1> one", "<guest-me-1> two"])
    scene.pass_s(5)
    assert scene.heard(client) == []
    assert scene.heard(other) == ["<guest-me-1> one", "<guest-me-1> two"], "said nothing, is told nothing"


def test_sender_that_speaks_later_is_told_as_well() -> None:
    scene = Scene()
    client, other = scene.join(), scene.join()
    scene.say(client, "one")
    scene.pass_s(1.5)
    scene.say(other, "two")
    scene.turn()
    assert (scene.heard(client), scene.heard(other)) == ([WAIT], [WAIT])
    scene.pass_s(3)
    scene.settle()
    for each in (client, other):
        assert scene.heard(each).count(AGAIN) == 1


def test_second_silence_is_told_again() -> None:
    scene = Scene()
    client = scene.join()
    for _ in range(3):
        scene.say(client, "one")
        scene.pass_s(1.5)
        assert scene.heard(client) == [WAIT]
        scene.settle()
        assert AGAIN in scene.heard(client)


def test_stream_that_goes_on_taking_is_not_called_silent() -> None:
    scene = Scene()
    client = scene.join()
    for _ in range(40):
        said(scene, client, 20)
        scene.turn(0.5)
        scene.broker.store()
    scene.settle()
    assert not [line for line in scene.heard(client) if line.startswith("*")]


def test_sender_that_has_ended_is_told_nothing() -> None:
    scene = Scene()
    client = scene.join()
    scene.say(client, "one")
    scene.leave(client)
    scene.pass_s(2)
    scene.settle()
    assert client.outbox.is_empty and client.outbox.losses.unsent_item_bytes == 0


# Refused lines.


def test_refused_lines_are_told_with_their_number_once_a_second() -> None:
    scene = Scene()
    client, other = scene.join(), scene.join()
    scene.broker.down()
    scene.turn()
    fill(scene, client)
    scene.turn()
    assert scene.heard(client) == ["* not sent: 1 line"]
    for _ in range(9):
        said(scene, client, 1)
        said(scene, other, 2)
        scene.turn(0.1)
    assert (scene.heard(client), scene.heard(other)) == ([], [])
    assert scene.commons.timeout(scene.now) <= 0.11
    scene.turn(0.11)
    assert "* not sent: 9 lines" in scene.heard(client)
    assert "* not sent: 18 lines" in scene.heard(other)
    assert scene.member.outbox.refused_lines == 28
    scene.pass_s(5)
    assert (scene.heard(client), scene.heard(other)) == ([], [])


def test_refused_line_is_told_though_all_others_are_stored() -> None:
    scene = Scene()
    client = scene.join()
    scene.broker.down()
    scene.turn()
    fill(scene, client)
    scene.turn()
    assert scene.heard(client) == ["* not sent: 1 line"]
    said(scene, client, 1)
    scene.broker.up()
    for _ in range(60):
        scene.turn(0.01)
        scene.broker.store()
    assert scene.member.outbox.is_empty
    scene.heard(client)
    scene.pass_s(1.5)
    assert scene.heard(client) == ["* not sent: 1 line"]


def test_line_that_no_message_holds_is_told_as_refused() -> None:
    """With a large --max-line; nothing else is on its way."""
    scene = Scene()
    client = scene.join()
    assert client.room is not None
    scene.commons.say(client.room, [b"<a> " + b"x" * 200_000], client.id, scene.now)
    scene.turn()
    scene.pass_s(1.5)
    assert scene.heard(client) == ["* not sent: 1 line"]
    assert scene.member.outbox.is_empty


def test_refused_line_leaves_those_around_it_in_order() -> None:
    scene = Scene()
    client = scene.join()
    assert client.room is not None
    lines = [b"<a> one", b"<a> " + b"x" * 200_000, b"<a> two"]
    scene.commons.say(client.room, lines, client.id, scene.now)
    scene.settle()
    assert [line for line in scene.heard(client) if line[0] == "<"] == ["<a> one", "<a> two"]


def test_hub_without_notices_tells_senders_nothing() -> None:
    scene = Scene(notices=False)
    client = scene.join()
    scene.broker.down()
    scene.turn()
    said(scene, client, 3)
    said(scene, client, 1000)
    scene.pass_s(3)
    assert scene.heard(client) == []
    scene.broker.up()
    scene.settle()
    assert set(scene.heard(client)) == {f"<a> {LINE}"}


# The end of a client.


def test_client_at_its_end_waits_until_it_has_heard_its_lines() -> None:
    scene = Scene()
    client, other = scene.join(), scene.join()
    scene.say(client, "one", "two")
    assert scene.commons.holds_up(client.id, at_end=True)
    assert not scene.commons.holds_up(other.id, at_end=True)
    scene.broker.ack()
    scene.turn()
    assert scene.heard(client) == [] and scene.commons.holds_up(client.id, at_end=True)
    scene.pass_s(0.5)  # What did not come live is fetched.
    assert scene.heard(client) == ["<guest-me-1> one", "<guest-me-1> two"]
    assert not scene.commons.holds_up(client.id, at_end=True)


def test_client_at_its_end_waits_for_ten_seconds_at_most() -> None:
    scene = Scene()
    client = scene.join()
    scene.say(client, "one")
    scene.pass_s(9.8)
    assert scene.commons.holds_up(client.id, at_end=True)
    scene.pass_s(0.4)
    assert not scene.commons.holds_up(client.id, at_end=True)


def test_client_with_refused_lines_alone_may_end() -> None:
    scene = Scene()
    client = scene.join()
    assert client.room is not None
    scene.commons.say(client.room, [b"<a> " + b"x" * 200_000], client.id, scene.now)
    assert not scene.commons.holds_up(client.id, at_end=True)


def test_lines_of_others_end_no_wait() -> None:
    scene = Scene()
    client = scene.join()
    scene.say(client, "one")
    scene.elsewhere(talk("lobby", "<guest-me-1> one"), origin=ME._replace(hub="ann"))
    assert scene.commons.holds_up(client.id, at_end=True)


def test_nothing_is_due_when_everything_is_told() -> None:
    scene = Scene()
    client = scene.join()
    scene.say(client, "one")
    scene.settle()
    scene.broker.down()
    scene.turn()
    assert scene.commons.timeout(scene.now) == inf
