"""Three real hubs with twenty clients each: one sequence for all of them, whatever breaks."""

import asyncio
import shutil
from contextlib import ExitStack
from pathlib import Path

import nats
import pytest

from tests.cluster.scene import PATIENT, a_scene
from tests.cluster.support import Broker, a_broker
from tests.e2e.chaos import CLEAR, Proxy, Toxic
from tests.support import Record

QUICK, LONG = 3_000, 100_000
LONG_MARKS = (pytest.mark.long, pytest.mark.timeout(600))
each_size = pytest.mark.parametrize(
    ("mode", "lines"),
    [
        ("broadcast", QUICK),
        pytest.param("broadcast", LONG, marks=LONG_MARKS),
        pytest.param("chat", LONG, marks=LONG_MARKS),
    ],
)
ALL = {b"a", b"b", b"c"}
HOLE = Toxic(stopped=True)


def test_clients_of_all_hubs_hear_one_sequence(tmp_path: Path) -> None:
    with a_broker(tmp_path) as broker, a_scene(tmp_path, 3 * [broker.url], "chat") as scene:
        scene.speak(QUICK)
        scene.settle()
        assert sum(scene.story.count.values()) == QUICK


@each_size
def test_hub_killed_and_back_hears_the_rest(tmp_path: Path, mode: str, lines: int) -> None:
    with a_broker(tmp_path) as broker, a_scene(tmp_path, 3 * [broker.url], mode) as scene:
        scene.speak(lines // 3)
        scene.kill(1)
        scene.speak(lines // 3)
        scene.bring_back(1)
        scene.speak(lines // 3)
        scene.settle()


@each_size
def test_broker_killed_four_times_loses_nothing(tmp_path: Path, mode: str, lines: int) -> None:
    with a_broker(tmp_path) as broker, a_scene(tmp_path, 3 * [broker.url], mode) as scene:
        for _ in range(4):
            scene.speak(lines // 5)
            broker.kill()
            broker.start()
        scene.speak(lines // 5)
        scene.settle()
        assert sum(scene.story.count.values()) == sum(len(each.said) for each in scene.clients)


@pytest.mark.parametrize(
    ("mode", "lines", "seconds", "filler"),
    [
        ("broadcast", QUICK, 3.0, 20),
        pytest.param("broadcast", LONG, 30.0, 200, marks=LONG_MARKS),
        pytest.param("chat", LONG, 30.0, 200, marks=LONG_MARKS),
    ],
)
def test_broker_that_stands_still_is_told_and_counted(
    tmp_path: Path, mode: str, lines: int, seconds: float, filler: int, record_property: Record
) -> None:
    with a_broker(tmp_path) as broker, ExitStack() as stack:
        made = a_scene(tmp_path, 3 * [broker.url], mode, *PATIENT, filler=b"." * filler)
        scene = stack.enter_context(made)
        scene.speak(lines // 3)
        with broker.standing_still():
            scene.speak_for(seconds)
        scene.speak(lines // 3)
        scene.settle()
        record_property("refused", f"{sum(each.refused for each in scene.alive):,} lines")
        for text in (b"the cluster does not answer; lines wait", b"the cluster answers again"):
            scene.until(lambda text=text: scene.told(text) == ALL)  # type: ignore[misc]


@each_size
def test_link_in_a_black_hole_comes_back(
    tmp_path: Path, mode: str, lines: int, record_property: Record
) -> None:
    with a_broker(tmp_path) as broker, Proxy(broker.port) as proxy:
        urls = [broker.url, broker.url, f"nats://127.0.0.1:{proxy.port}"]
        with a_scene(tmp_path, urls, mode) as scene:
            scene.speak(lines // 3)
            proxy.poison(to_hub=HOLE, to_client=HOLE)
            far = scene.hubs[2]
            noticed_s = scene.speak_until(lambda: far.records("no link"))
            scene.speak(lines // 3)
            proxy.poison(to_hub=CLEAR, to_client=CLEAR)
            scene.speak(lines // 3)
            scene.settle()
            record_property("a black hole is noticed after", f"{noticed_s:.1f} s")
            scene.until(lambda: scene.told(b"the cluster answers again") >= {b"c"})


@each_size
def test_store_that_went_back_is_announced_on_all_hubs(tmp_path: Path, mode: str, lines: int) -> None:
    older = tmp_path / "older"
    with a_broker(tmp_path) as broker, a_scene(tmp_path, 3 * [broker.url], mode) as scene:
        scene.speak(lines // 4)
        scene.settle()
        broker.kill()
        shutil.copytree(broker.store, older)
        broker.start()
        scene.speak(lines // 4)
        scene.settle()
        broker.kill()
        broker.put_back(older)
        scene.speak(lines // 4)
        broker.start()
        scene.speak(lines // 4)
        scene.settle(went_back=True)
        scene.until(lambda: scene.told(b"the record of the cluster went back") == ALL)


@each_size
def test_stream_that_is_deleted_is_announced_on_all_hubs(tmp_path: Path, mode: str, lines: int) -> None:
    with a_broker(tmp_path) as broker, a_scene(tmp_path, 3 * [broker.url], mode) as scene:
        scene.speak(lines // 2)
        scene.settle()
        asyncio.run(delete(broker, f"hubbub-main-{mode}-0"))
        scene.speak(lines // 2)
        scene.settle(went_back=True)
        scene.until(lambda: scene.told(b"the record of the cluster went back") == ALL)


def test_hub_that_comes_back_behind_a_fork_sees_it(tmp_path: Path) -> None:
    older = tmp_path / "older"
    with a_broker(tmp_path) as broker, Proxy(broker.port) as proxy:
        urls = [broker.url, broker.url, f"nats://127.0.0.1:{proxy.port}"]
        with a_scene(tmp_path, urls, "broadcast") as scene:
            scene.speak(QUICK // 6)
            scene.settle()
            broker.kill()
            shutil.copytree(broker.store, older)
            broker.start()
            scene.speak(QUICK // 6)
            scene.settle()
            proxy.cut()
            broker.kill()
            broker.put_back(older)
            broker.start()
            before = len(scene.story.talk)
            scene.speak(QUICK)
            scene.speak_until(lambda: len(scene.story.talk) > 2 * before)
            proxy.restore()
            scene.settle(went_back=True)
            scene.until(lambda: scene.told(b"the record of the cluster went back: c") == ALL)


@pytest.mark.parametrize("seconds", [2.0, pytest.param(15.0, marks=LONG_MARKS)])
def test_hub_that_stood_still_hears_the_rest(tmp_path: Path, seconds: float) -> None:
    with a_broker(tmp_path) as broker, a_scene(tmp_path, 3 * [broker.url], "broadcast") as scene:
        scene.speak(QUICK // 3)
        scene.hubs[1].stand_still()
        scene.speak_for(seconds)
        scene.hubs[1].go_on()
        scene.speak(QUICK // 3)
        scene.settle()


async def delete(broker: Broker, stream: str) -> None:
    """The stream and all that it has."""
    client = await nats.connect(broker.url)
    try:
        await client.jetstream().delete_stream(stream)
    finally:
        await client.close()
