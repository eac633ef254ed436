"""What only a network does: cables that are pulled, packets that are lost, a narrow line, a partition.

Each test makes namespaces of its own (see `namespaces`); the hub runs in this process, its listeners there.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.figures import quantile
from hub.net.sockets import USER_TIMEOUT_MS, Sockets
from tests.e2e.namespaces import HUB_HOST, Namespace, Network, require_namespaces
from tests.e2e.recording_clients import WIRES, Choir, Voice, assert_same_story
from tests.support import ROOT, HubProcess, Peer, ThreadHub, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]
Record = Callable[[str, object], None]
Over = Callable[[], bool]


@pytest.fixture(autouse=True)
def _networks_can_be_made() -> None:
    require_namespaces()


LOSE = """
table inet loss {
    counter lost { }
    chain in { type filter hook prerouting priority 0; meta iif != "lo" %s counter name lost drop; }
}
"""
"""What comes over a cable is lost, all of it or so many of a hundred packets at random."""


def lose(namespace: Namespace, percent: int) -> None:
    """From now on so many packets that come into this namespace are lost."""
    which = "" if percent == 100 else f"numgen random mod 100 < {percent}"
    namespace.run("nft", "-f", "-", stdin=LOSE % which)


def lose_nothing(namespace: Namespace) -> int:
    """The end of that; how many were lost."""
    told = namespace.run("nft", "list", "counter", "inet", "loss", "lost").split()
    namespace.run("nft", "delete", "table", "inet", "loss")
    return int(told[told.index("packets") + 1])


@contextmanager
def hub_in(network: Network, **options: Any) -> Iterator[ThreadHub]:
    """A hub at HUB_HOST that lets in as many as a site sends."""
    with network.hub.inside():
        hub = ThreadHub(host=HUB_HOST, max_per_ip=0, **options)
    with hub:
        yield hub


def voices_in(
    where: Namespace, hub: ThreadHub, choir: Choir, count: int, wire: str = "lines", name: str = "voice"
) -> list[Voice]:
    """Clients at a site, in the room when this returns."""
    before = subscribers(hub)
    port = hub.port if wire == "lines" else hub.ws_port
    with where.inside():
        made = [WIRES[wire]((HUB_HOST, port), f"{name}-{wire}-{number}") for number in range(count)]
    choir.join(made)
    choir.until(lambda: subscribers(hub) == before + count)
    return made


def subscribers(hub: ThreadHub) -> int:
    return sum(len(room.subscribers) for room in hub.loop.hub.rooms.all())


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def reasons(hub: ThreadHub) -> dict[str, int]:
    return dict(Counter(str(ending["reason"]) for ending in hub.endings()))


# Half-open connections.


class Fast(Sockets):
    """Sockets whose clocks for a peer that vanished run fifteen times as fast."""

    TIMES = 15
    USER_TIMEOUT_S = USER_TIMEOUT_MS / 1000 / TIMES

    def listen(self, host: str, port: int) -> list[tuple[socket.socket, str]]:
        bound = super().listen(host, port)
        for listener, _ in bound:
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_USER_TIMEOUT):
                real = listener.getsockopt(socket.IPPROTO_TCP, option)
                listener.setsockopt(socket.IPPROTO_TCP, option, real // self.TIMES)
        return bound


@pytest.mark.promise("network-vanished")
@pytest.mark.parametrize("trigger", ["level", "edge"])
@pytest.mark.parametrize("owed", [True, False], ids=["with data due to it", "idle"])
@pytest.mark.parametrize("wire", WIRES)
def test_a_pulled_cable_is_peer_timeout_at_the_kernels_bound(
    wire: str, owed: bool, trigger: str, record_property: Record
) -> None:
    with (
        Network(sites=2) as network,
        hub_in(network, sockets=Fast(), trigger=trigger) as hub,
        Choir() as choir,
    ):
        (here,) = voices_in(network.sites[0], hub, choir, 1, name="here")
        voices_in(network.sites[1], hub, choir, 2, wire, name="gone")
        choir.talk([here], 1)
        choir.until_heard(choir.voices, 1)
        start = time.monotonic()
        network.sites[1].run("ip", "link", "set", "uplink", "down")
        if owed:
            choir.talk([here], 1)
        choir.until(lambda: len(hub.endings()) == 2, 30.0)
        took_s = time.monotonic() - start
        record_property(
            f"noticed with clocks 15 times as fast, {'owed' if owed else 'idle'}", f"{took_s:.1f} s"
        )
        assert reasons(hub) == {"peer_timeout": 2}
        assert Fast.USER_TIMEOUT_S - 1.2 <= took_s <= Fast.USER_TIMEOUT_S + 4
        choir.talk([here], 1)
        choir.until_heard([here], 3 if owed else 2)
        assert_same_story([here], [here])


@pytest.mark.promise("network-vanished")
def test_a_vanished_peer_is_gone_in_120_s_and_a_browser_in_40_s(
    record_property: Record,
) -> None:
    with Network(sites=2) as network, hub_in(network) as hub, Choir() as choir:
        (here,) = voices_in(network.sites[0], hub, choir, 1, name="here")
        voices_in(network.sites[1], hub, choir, 2, name="gone")
        voices_in(network.sites[1], hub, choir, 2, "websocket", name="gone")
        start = time.monotonic()
        network.sites[1].run("ip", "link", "set", "uplink", "down")
        choir.talk([here], 1)
        choir.until(lambda: len(hub.endings()) == 2, 60.0)
        browsers_s = time.monotonic() - start
        assert {ending["transport"] for ending in hub.endings()} == {"websocket"}
        choir.until(lambda: len(hub.endings()) == 4, 120.0)
        lines_s = time.monotonic() - start
        record_property("browsers whose cable was pulled, gone after", f"{browsers_s:.1f} s")
        record_property("line clients whose cable was pulled, gone after", f"{lines_s:.1f} s")
        assert reasons(hub) == {"peer_timeout": 4}
        limits = hub.loop.hub.limits
        assert browsers_s <= 2 * limits.ping_s + 5
        assert USER_TIMEOUT_MS / 1000 - 5 <= lines_s <= USER_TIMEOUT_MS / 1000 + 5
        assert here.ended == ""


# Lost packets.


@pytest.mark.promise("network-bad-link")
@pytest.mark.parametrize("percent", [1, 5])
def test_over_a_line_that_loses_packets_all_hear_all_in_order(percent: int, record_property: Record) -> None:
    with Network() as network, hub_in(network) as hub, Choir() as choir:
        site = network.sites[0]
        singers = voices_in(site, hub, choir, 25) + voices_in(site, hub, choir, 25, "websocket")
        for namespace in (network.hub, site):
            lose(namespace, percent)
        start = time.monotonic()
        choir.talk(singers, 100, filler=b"x" * 120)
        choir.until_heard(singers, 100 * len(singers), 60.0)
        lost = sum(lose_nothing(namespace) for namespace in (network.hub, site))
        record_property(f"5,000 lines to 50 with {percent} % loss", f"{time.monotonic() - start:.1f} s")
        record_property(f"packets lost of {percent} %", lost)
        assert lost > 0
        assert reasons(hub) == {}
        assert_same_story(singers, singers)


# A narrow line.


class Timed(Choir):
    """Some talk at a steady pace, by turns, and it is measured how long their lines take to one who listens.

    Each says few lines a second. What a hub that is held up for a moment reads of one speaker would else be
    4 KiB and more, and who sends so much at once is asked to wait for slow subscribers.
    """

    FILLER, PAUSE_S = b"x" * 240, 0.005

    def talk_for(
        self, speakers: list[Voice], listener: Voice, seconds: float, over: Over = bool
    ) -> list[float]:
        """Lines at that pace, until it is over or the time is; seconds that each took, sorted."""
        first, said_s, taken = listener.count, [], []
        next_s = time.monotonic()
        end = next_s + seconds
        while (now := time.monotonic()) < end and not over():
            if now >= next_s:
                self.talk([speakers[len(said_s) % len(speakers)]], 1, self.FILLER)
                said_s.append(now)
                next_s += self.PAUSE_S
            self.turn(max(0.0, next_s - time.monotonic()))
            while len(taken) < listener.count - first:
                taken.append(time.monotonic() - said_s[len(taken)])
        return sorted(taken)


NARROW = ("rate", "256kbit", "burst", "8kb", "limit", "64kb")


@pytest.mark.promise("network-narrow")
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("slow", ["disconnect", "skip"])
def test_one_client_behind_a_narrow_line_costs_others_nothing(
    slow: str, wire: str, record_property: Record
) -> None:
    options = {"slow": slow, "max_lag_bytes": 128 * 1024, "patience_s": 0}
    with Network(sites=2) as network, hub_in(network, **options) as hub, Timed() as choir:
        network.hub.run("tc", "qdisc", "add", "dev", "site2", "root", "tbf", *NARROW)
        here = voices_in(network.sites[0], hub, choir, 10, wire)
        without = choir.talk_for(here, here[0], 3.0)
        choir.until_heard(here, said(here))
        (narrow,) = voices_in(network.sites[1], hub, choir, 1, wire, name="narrow")
        before = said(here)

        def is_handled() -> bool:
            return bool(hub.endings() or hub.loop.hub.account.skipped)

        beside = choir.talk_for(here, here[0], 60.0, is_handled)
        assert is_handled()
        choir.talk(here, 1)  # A client that skipped goes on at the head of the room: these lines it gets.
        choir.until_heard(here, said(here))
        assert_same_story(here, here)
        for what, taken in (("without", without), ("beside", beside)):
            record_property(f"p99 {what} a client at 256 kbit/s, {slow}, {wire}", ms(quantile(taken, 0.99)))
        assert quantile(beside, 0.99) < quantile(without, 0.99) + 0.2
        if slow == "disconnect":
            assert reasons(hub) == {"slow_consumer": 1}
        else:
            end = here[0].lines[-1] + b"\n"
            choir.until(lambda: narrow.heard.endswith(end), 60.0)
            assert_gaps_are_told(narrow, here[0].lines[before:])
            assert reasons(hub) == {}


def said(voices: list[Voice]) -> int:
    return sum(len(voice.said) for voice in voices)


def assert_gaps_are_told(narrow: Voice, told: list[bytes]) -> None:
    """What it heard and what it was told that it missed are together all there was."""
    at = 0
    for line in narrow.lines:
        if line.startswith(b"* skipped "):
            at += int(line.split()[2])
        else:
            assert line == told[at]
            at += 1
    assert at == len(told)


# A partition.


@pytest.mark.promise("network-partition")
def test_a_partition_of_five_seconds_closes_nobody(record_property: Record) -> None:
    with Network(sites=2) as network, hub_in(network) as hub, Choir() as choir:
        here = voices_in(network.sites[0], hub, choir, 5, name="here")
        away = [
            voice
            for wire in WIRES
            for voice in voices_in(network.sites[1], hub, choir, 10, wire, name="away")
        ]
        everyone = here + away
        choir.talk(everyone, 20)
        choir.until_heard(everyone, 20 * len(everyone))
        lose(network.sites[1], 100)
        lose_from_site_2(network.hub)
        healed_s = time.monotonic() + 5.0
        while time.monotonic() < healed_s:  # Both sides talk on; only this side is heard.
            choir.talk(everyone, 1)
            choir.listen_for(0.05)
        assert not any(b"away" in line for line in here[0].lines[20 * len(everyone) :])
        lost = lose_nothing(network.sites[1]) + lose_nothing(network.hub)
        took_s = choir.until_heard(everyone, said(everyone), 30.0)
        record_property("caught up after a partition of 5 s", f"{took_s:.1f} s")
        assert lost > 0
        assert reasons(hub) == {}
        assert_same_story(everyone, everyone)


def lose_from_site_2(hub: Namespace) -> None:
    hub.run("nft", "-f", "-", stdin=LOSE % 'meta iifname "site2"')


# One address in two spellings.


@pytest.mark.promise("network-addresses")
def test_an_address_has_one_limit_however_it_is_written() -> None:
    with Network() as network:
        with network.hub.inside():
            hub = ThreadHub(host=HUB_HOST, max_per_ip=2)
        with hub, network.sites[0].inside(), Peer(hub.port, HUB_HOST), Peer(hub.port, f"::ffff:{HUB_HOST}"):
            until(lambda: hub.loop.hub.connections.per_address == {"10.99.1.2": 2})
            for host in (HUB_HOST, f"::ffff:{HUB_HOST}"):
                with Peer(hub.port, host) as third:
                    assert third.line() == b"* bye reason=per_ip_limit limit=2\r\n"
            until(lambda: reasons(hub) == {"per_ip_limit": 2})


# Sockets that somebody else destroys.


@pytest.mark.promise("network-broken-link")
@pytest.mark.parametrize("trigger", ["level", "edge"])
def test_connections_killed_under_the_hub_are_an_io_error_each(
    trigger: str,
) -> None:
    with Network() as network, hub_in(network, trigger=trigger) as hub, Choir() as choir:
        site = network.sites[0]
        doomed = [v for wire in WIRES for v in voices_in(site, hub, choir, 25, wire, name="doomed")]
        others = [v for wire in WIRES for v in voices_in(site, hub, choir, 5, wire, name="other")]
        choir.talk(doomed + others, 5)
        choir.until_heard(others, 5 * 60)
        theirs = " or ".join(f"dport = :{voice.port}" for voice in doomed)
        network.hub.run("ss", "-K", "-t", "-n", f"( {theirs} )")
        choir.until(lambda: all(voice.ended for voice in doomed) and len(hub.endings()) == 50)
        assert {(ending["reason"], ending["detail"]) for ending in hub.endings()} == {
            ("io_error", "ECONNABORTED")
        }
        assert len({ending["id"] for ending in hub.endings()}) == 50
        assert {voice.ended for voice in doomed} == {"reset"}
        choir.talk(others, 20)
        choir.until_heard(others, 5 * 60 + 20 * 10)
        assert_same_story(others, doomed + others)


# A full accept queue.


@pytest.mark.promise("network-accept-queue")
def test_everyone_is_served_after_the_accept_queue_overflowed(record_property: Record) -> None:
    count, queue = 500, 16
    with Network(sites=0) as made:
        network = made.hub
        with network.inside():
            Path("/proc/sys/net/core/somaxconn").write_text(f"{queue}\n")
            serve = HubProcess("--mode", "echo", "--no-web", "--no-ws")
        with serve as hub, ExitStack() as stack:
            hub.stand_still()
            with network.inside():
                socks = [stack.enter_context(connecting(hub.port)) for _ in range(count)]
            until(lambda: overflows(network) > 0)
            start = time.monotonic()
            wait_connected(socks[: queue // 2])
            hub.go_on()
            wait_connected(socks)
            everyone_is_echoed(socks)
            record_property("500 served after an overflow", f"{time.monotonic() - start:.1f} s")
            record_property("connections that the queue had no room for", overflows(network))
            stack.close()
            assert hub.stop() == 0


def connecting(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(("127.0.0.1", port))
    return sock


def overflows(network: Namespace) -> int:
    """ListenOverflows of a namespace: how often its accept queues were full."""
    with network.inside():
        names, values = Path("/proc/thread-self/net/netstat").read_text().splitlines()[:2]
    return int(dict(zip(names.split(), values.split(), strict=True))["ListenOverflows"])


def wait_connected(socks: list[socket.socket]) -> None:
    for sock in socks:
        assert select.select([], [sock], [], 60.0)[1], "it did not get through"
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def everyone_is_echoed(socks: list[socket.socket]) -> None:
    """One after the other: what many of them send again in the same moment overflows the queue again."""
    for number, sock in enumerate(socks):
        line = b"line %d\n" % number
        sock.settimeout(30.0)
        sock.sendall(line)
        assert sock.recv(100) == line


# And the networks themselves.


def test_nothing_of_a_network_is_left_when_its_process_is_killed() -> None:
    before = devices(), sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else []
    code = (
        "import os, sys\n"
        "from tests.e2e.namespaces import Network\n"
        "network = Network(sites=2)\n"
        "for one in (network.hub, *network.sites): print(os.fstat(one.fd).st_ino)\n"
        "sys.stdout.flush()\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        inodes = {int(child.stdout.readline()) for _ in range(3)}
        assert inodes <= networks_in_use()
        child.kill()
    until(lambda: not inodes & networks_in_use())
    assert before == (devices(), sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else [])


def devices() -> list[str]:
    return sorted(os.listdir("/sys/class/net"))


def networks_in_use() -> set[int]:
    """Inodes of all network namespaces that a process is in or has open."""
    found = set()
    for pattern in ("[0-9]*/fd/*", "[0-9]*/ns/net"):
        for path in Path("/proc").glob(pattern):
            try:
                target = os.readlink(path)
            except OSError:
                continue
            if target.startswith("net:["):
                found.add(int(target[5:-1]))
    return found
