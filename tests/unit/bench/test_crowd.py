"""The crowd, as the program that it is."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench import crowd
from tests.support import ROOT, ThreadHub, until


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "bench.crowd", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_ready_crowd_is_connected_and_each_gets_its_lines_back() -> None:
    with ThreadHub(mode="echo") as hub:
        to = ["--lines", f"127.0.0.1:{hub.port}", "--clients", "120", "--talk-every", "0.5"]
        with running(*to) as process:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.readline() == "ready 120\n"
            until(lambda: len(hub.loop.hub.connections.clients) == 120)
            until(lambda: hub.loop.hub.counters.lines_in > 400)
            process.stdin.close()
            report = json.loads(process.stdout.readline())
            assert report["lines_out"] > 400
            # What was under way at the end is not back: on a busy machine that may be half a second of it.
            assert report["lines_out"] - 120 <= report["lines_in"] <= report["lines_out"]
            assert report["lost"] == 0
            assert process.wait(20) == 0


def test_browsers_may_be_among_them() -> None:
    with ThreadHub(mode="broadcast") as hub:
        to = ["--lines", f"127.0.0.1:{hub.port}", "--clients", "5"]
        with running(*to, "--ws", f"127.0.0.1:{hub.ws_port}", "--ws-clients", "5") as process:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.readline() == "ready 10\n"
            transports = [client.transport for client in hub.loop.hub.connections.clients.values()]
            assert transports.count("websocket") == 5
            process.stdin.close()
            assert process.wait(20) == 0


def test_more_clients_than_descriptors_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 1000))
    with pytest.raises(SystemExit, match="more descriptors than the 1000"):
        crowd.allow(990)
