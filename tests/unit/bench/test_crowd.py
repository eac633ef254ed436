"""The crowd, as the program that it is."""

import json
import resource
import subprocess
import sys

import pytest

from bench import crowd
from tests.support import ROOT, ThreadHub, until


def test_a_ready_crowd_is_connected_and_each_gets_its_lines_back() -> None:
    with ThreadHub(mode="echo") as hub:
        lines = ["--lines", f"127.0.0.1:{hub.port}", "--clients", "120", "--talk-every", "0.5"]
        browsers = ["--ws", f"127.0.0.1:{hub.ws_port}", "--ws-clients", "5"]
        command = [sys.executable, "-m", "bench.crowd", *lines, *browsers]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.readline() == "ready 125\n"
            until(lambda: len(hub.loop.hub.connections.clients) == 125)
            transports = [client.transport for client in hub.loop.hub.connections.clients.values()]
            assert transports.count("websocket") == 5
            until(lambda: hub.loop.hub.counters.lines_in > 400)
            process.stdin.close()
            report = json.loads(process.stdout.readline())
            assert report["lines_out"] > 400
            # What was under way at the end is not back: on a busy machine that may be half a second of it.
            assert report["lines_out"] - 120 <= report["lines_in"] <= report["lines_out"]
            assert report["lost"] == 0
            assert process.wait(20) == 0


def test_more_clients_than_descriptors_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 1000))
    with pytest.raises(SystemExit, match="more descriptors than the 1000"):
        crowd.allow(990)
