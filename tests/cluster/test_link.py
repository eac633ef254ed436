"""Three members on a real nats-server: one sequence for all, whatever happens to the broker."""

import asyncio
import contextlib
import shutil
import socket
import time
from pathlib import Path

import nats
import pytest

from tests.cluster.support import Broker, Hub, a_broker, hubs, three_brokers
from tests.support import Record, until

NAMES = ("ann", "bob", "cy")


def say(hub: Hub, count: int, first: int = 0) -> list[bytes]:
    """So many numbered lines of a hub."""
    lines = [b"%s %d" % (hub.origin.hub.encode(), number) for number in range(first, first + count)]
    for line in lines:
        hub.say(line)
    return lines


def settled(members: list[Hub], lines: int) -> None:
    """Wait until all have heard so many lines, and nothing is under way."""
    until(lambda: all(len(hub.heard) >= lines and hub.is_quiet for hub in members), 60.0)


def one_sequence(members: list[Hub], said: list[list[bytes]]) -> None:
    """All heard the same, each line once, and each hub's lines in their order."""
    heard = members[0].heard
    assert all(hub.heard == heard for hub in members)
    assert sorted(heard) == sorted(line for lines in said for line in lines)
    for lines in said:
        ours = set(lines)
        assert [line for line in heard if line in ours] == lines


def test_members_hear_one_sequence_of_all_lines(tmp_path: Path) -> None:
    with a_broker(tmp_path) as broker, hubs([broker], *NAMES) as members:
        said = [say(hub, 1000) for hub in members]
        settled(members, 3000)
        one_sequence(members, said)
        assert [hub.told for hub in members] == [[], [], []]


def test_broker_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with a_broker(tmp_path) as broker, hubs([broker], *NAMES) as members:
        said: list[list[bytes]] = [[] for _ in members]
        for time in range(1, 5):
            for lines, hub in zip(said, members, strict=True):
                lines += say(hub, 500, first=len(lines))
            until(lambda time=time: len(members[0].heard) > 1500 * time - 1200, 60.0)  # type: ignore[misc]
            broker.kill()
            broker.start()
        settled(members, 6000)
        one_sequence(members, said)


def test_broker_that_stands_still_is_noticed_and_waited_for(tmp_path: Path) -> None:
    with a_broker(tmp_path) as broker, hubs([broker], *NAMES) as members:
        said = [say(hub, 10) for hub in members]
        settled(members, 30)
        with broker.standing_still():
            said = [lines + say(hub, 500, first=10) for lines, hub in zip(said, members, strict=True)]
            until(lambda: not any(hub.member.follows for hub in members), 5.0)
        settled(members, 1530)
        one_sequence(members, said)


def test_hub_that_comes_later_hears_all_from_the_start(tmp_path: Path) -> None:
    with a_broker(tmp_path) as broker, hubs([broker], "ann") as members:
        said = [say(members[0], 2000)]
        settled(members, 2000)
        late = Hub([broker.url], "bob")
        try:
            settled([*members, late], 2000)
            one_sequence([*members, late], said)
        finally:
            late.kill()


def test_store_that_went_back_is_announced_everywhere(tmp_path: Path) -> None:
    with a_broker(tmp_path) as broker, hubs([broker], *NAMES) as members:
        say(members[0], 100)
        settled(members, 100)
        broker.kill()
        shutil.copytree(broker.store, tmp_path / "older")
        broker.start()
        say(members[1], 100)
        settled(members, 200)
        before = list(members[0].heard)
        _put_back(broker, tmp_path / "older")
        say(members[2], 100)
        settled(members, 300)
        for hub in members:
            assert hub.heard[:200] == before and len(hub.heard) == 300
            assert any(b"went back" in line for line in hub.told)


def test_stream_that_is_deleted_begins_anew_and_is_announced(tmp_path: Path) -> None:
    with a_broker(tmp_path) as broker, hubs([broker], *NAMES) as members:
        say(members[0], 100)
        settled(members, 100)
        broker.kill()
        shutil.rmtree(broker.store)
        broker.start()
        say(members[1], 100)
        settled(members, 200)
        for hub in members:
            assert len(hub.heard) == len({*hub.heard}) == 200
            assert any(b"went back" in line for line in hub.told)


@pytest.mark.parametrize(
    "poison",
    [
        b"PUB hubbub.test.0.in.evil.\xff\xfe 1\r\nx\r\n",
        b"HPUB hubbub.test.0.in.evil.1 29 30\r\nNATS/1.1 \xff\xfe\xfd\r\nName: value\r\n\r\nx\r\n",
        b"PUB hubbub.test.0.in.evil.ann.1 1\r\nx\r\n",
        b"PUB hubbub.test.0.in.evil.1 0\r\n\r\n",
    ],
    ids=["a subject that is no text", "headers that are no text", "another's name", "nothing"],
)
def test_poisoned_message_ends_nothing_and_is_told(tmp_path: Path, poison: bytes) -> None:
    with a_broker(tmp_path) as broker, hubs([broker], *NAMES) as members:
        said = [say(hub, 10) for hub in members]
        settled(members, 30)
        publish_raw(broker, poison)
        said = [lines + say(hub, 10, first=10) for lines, hub in zip(said, members, strict=True)]
        settled(members, 60)
        one_sequence(members, said)
        until(
            lambda: all(hub.told == [b"* 1 messages of the cluster cannot be read here"] for hub in members)
        )
        assert [sum(line.startswith("linked") for line in hub.link_told) for hub in members] == [1, 1, 1]


def test_stream_that_no_hub_made_is_refused_with_a_reason(tmp_path: Path) -> None:
    with a_broker(tmp_path) as broker:
        until(lambda: _makes_a_stream(broker.url))
        with hubs([broker], "ann") as (hub,):
            until(lambda: any("was not made by a hub" in line for line in hub.link_told))
            assert not hub.member.follows


def _makes_a_stream(url: str) -> bool:
    """Make one of the name that hubs use, as somebody else would; False while nobody listens."""

    async def make() -> None:
        client = await nats.connect(url, allow_reconnect=False, max_reconnect_attempts=1, error_cb=_unheard)
        await client.jetstream().add_stream(name="hubbub-test-0", subjects=["hubbub.test.0.in.>"])
        await client.close()

    with contextlib.suppress(Exception):
        asyncio.run(make())
        return True
    return False


async def _unheard(error: Exception) -> None:
    """Nobody listens yet."""


def publish_raw(broker: Broker, command: bytes) -> None:
    """A command of the protocol of NATS, as it stands, from somebody who may."""
    with socket.create_connection(("127.0.0.1", broker.port)) as sock:
        sock.sendall(b'CONNECT {"verbose":false,"headers":true}\r\n' + command + b"PING\r\n")
        seen = b""
        while b"PONG" not in seen:
            data = sock.recv(4096)
            assert data, seen
            seen += data


@pytest.mark.long
@pytest.mark.parametrize("which", ["follower", "leader"])
def test_three_brokers_lose_one_and_nothing_else(tmp_path: Path, which: str, record_property: Record) -> None:
    with three_brokers(tmp_path) as brokers, hubs(brokers, *NAMES, replicas=3) as members:
        said = [say(hub, 100) for hub in members]
        settled(members, 300)
        leader = asyncio.run(leader_of(brokers[0].url))
        killed = next(broker for broker in brokers if (broker.name == leader) == (which == "leader"))
        begun_s = time.monotonic()
        killed.kill()
        said = [lines + say(hub, 500, first=100) for lines, hub in zip(said, members, strict=True)]
        settled(members, 1800)
        record_property(f"the cut when a {which} is killed", f"{time.monotonic() - begun_s:.1f} s")
        one_sequence(members, said)
        assert not any(hub.told for hub in members)


async def leader_of(url: str) -> str:
    """The name of the server that leads the stream."""
    client = await nats.connect(url)
    try:
        info = await client.jetstream().stream_info("hubbub-test-0")
        assert info.cluster is not None and info.cluster.leader is not None
        return info.cluster.leader
    finally:
        await client.close()


def _put_back(broker: Broker, older: Path) -> None:
    broker.kill()
    shutil.rmtree(broker.store)
    shutil.copytree(older, broker.store)
    broker.start()
