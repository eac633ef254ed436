"""What was said elsewhere while nobody was here, as those who come are shown it."""

from hub.modes.past import END
from tests.unit.cluster.link import talk
from tests.unit.cluster.scene import Scene


def test_room_without_anybody_here_keeps_what_is_said_there() -> None:
    scene = Scene()
    client = scene.join()
    scene.elsewhere(talk("Tea", "<ann> one", "<ann> two"))
    scene.wall, scene.now = scene.wall + 65, scene.now + 65
    scene.say(client, "/join tea")
    assert scene.heard(client) == [
        "* you are now in Tea, with nobody else",
        "* history: 2 lines of Tea, the newest 1 min 5 s old",
        *("<ann> one", "<ann> two", f"* {END}"),
    ]
    assert scene.balances()


def test_room_that_has_lost_its_last_member_keeps_its_history() -> None:
    scene = Scene()
    first, second = scene.join("/join tea"), scene.join()
    scene.say(first, "one")
    scene.settle()
    scene.say(first, "/leave")
    assert scene.rooms.find("tea") is None
    scene.elsewhere(talk("tea", "<ann> two"))
    scene.heard(second)
    scene.say(second, "/join tea")
    assert [line for line in scene.heard(second) if line[0] == "<"] == ["<guest-me-1> one", "<ann> two"]


def test_lobby_without_anybody_keeps_its_history_too() -> None:
    scene = Scene()
    scene.elsewhere(talk("lobby", "<ann> one"))
    client = scene.join()
    scene.say(client, "/history")
    assert "<ann> one" in scene.heard(client)


def test_history_from_elsewhere_is_shown_once_to_who_comes_again() -> None:
    """Somebody else stays, so the room is the same; what a client was shown is not shown again."""
    scene = Scene()
    first, second = scene.join(), scene.join()
    scene.elsewhere(talk("tea", "<ann> one", "<ann> two"))
    scene.say(first, "/join tea")
    scene.say(second, "/join tea")
    assert "<ann> one" in scene.heard(first)
    scene.say(first, "/leave", "/join tea")
    assert not [line for line in scene.heard(first) if line[0] == "<"]


def test_line_with_a_clock_ahead_of_ours_is_not_from_the_future() -> None:
    scene = Scene()
    scene.broker.wall_ms += 3_600_000
    scene.elsewhere(talk("lobby", "<ann> one"))
    ((_, _, _, said_at),) = scene.rooms.lobby.history.last(1, 99)
    assert said_at == scene.now
