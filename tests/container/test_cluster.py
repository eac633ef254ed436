"""`docker compose -f compose.cluster.yml up --build` on a real engine: three hubs, one for their clients.

The ports are the real ones, 9000, 9001 and 8080 on loopback, and have to be free.
"""

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.container.engine import BUILD_S, cluster, docker, patiently, reason_for_none
from tests.e2e.programs import Window, telnet_window
from tests.support import Peer
from tests.support_ws import WsPeer

pytestmark = [pytest.mark.docker, pytest.mark.long, pytest.mark.timeout(900)]

LINES, WEBSOCKETS, PAGE = 9000, 9001, 8080
NAMES = ("a", "b", "c")
UP_S = 60.0
BACK_S = 40.0


@pytest.fixture(scope="module")
def built() -> Iterator[None]:
    """The images; at the end nothing is left of what ran, the record included."""
    if why := reason_for_none():
        pytest.skip(f"NO CONTAINER ENGINE, NOTHING OF THE CLUSTER WAS TESTED: {why}")
    cluster("build", timeout_s=BUILD_S)
    try:
        yield
    finally:
        cluster("down", "--volumes", "--timeout", "1")


@pytest.fixture
def running(built: None) -> None:
    """Three hubs that are ready, and that HAProxy sends clients to."""
    cluster("up", "--detach", timeout_s=UP_S)
    patiently(lambda: reached() == set(NAMES), UP_S)


def reached() -> set[str]:
    """The hubs that three clients at a time are led to."""
    with ExitStack() as ends:
        try:
            peers = [ends.enter_context(Peer(LINES)) for _ in NAMES]
            for peer in peers:
                peer.send(b"\n")
            return {hub_in(peer.read_until(b"/help lists commands")) for peer in peers}
        except (OSError, AssertionError):  # HAProxy has found no hub for it.
            return set()


def hub_in(greeting: bytes) -> str:
    """The hub that greets so: its guests are named after it."""
    found = re.findall(rb"you are guest-(\w+)-\d+ in ", greeting)
    assert found, greeting
    return str(found[-1].decode())


def inspect(service: str, key: str) -> Any:
    """A part of what the engine knows of a service's container."""
    container = cluster("ps", "--all", "--quiet", service)
    return json.loads(docker("inspect", container, "--format", f"{{{{json .{key}}}}}"))


@contextmanager
def person() -> Iterator[tuple[Window, str]]:
    """Somebody with telnet, and the hub that HAProxy chose."""
    with telnet_window(LINES) as window:
        window.wait_for("/help lists commands")
        yield window, hub_in(window.printed)


def test_two_telnets_meet_and_one_outlives_a_killed_hub(running: None) -> None:
    with person() as (ann, first), person() as (bob, second):
        assert first != second
        ann.type("from ann\r")
        bob.wait_for(f"<guest-{first}-")
        bob.wait_for("> from ann")
        bob.type("from bob\r")
        ann.wait_for(f"<guest-{second}-")
        ann.wait_for("> from bob")
        cluster("kill", f"hub-{first}")
        ann.wait_for_end()
        bob.type("still here\r")
        bob.wait_for("> still here")
        with person() as (again, third):
            assert third != first
            again.wait_for("> still here")  # Of the history, which all hubs have.
            again.type("back\r")
            bob.wait_for("> back")


def test_the_page_and_websockets_come_through_haproxy(running: None) -> None:
    with urllib.request.urlopen(f"http://localhost:{PAGE}/", timeout=10) as answer:
        assert b"hubbub" in answer.read()
    with WsPeer(WEBSOCKETS, origin=f"http://localhost:{PAGE}") as browser, Peer(LINES) as peer:
        browser.read_until("/help lists commands")
        browser.say("from a browser")
        peer.read_until(b"> from a browser\n")


def test_lines_wait_while_the_record_is_away(running: None) -> None:
    with Peer(LINES) as ann, Peer(LINES) as bob:
        for peer in (ann, bob):
            peer.send(b"hello\n")
            peer.read_until(b"> hello\n")
        cluster("kill", "nats")
        ann.send(b"said meanwhile\n")
        cluster("start", "nats")
        bob.sock.settimeout(BACK_S)
        bob.read_until(b"> said meanwhile\n")


def test_a_stop_ends_every_hub_in_order(running: None) -> None:
    cluster("stop", "hub-a", "hub-b", "hub-c", timeout_s=UP_S)
    assert [inspect(f"hub-{name}", "State.ExitCode") for name in NAMES] == [0, 0, 0]


def test_nothing_but_haproxy_is_reachable_from_outside(running: None) -> None:
    services = ("nats", "hub-a", "hub-b", "hub-c")
    for service in services:
        assert not any((inspect(service, "NetworkSettings.Ports") or {}).values())
    published = inspect("haproxy", "NetworkSettings.Ports")
    assert {one["HostIp"] for ports in published.values() for one in ports} == {"127.0.0.1"}


def test_the_hubs_of_a_cluster_are_found_well(running: None) -> None:
    for name in NAMES:
        assert "hubbub: well: " in cluster("exec", "--no-TTY", f"hub-{name}", "hubbub", "health", "--ready")
