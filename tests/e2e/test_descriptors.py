"""What a hub holds: descriptors when there are none left, after thousands came and went, and in its children.

And memory: what one idle client costs, and that a later crowd costs no more than an earlier one.
"""

import fcntl
import gc
import http.client
import json
import os
import random
import resource
import socket
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from hub.protocol.ws_connection import WebSocket
from hub.session.client import Client
from tests.e2e.test_quiet import assert_hub_rests, newest
from tests.support import PAIRS, PATIENCE_S, HubProcess, Peer, Record, ThreadHub, bye, each_pair, until
from tests.support import closing as closing_all
from tests.support_ws import WsPeer
from tests.unit.web.support import LiveTab

NO_DESCRIPTOR = bye("server_full", "limit=descriptors", end="\r\n")
KIB = 1024
O_CLOEXEC = 0o2000000  # As /proc/PID/fdinfo has it: the kernel's number, on every machine.


def ask(page: http.client.HTTPConnection, path: str) -> dict[str, Any]:
    """What the page's JSON door answers on this connection."""
    page.request("GET", path)
    with page.getresponse() as answer:
        told: dict[str, Any] = json.load(answer)
        return told


def page_of(hub: HubProcess) -> closing[http.client.HTTPConnection]:
    """A connection to the page of its own, for many questions."""
    port = urlsplit(hub.url).port
    assert port is not None
    return closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S))


def seconds(do: Callable[[], object]) -> float:
    """How long it takes."""
    now_s = time.monotonic()
    do()
    return time.monotonic() - now_s


def is_served(hub: HubProcess) -> bool:
    """Whether one more is let in."""
    with hub.peer() as peer:
        peer.send(b"hello\n")
        return peer.line() == b"hello\n"


# None left.


@pytest.mark.promise("resources-no-descriptor")
def test_without_descriptors_all_are_told_and_clients_go_on(record_property: Record) -> None:
    hub = HubProcess("--mode", "echo", "--log", "json", stderr=subprocess.PIPE)
    with hub, page_of(hub) as page, page_of(hub) as late_page, ExitStack() as stack:
        ask(page, "/livez")
        resource.prlimit(hub.process.pid, resource.RLIMIT_NOFILE, (64, 64))
        inside, told = [], []
        for peer in stack.enter_context(closing_all([hub.peer() for _ in range(200)])):
            peer.send(b"hello\n")
            (inside if (line := peer.line()) == b"hello\n" else told).append(peer)
            assert line in (b"hello\n", NO_DESCRIPTOR)
        assert len(inside) + len(told) == 200 and len(inside) >= 20
        until(lambda: hub.descriptors() == 64)  # The last is told before the spare one is taken back.
        waits_since_s = time.monotonic()
        late_page.connect()  # The kernel takes it; the page has no descriptor to do so.
        late_page.request("GET", "/livez")
        first = ask(page, "/api/summary")
        was = until(lambda: (s := ask(page, "/api/summary"))["uptime_s"] > first["uptime_s"] and s)
        now = until(lambda: (s := ask(page, "/api/summary"))["uptime_s"] > was["uptime_s"] and s)
        inside[0].echo()
        for peer in inside[:20]:
            peer.close()
        again_s = seconds(lambda: until(lambda: is_served(hub)))
        with late_page.getresponse() as answer:
            assert answer.status == 200
        waited_s = time.monotonic() - waits_since_s
        assert hub.stop() == 0
        trouble = [entry for entry in map(json.loads, hub.log().splitlines()) if entry["event"] == "page"]
    passed_s = now["uptime_s"] - was["uptime_s"]
    accepts = (now["syscalls"]["accept"] - was["syscalls"]["accept"]) / passed_s
    record_property("accepts a second with nobody at the door", f"{accepts:.1f}")
    record_property("served again after some left", f"{again_s * 1000:.0f} ms")
    assert accepts <= 20
    assert len(trouble) <= 2 * (waited_s + 2) and not any("repeated" in entry for entry in trouble)
    assert again_s < 1.1 + 5.0


@pytest.mark.promise("admission-reserve")
def test_a_crowd_on_the_page_takes_no_descriptor_of_the_clients() -> None:
    with HubProcess("--mode", "echo", prefix=("prlimit", "--nofile=64:64")) as hub, ExitStack() as stack:
        port = urlsplit(hub.url).port
        assert port is not None
        ask_for = f"HEAD /livez HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
        answers = []
        for _ in range(30):
            visitor = stack.enter_context(Peer(port))
            with suppress(OSError):  # It may be closed before it has asked.
                visitor.send(ask_for)
                answers.append(visitor.sock.recv(12, socket.MSG_WAITALL))
        assert [answer for answer in answers if answer] == [b"HTTP/1.1 200"] * 8
        for peer in stack.enter_context(closing_all([hub.peer() for _ in range(32)])):
            peer.echo()
        with hub.peer() as late:
            assert late.line() == bye("server_full", "limit=32", end="\r\n")


# What is left of closed clients.


def come_and_go(hub: HubProcess | ThreadHub, cycles: int) -> None:
    """Connections that end in turn by a reset, a half-close, and a browser's Close."""
    for number in range(cycles):
        if number % 3 == 2:
            with WsPeer(hub.ws_port) as browser:
                browser.close()
                browser.rest()
            continue
        with hub.peer() as peer:
            if number % 3:
                peer.echo()
                peer.half_close()
                assert peer.rest() == b""
            else:
                peer.send(b"half a li")
                peer.reset()


@pytest.mark.promise("resources-given-back")
@pytest.mark.parametrize("cycles", [600, pytest.param(6000, marks=pytest.mark.long)])
def test_cycles_of_connect_and_close_leave_nothing_behind(cycles: int) -> None:
    trigger, read = random.choice(PAIRS)
    with HubProcess("--mode", "echo", "--trigger", trigger, "--read", read) as hub:
        before = until(lambda: hub.get("/livez") and hub.descriptors())
        come_and_go(hub, cycles)
        assert hub.closed(cycles) == {"peer_closed": cycles * 2 // 3, "peer_reset": cycles // 3}
        until(lambda: hub.descriptors() <= before)


@pytest.mark.promise("resources-given-back")
@each_pair
def test_of_who_went_no_object_is_left(trigger: str, read: str) -> None:
    """Not even for the garbage collector: a cycle would keep it, and its socket, until that comes."""
    gc.collect()
    before = Counter(type(each) for each in gc.get_objects())
    gc.disable()
    try:
        with ThreadHub(mode="echo", trigger=trigger, read=read) as hub, hub.peer() as stays:
            come_and_go(hub, 60)
            until(lambda: hub.loop.hub.counters.accepted == 61 and len(hub.loop.hub.connections.by_fd) == 1)
            stays.echo()  # The turn that saw the last of them is over.
            left = Counter(type(each) for each in gc.get_objects())
            assert left[Client] - before[Client] == 1
            assert left[WebSocket] == before[WebSocket]
    finally:
        gc.enable()


@pytest.mark.promise("resources-given-back")
@pytest.mark.long
def test_250_looks_at_the_page_leave_no_descriptor_and_no_thread(record_property: Record) -> None:
    with HubProcess("--mode", "echo") as hub, page_of(hub) as page:
        for _ in range(20):  # Pools of threads grow on demand, up to a limit.
            look(hub)
        until(lambda: settled(hub))
        before = hub.descriptors(), psutil.Process(hub.process.pid).num_threads()
        for _ in range(250):
            look(hub)
        ask(page, "/livez")
        until(lambda: hub.descriptors() <= before[0] + 1)  # This page's own.
        assert psutil.Process(hub.process.pid).num_threads() <= before[1]
        record_property("descriptors", before[0])
        record_property("threads", before[1])


@pytest.mark.promise("resources-websocket")
def test_the_memory_of_a_visit_to_the_page_is_freed_soon(record_property: Record) -> None:
    """Each visit leaves a knot of asyncio's objects, which only the garbage collector frees."""
    with HubProcess("--mode", "echo") as hub:
        visit(hub, 400)
        before = hub.rss_bytes()
        visit(hub, 800)
        grown = hub.rss_bytes() - before
        record_property("grown over 800 visits", f"{grown / KIB:.0f} KiB")
        assert grown < 768 * KIB


def visit(hub: HubProcess, times: int) -> None:
    """Ask for a little, each time on a connection of its own."""
    for _ in range(times):
        with page_of(hub) as page:
            ask(page, "/livez")


def look(hub: HubProcess) -> None:
    """Open the page, and its live part, and go."""
    with urllib.request.urlopen(hub.url, timeout=PATIENCE_S) as answer:
        assert answer.status == 200
    with LiveTab(hub.url):
        pass


def settled(hub: HubProcess) -> bool:
    """Whether no connection to the page is left: what it holds is what it held a moment ago."""
    before = hub.descriptors()
    time.sleep(0.2)  # The moment.
    return hub.descriptors() == before


# In children.


@pytest.mark.promise("resources-exec")
def test_no_descriptor_of_a_hub_outlives_an_exec(record_property: Record) -> None:
    """Whatever a hub with clients and pages holds is closed in a program that it would start."""
    with HubProcess("--mode", "echo") as hub, hub.peer() as peer, LiveTab(hub.url), WsPeer(hub.ws_port):
        peer.echo()
        flags = [  # A list: all of a kind that is no socket have one name.
            (os.readlink(f"/proc/{hub.process.pid}/fd/{entry.name}"), descriptor_flags(entry))
            for entry in Path(f"/proc/{hub.process.pid}/fdinfo").iterdir()
            if int(entry.name) > 2
        ]
        assert sum(name.startswith("socket:") for name, _ in flags) >= 6
        assert sum("eventpoll" in name for name, _ in flags) >= 2
        assert [name for name, mask in flags if not mask & O_CLOEXEC] == []
        record_property("descriptors looked at", len(flags))


def descriptor_flags(entry: Path) -> int:
    """As open(2) has them, proc_pid_fdinfo(5)."""
    return int(entry.read_text().split("flags:")[1].split()[0], 8)


@pytest.mark.promise("resources-exec")
@each_pair
@pytest.mark.parametrize("ends", ["peer", "hub"])
def test_a_descriptor_held_by_a_child_makes_no_more_events(trigger: str, read: str, ends: str) -> None:
    """epoll watches what is behind a descriptor, and that lives as long as anybody holds it: epoll(7), Q6."""
    with ThreadHub(mode="chat", trigger=trigger, read=read) as hub, hub.peer() as peer, ExitStack() as stack:
        fd = newest(hub, 1).fd
        held = os.readlink(f"/proc/self/fd/{fd}")
        child = stack.enter_context(
            subprocess.Popen(["sleep", "60"], pass_fds=[fd], stdout=subprocess.DEVNULL)
        )
        stack.callback(child.kill)
        if ends == "hub":
            peer.send(b"/quit\n")
            peer.read_until(bye("quit"))
        peer.half_close()
        assert hub.ending()["reason"] == ("quit" if ends == "hub" else "silent")
        assert os.readlink(f"/proc/{child.pid}/fd/{fd}") == held
        peer.sock.settimeout(0.0)  # What comes now would be an event.
        with suppress(OSError):
            peer.sock.send(b"more\n")
        assert_hub_rests(hub)


# Where the log goes.


@contextmanager
def log_sink(kind: str) -> Iterator[int]:
    """A descriptor to log to that is of no use: `full` disk, `gone` reader, or one that `stalls`."""
    if kind == "full":
        descriptor = os.open("/dev/full", os.O_WRONLY)
        yield descriptor
        os.close(descriptor)
        return
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    if kind == "gone":
        os.close(reader)
    yield writer
    os.close(writer)
    if kind == "stalls":
        os.close(reader)


@pytest.mark.promise("resources-log")
@pytest.mark.parametrize("kind", ["full", "gone", "stalls"])
def test_a_log_that_takes_nothing_costs_no_client_anything(kind: str, record_property: Record) -> None:
    with (
        log_sink(kind) as sink,
        HubProcess("--mode", "echo", stderr=sink) as hub,
        page_of(hub) as page,
        hub.peer() as stays,
    ):
        slowest_s = 0.0
        for _ in range(200):  # Each end is a record.
            with hub.peer() as peer:
                slowest_s = max(slowest_s, seconds(peer.echo))
            stays.echo()
        record_property(f"slowest echo, {kind}", f"{slowest_s * 1000:.0f} ms")
        if kind != "stalls":  # A stalled one may go on, and is given what waits, up to ten thousand records.
            until(lambda: ask(page, "/api/summary")["log_dropped"] >= 20)
        assert slowest_s < 5.0
        stays.close()
        assert hub.stop() == 0


# Memory.


@pytest.mark.promise("resources-idle-client")
@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["echo", "chat"])
def test_5000_idle_clients_cost_little_and_later_crowds_no_more(mode: str, record_property: Record) -> None:
    """The close log keeps the last ten thousand, so it is filled before anything is compared."""
    with HubProcess("--mode", mode) as hub, page_of(hub) as page:
        empty, *_ = crowd_of(hub, page, 1)
        levels = [crowd_of(hub, page, 5000) for _ in range(5)]
        first, third, last = (full for _, full in (levels[0], levels[2], levels[4]))
        print([f"{was / KIB:.0f} -> {full / KIB:.0f} KiB" for was, full in levels])
        record_property(f"memory per idle client, {mode}", f"{(first - empty) / 5000 / KIB:.1f} KiB")
        record_property(f"fifth crowd against the third, {mode}", f"{last / third - 1:+.2%}")
        assert (first - empty) / 5000 <= 12 * KIB
        assert last <= 1.02 * third


def crowd_of(hub: HubProcess, page: http.client.HTTPConnection, count: int) -> tuple[int, int]:
    """Resident bytes before and with so many idle clients. They go by a reset: no port has to wait."""
    before, accepted = hub.rss_bytes(), ask(page, "/api/summary")["clients"]["accepted"]
    peers = [hub.peer() for _ in range(count)]
    until(lambda: ask(page, "/api/summary")["clients"]["open"] == count)
    full = hub.rss_bytes()
    for peer in peers:
        peer.reset()
    hub.closed(accepted + count)
    return before, full
