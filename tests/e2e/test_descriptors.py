"""What a hub holds: descriptors when there are none left, after thousands came and went, and in its children.

And memory: what one idle client costs, and that a later crowd costs no more than an earlier one.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.e2e.test_quiet import assert_hub_rests, newest
from tests.support import PAIRS, PATIENCE_S, HubProcess, Peer, ThreadHub, until
from tests.support import closing as closing_all
from tests.support_ws import WsPeer
from tests.web.support import LiveTab

Record = Callable[[str, object], None]

NO_DESCRIPTOR = b"* bye reason=server_full limit=descriptors\r\n"
O_CLOEXEC = 0o2000000  # As /proc/PID/fdinfo has it: the kernel's number, on every machine.
each_pair = pytest.mark.parametrize(("trigger", "read"), PAIRS)


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


def echo(peer: Peer) -> None:
    """A line there and back."""
    peer.send(b"hello\n")
    assert peer.line() == b"hello\n"


def is_served(hub: HubProcess) -> bool:
    """Whether one more is let in."""
    with hub.peer() as peer:
        peer.send(b"hello\n")
        return peer.line() == b"hello\n"


# None left.


def test_without_descriptors_all_are_told_and_who_is_inside_and_the_page_go_on(
    record_property: Callable[[str, object], None],
) -> None:
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
        assert hub.descriptors() == 64
        late_page.connect()  # The kernel takes it; the page has no descriptor to do so.
        late_page.request("GET", "/livez")
        was, cpu_s = ask(page, "/api/summary"), hub.cpu_s()
        asked_s, echoed_s = [], []
        until(lambda: ask(page, "/api/summary")["uptime_s"] > was["uptime_s"])  # So this is a new second.
        was, cpu_s = ask(page, "/api/summary"), hub.cpu_s()
        while (now := ask(page, "/api/summary"))["uptime_s"] < was["uptime_s"] + 2:
            asked_s.append(seconds(lambda: ask(page, "/livez")))
            echoed_s.append(seconds(lambda: echo(inside[0])))
            time.sleep(0.05)  # The pace of who asks.
        passed_s = now["uptime_s"] - was["uptime_s"]
        for peer in inside[:20]:
            peer.close()
        again_s = seconds(lambda: until(lambda: is_served(hub)))
        with late_page.getresponse() as answer:
            assert answer.status == 200
        assert hub.stop() == 0
        assert hub.process.stderr is not None
        log = [json.loads(line) for line in hub.process.stderr.read().splitlines()]
    accepts = (now["syscalls"]["accept"] - was["syscalls"]["accept"]) / passed_s
    trouble = [entry for entry in log if entry["event"] == "page"]
    print(trouble[:3])
    record_property("accepts a second with nobody at the door", f"{accepts:.1f}")
    record_property("slowest health answer", f"{max(asked_s) * 1000:.0f} ms")
    record_property("slowest echo", f"{max(echoed_s) * 1000:.0f} ms")
    record_property("served again after some left", f"{again_s * 1000:.0f} ms")
    assert accepts <= 20
    assert len(trouble) <= 2 * (passed_s + 3) and not any("repeated" in entry for entry in trouble)
    assert max(asked_s) < 1.0 and max(echoed_s) < 1.0
    assert again_s < 1.1 + 1.0
