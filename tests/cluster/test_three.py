"""Three brokers that keep what is said threefold lose one, and no line; how long talk stops."""

import asyncio
from contextlib import suppress
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.js.api import StreamInfo

from tests.cluster.scene import Scene, a_scene
from tests.cluster.support import Broker, three_brokers
from tests.support import Record, until

STREAM = "hubbub-main-broadcast-0"
LINES = 10_000


@pytest.mark.long
@pytest.mark.timeout(300)
def test_three_brokers_lose_a_follower_and_then_the_leader(tmp_path: Path, record_property: Record) -> None:
    with three_brokers(tmp_path) as brokers:
        urls = 3 * [",".join(broker.url for broker in brokers)]
        with a_scene(tmp_path, urls, "broadcast", "--cluster-replicas", "3", lines_per_s=2000) as scene:
            scene.speak(LINES)
            leader = scene.meanwhile(lambda: leader_of(brokers))
            follower = next(broker for broker in brokers if broker is not leader)
            cut(scene, follower, record_property, "the cut when a follower is killed")
            follower.start()
            leader = scene.meanwhile(lambda: leader_of(brokers))
            cut(scene, leader, record_property, "the cut when the leader is killed")
            scene.settle()
            said = sum(len(each.said) for each in scene.alive)
            refused = sum(each.refused for each in scene.alive)
            record_property("refused", f"{refused:,} of {said:,} lines")


def cut(scene: Scene, broker: Broker, record_property: Record, name: str) -> None:
    """kill -9 under talk; the longest time in which nobody heard a line."""
    scene.speak(LINES // 4)
    scene.story.clock_anew()
    broker.kill()
    scene.speak_for(1.0)
    before = len(scene.story.talk)
    scene.speak_until(lambda: len(scene.story.talk) > before)
    scene.speak(LINES)
    record_property(name, f"{scene.story.pause_s:.1f} s")


def leader_of(brokers: list[Broker]) -> Broker:
    """The broker that leads the stream, once both others have all that it has."""

    def look() -> str:
        with suppress(nats.errors.Error):
            cluster = asyncio.run(info(brokers)).cluster
            replicas = (cluster.replicas if cluster else None) or []
            if cluster and len(replicas) == 2 and all(each.current and not each.offline for each in replicas):
                return cluster.leader or ""
        return ""

    name = until(look, 60.0)
    return next(broker for broker in brokers if broker.name == name)


async def info(brokers: list[Broker]) -> StreamInfo:
    """What the servers say of the stream. Raises nats' Error."""
    client = await nats.connect([broker.url for broker in brokers], error_cb=_unheard)
    try:
        return await client.jetstream().stream_info(STREAM)
    finally:
        await client.close()


async def _unheard(error: Exception) -> None:
    """A broker that is gone."""
