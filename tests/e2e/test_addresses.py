"""Addresses, and connections by the hundred: each kind of loopback, a port used again, a mass of resets."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.control.mailbox import Stop
from tests.e2e.recording_clients import WIRES, Choir, Voice, assert_same_story
from tests.support import HubProcess, Peer, ThreadHub, closing, until
from tests.unit.net.test_sockets import needs_ipv6

Record = Callable[[str, object], None]
HEARD_ON = {"127.0.0.1": "127.0.0.1", "::ffff:127.0.0.1": "127.0.0.1", "::1": "::1"}
"""What a client may connect to, and the address of the hub that this is."""


# Kinds of addresses.


def small_talk(host: str) -> tuple[bytes, ...]:
    """What two in a chat were told from first to last, one leaving and one told to go; and of their ends."""
    with ThreadHub(host=HEARD_ON[host], mode="chat") as hub:
        ann = Peer(hub.port, host)
        ann.send(b"/nick ann\n/who\n")
        heard = ann.read_until(b"is now ann\n")
        bob = Peer(hub.port, host)
        with closing([ann, bob]):
            bob.send(b"/nick bob\nhello\n")
            heard += ann.read_until(b"hello\n")
            ann.send(b"hi\n/quit\n")
            ours = ann.rest()
            theirs = bob.read_until(b"ann left\n")
            assert set(hub.loop.hub.connections.per_address) == {HEARD_ON[host]}
            hub.mailbox.post(Stop())
            theirs += bob.rest()
        until(lambda: len(hub.endings()) == 2)
        assert {ending["reason"] for ending in hub.endings()} == {"quit", "server_shutdown"}
        return heard, ours, theirs


@pytest.mark.promise("network-addresses")
@needs_ipv6
def test_a_chat_is_the_same_to_the_byte_over_every_loopback() -> None:
    told = {small_talk(host) for host in HEARD_ON}
    assert len(told) == 1, told
    assert all(b"bye reason=" in part for part in told.pop()[1:])


@pytest.mark.promise("network-addresses")
@needs_ipv6
@pytest.mark.parametrize("host", HEARD_ON)
def test_all_transports_hear_the_same_on_every_loopback(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ThreadHub(host=HEARD_ON[host], max_per_ip=2) as hub, Choir() as choir:
        ports = {"lines": hub.port, "websocket": hub.ws_port}
        voices = choir.join(
            [
                WIRES[wire]((host, ports[wire]), f"{wire}-{n}", family=family)
                for wire in WIRES
                for n in range(4)
            ]
        )
        choir.until(lambda: sum(len(room.subscribers) for room in hub.loop.hub.rooms.all()) == len(voices))
        # Counted as one address, whichever way it is written; as loopback it is exempt from the limit.
        assert hub.loop.hub.connections.per_address == {HEARD_ON[host]: len(voices)}
        choir.talk(voices, 20)
        choir.until_heard(voices, 20 * len(voices))
        assert_same_story(voices, voices)
        for voice in voices:
            voice.leave()
        choir.until(lambda: len(hub.endings()) == len(voices))
        assert {ending["reason"] for ending in hub.endings()} == {"peer_closed"}


# Back at once.

WAITING = 500


def time_waits(host: str, port: int) -> int:
    """How many sockets of this address are in TIME-WAIT."""
    local = f"{socket.inet_aton(host)[::-1].hex()}:{port:04x}".upper()
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    return sum(row[1] == local and row[3] == "06" for row in rows)


@pytest.mark.promise("close-listener")
def test_a_hub_comes_back_on_a_port_with_500_in_time_wait(
    record_property: Record,
) -> None:
    host = f"127.{os.getpid() >> 8 & 255}.{os.getpid() & 255}.7"  # Nobody else takes a port of this one.
    with ThreadHub(host=host, ws=False) as hub:
        port = hub.port
        peers = hub.peers(WAITING, host=host)
        hub.mailbox.post(Stop())
        for peer in peers:
            assert peer.rest() == b"* bye reason=server_shutdown\n"
            peer.close()
    until(lambda: time_waits(host, port) >= WAITING * 0.9)
    waiting, start = time_waits(host, port), time.monotonic()
    with ThreadHub(host=host, port=port, ws=False) as again:
        with again.peer(host=host) as peer:
            peer.send(b"back\n")
            assert peer.line() == b"back\n"
        took_s = time.monotonic() - start
    assert again.port == port
    record_property(f"back with {waiting} in TIME-WAIT", f"{took_s * 1000:.1f} ms")


# A thousand resets.


@pytest.mark.promise("close-reset")
@pytest.mark.long
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_a_thousand_resets_at_once_are_closed_and_others_hear_on(
    trigger: str, record_property: Record
) -> None:
    with HubProcess("--mode", "broadcast", "--trigger", trigger) as hub, Choir() as choir:
        ports = {"lines": hub.port, "websocket": hub.ws_port}
        doomed = [
            WIRES[wire](("127.0.0.1", ports[wire]), f"doomed-{wire}-{number}")
            for number in range(500)
            for wire in WIRES
        ]
        choir.join(doomed)
        others = choir.join([Voice(("127.0.0.1", hub.port), f"other-{number}") for number in range(10)])
        # A client that heard a line of each other one is in the room, and so are they.
        choir.talk(others, 1)
        choir.until_heard(others[-1:], 1)
        choir.talk(others, 20)
        for voice in doomed:
            choir.forget(voice)
        start = time.monotonic()
        for voice in doomed:
            voice.reset()
        reset_s = time.monotonic() - start
        last = b"%s 21" % others[0].name.encode()
        choir.talk(others[:1], 1)
        choir.until(lambda: all(last in voice.heard for voice in others))
        echo_s = time.monotonic() - start - reset_s
        choir.talk(others, 50)
        choir.until(lambda: all(other.said[-1] in voice.heard for voice in others for other in others))
        ended = until(lambda: closed_so_far(hub, len(doomed)))
        assert ended == {"peer_reset": len(doomed)}
        assert len({bytes(voice.heard[voice.heard.index(last) :]) for voice in others}) == 1
        record_property(f"a thousand resets took, {trigger}", f"{reset_s * 1000:.0f} ms")
        record_property(f"a line behind them took, {trigger}", f"{echo_s * 1000:.0f} ms")
        assert echo_s < 2.0  # 0.1 s level, 0.35 s edge, on two cores with a load of 14


def closed_so_far(hub: HubProcess, count: int) -> dict[str, int]:
    """The closed clients by reason, once there are so many."""
    closed = Counter(hub.get("/api/summary")["closed"])
    return {reason: times for reason, times in closed.items() if times} if closed.total() >= count else {}
