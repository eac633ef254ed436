"""Lines of other hubs wait for a room as its senders here do, and no longer than those would."""

import pytest

from tests.loop.scene import LINE, Scene


def lagging(mode: str) -> Scene:
    """The slow one is alone, and lags behind what other hubs say."""
    scene = Scene(mode=mode)
    scene.talker.close()
    scene.stage.rest()
    hub, lines = scene.hub, [LINE.rstrip()] * 16
    while not hub.flow.records:
        hub.mode.heard(hub.rooms.lobby, lines, -1, 0.0)
        scene.stage.rest()
    return scene


def asks(scene: Scene) -> bool:
    """Whether a line of another hub has to wait now."""
    return scene.hub.flow.holds_up(scene.hub.rooms.lobby, scene.stage.clock())


@pytest.mark.parametrize("mode", ["chat", "broadcast"])
def test_line_of_another_hub_waits_ten_seconds_for_the_dead(mode: str) -> None:
    scene = lagging(mode)
    for _ in range(30):
        assert asks(scene) and not scene.end
        scene.stage.pass_time(0.3)
    for _ in range(5):
        asks(scene)
        scene.stage.pass_time(0.3)
    assert scene.end == "slow_consumer stuck=10s limit=10s"
    assert not asks(scene)


def test_reader_that_lags_stays_while_nobody_waits_for_it() -> None:
    scene = lagging("chat")
    assert asks(scene)
    scene.pass_s(30.0)
    assert not scene.end
    assert asks(scene)


def test_line_of_another_hub_goes_on_when_the_slow_one_reads() -> None:
    scene = lagging("chat")
    assert asks(scene)
    scene.reads()
    assert not asks(scene) and not scene.end
    scene.pass_s(1.0)
    assert not scene.hub.flow.records
