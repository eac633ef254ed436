"""A hub that starts without its broker, and what it is told that the broker has no more."""

import asyncio
from contextlib import suppress
from pathlib import Path

import nats
from nats.js.api import RePublish, StreamConfig

from tests.cluster.scene import ClusterHub, hubs_of
from tests.cluster.support import Broker, a_broker
from tests.e2e.chaos import Proxy
from tests.support import Peer, until

KEPT = 20
MORE = 100


def test_hub_without_its_broker_serves_and_lines_wait(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    with ClusterHub("a", broker.url, tmp_path, mode="chat") as hub, hub.peer() as peer:
        assert any("no link yet" in line and "lines wait" in line for line in hub.start_lines)
        peer.send(b"hello\n")
        peer.read_until(b"* the cluster does not answer; lines wait\n")
        broker.start()
        try:
            peer.read_until(b"hello\n")
            peer.read_until(b"* the cluster answers again; what waited is sent\n")
        finally:
            broker.kill()


def test_messages_that_the_broker_has_no_more_are_told(tmp_path: Path) -> None:
    with a_broker(tmp_path) as broker, Proxy(broker.port) as proxy:
        until(lambda: makes_a_short_stream(broker.url))
        urls = [broker.url, f"nats://127.0.0.1:{proxy.port}"]
        with hubs_of(tmp_path, urls, "broadcast") as (a, b), a.peer() as ann, b.peer() as bob:
            meet(ann, bob)
            proxy.cut()
            b.wait_for_record("no link")
            for number in range(MORE):  # Each is a message of its own.
                ann.echo(b"ann %d\n" % number)
            proxy.restore()
            heard = [bob.line() for _ in range(KEPT + 1)]
            heard.remove(b"* %d messages of the cluster are gone\n" % (MORE - KEPT))
            assert heard == [b"ann %d\n" % number for number in range(MORE - KEPT, MORE)]


def meet(ann: Peer, bob: Peer) -> None:
    """Until each has heard the other."""
    for peer, line in ((bob, b"bob\n"), (ann, b"ann\n")):  # The second comes behind the first everywhere.
        peer.send(line)
        peer.read_until(line)
    bob.read_until(b"ann\n")


def makes_a_short_stream(url: str) -> bool:
    """Make a stream as hubs do, which keeps a few messages only; False while nobody listens."""
    config = StreamConfig(
        name="hubbub-main-broadcast-0", subjects=["hubbub.main-broadcast.0.in.>"], max_msgs=KEPT,
        allow_direct=True,
        republish=RePublish(src="hubbub.main-broadcast.0.in.>", dest="hubbub.main-broadcast.0.out.>"),
    )  # fmt: skip

    async def make() -> None:
        client = await nats.connect(url, allow_reconnect=False, max_reconnect_attempts=1, error_cb=_unheard)
        await client.jetstream().add_stream(config)
        await client.close()

    with suppress(Exception):
        asyncio.run(make())
        return True
    return False


async def _unheard(error: Exception) -> None:
    """Nobody listens yet."""
