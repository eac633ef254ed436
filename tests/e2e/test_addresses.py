"""Addresses, and connections by the hundred: each kind of loopback, a port used again, a mass of resets."""

import os
import socket
import time
from collections import Counter
from pathlib import Path

import pytest

from hub.control.mailbox import Stop
from tests.polled import WIRES, Crowd, Polled, assert_same_story, said
from tests.support import HubProcess, Record, ThreadHub, bye, each_trigger, until
from tests.unit.net.test_sockets import needs_ipv6

HEARD_ON = {"127.0.0.1": "127.0.0.1", "::ffff:127.0.0.1": "127.0.0.1", "::1": "::1"}
"""What a client may connect to, and the address of the hub that this is."""


@pytest.mark.promise("network-addresses")
@needs_ipv6
@pytest.mark.parametrize("host", HEARD_ON)
@pytest.mark.parametrize("listened", ["", "*"], ids=["that one", "all"])
def test_all_transports_hear_the_same_on_every_loopback(host: str, listened: str) -> None:
    with ThreadHub(host=listened or HEARD_ON[host], max_per_ip=2) as hub, Crowd() as crowd:
        made = [WIRES[wire](hub, f"{wire}-{number}", host=host) for wire in WIRES for number in range(4)]
        clients = crowd.join(hub, made)
        # Counted as one address, whichever way it is written; as loopback it is exempt from the limit.
        assert hub.loop.hub.connections.per_address == {HEARD_ON[host]: len(clients)}
        crowd.talk(clients, 20)
        crowd.until_heard(clients, said(clients))
        assert_same_story(clients, clients)
        for client in clients:
            client.leave()
        crowd.until(lambda: hub.reasons() == {"peer_closed": len(clients)})


# Back at once.

WAITING = 500


def time_waits(host: str, port: int) -> int:
    """How many sockets of this address are in TIME-WAIT."""
    local = f"{socket.inet_aton(host)[::-1].hex()}:{port:04x}".upper()
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    return sum(row[1] == local and row[3] == "06" for row in rows)


@pytest.mark.promise("close-listener")
def test_a_hub_comes_back_on_a_port_with_500_in_time_wait() -> None:
    host = f"127.{os.getpid() >> 8 & 255}.{os.getpid() & 255}.7"  # Nobody else takes a port of this one.
    with ThreadHub(host=host, ws=False) as hub:
        port = hub.port
        peers = hub.peers(WAITING, host=host)
        hub.mailbox.post(Stop())
        for peer in peers:
            assert peer.rest() == bye("server_shutdown")
            peer.close()
    until(lambda: time_waits(host, port) >= WAITING * 0.9)
    with ThreadHub(host=host, port=port, ws=False) as again, again.peer(host=host) as peer:
        assert again.port == port
        peer.echo()


# A thousand resets.


@pytest.mark.promise("close-reset")
@pytest.mark.long
@each_trigger
def test_a_thousand_resets_at_once_are_closed_and_others_hear_on(
    trigger: str, record_property: Record
) -> None:
    with HubProcess("--mode", "broadcast", "--trigger", trigger) as hub, Crowd() as crowd:
        doomed = [WIRES[wire](hub, f"doomed-{wire}-{number}") for number in range(500) for wire in WIRES]
        crowd.join(hub, doomed)
        others = crowd.join(hub, [Polled(hub, f"other-{number}") for number in range(10)])
        crowd.talk(others, 20)
        crowd.forget(*doomed)
        start = time.monotonic()
        for client in doomed:
            client.reset()
        reset_s = time.monotonic() - start
        crowd.talk(others[:1], 1)
        crowd.until(lambda: all(others[0].said[-1] in client.heard for client in others))
        echo_s = time.monotonic() - start - reset_s
        crowd.talk(others, 50)
        crowd.until_heard(others, said(others))
        assert_same_story(others, others)
        # Some had taken no line of the others yet, and so took no part.
        ends = Counter(hub.closed(1010, still_open=10))
        assert ends["peer_reset"] + ends["silent"] == ends.total() == len(doomed) and ends["peer_reset"]
        record_property(f"a thousand resets took, {trigger}", f"{reset_s * 1000:.0f} ms")
        record_property(f"a line behind them took, {trigger}", f"{echo_s * 1000:.0f} ms")
        assert echo_s < 2.0  # 0.1 s level, 0.35 s edge, on two cores with a load of 14
