"""Health checks and scanners, which say nothing, against a running hub: they leave it as it was."""

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import HubProcess, Peer, bye, closing, until

PROBES = 75
"""Of each shape, so 300 in all: five a second for a minute, as fast as they come."""


def closes(peer: Peer) -> None:
    """As Kubernetes does."""
    peer.close()


def resets(peer: Peer) -> None:
    """As HAProxy does."""
    peer.reset()


def half_closes(peer: Peer) -> None:
    """As `nc -z` and programs with an empty input do."""
    peer.half_close()
    peer.close()


def takes_the_greeting(peer: Peer) -> None:
    """A check that waits for what a server says first, 50 ms here."""
    assert peer.line().startswith(b"* welcome")
    peer.close()


SHAPES: dict[str, Callable[[Peer], None]] = {
    shape.__name__: shape for shape in (closes, resets, half_closes, takes_the_greeting)
}


def written(hub: HubProcess) -> bytes:
    """What the hub has written to the log since the last time."""
    assert hub.process.stderr is not None
    os.set_blocking(hub.process.stderr.fileno(), False)
    return hub.process.stderr.read() or b""


def state_of(hub: HubProcess, witness: Peer) -> tuple[bytes, list[Any]]:
    """The history as anybody is shown it, but for its age; and the close log."""
    witness.send(b"/history\n")
    history = b"".join(iter(witness.line, b"* end of history\n"))
    assert b"> long ago\n" in history
    said = [line for line in history.splitlines(keepends=True) if not line.startswith(b"* history: ")]
    closed = hub.get("/api/closed")["closed"]
    return b"".join(said), [entry["id"] for entry in closed]


def settled(hub: HubProcess, counts: dict[str, int]) -> None:
    """Until so many have ended for each reason."""
    until(lambda: hub.reasons() == counts)


@pytest.mark.promise("close-silent")
def test_300_probes_leave_history_notices_and_logs_as_they_were() -> None:
    hub = HubProcess("--mode", "chat", "--log", "json", stderr=subprocess.PIPE)
    with hub, hub.peer() as witness:
        witness.send(b"hello\n")
        witness.read_until(b"> hello\n")
        with hub.peer() as talker:
            talker.send(b"long ago\n")
            talker.read_until(b"> long ago\n")
        settled(hub, {"peer_closed": 1})
        witness.read_until(b" left\n")
        before = state_of(hub, witness)
        assert [json.loads(line)["event"] for line in written(hub).splitlines()] == ["started", "closed"]
        for number in range(PROBES):
            for shape in SHAPES.values():
                shape(hub.peer())
            if number % 25 == 0:  # The browsers' port as well.
                resets(Peer(hub.ws_port))
        settled(hub, {"peer_closed": 1, "silent": len(SHAPES) * PROBES + 3})
        assert witness.nothing_waits()  # No notice.
        assert state_of(hub, witness) == before
        assert written(hub) == b""
        assert hub.summary()["clients"]["open"] == 1


@pytest.mark.promise("close-silent")
@pytest.mark.parametrize("shape", ["closes", "resets", "half_closes"])
@pytest.mark.parametrize("port", ["port", "read_only_port", "write_only_port"])
def test_probes_of_a_busy_feed_are_silent(shape: str, port: str) -> None:
    """Each is sent a line or two before the hub sees that it is gone, and takes none."""
    flags = ("--mode", "broadcast", "--read-only-port", "0", "--write-only-port", "0", "--no-web")
    hub = HubProcess(*flags, "--log", "json", stderr=subprocess.PIPE)
    with hub, hub.peer() as talker:
        for _ in range(100):
            SHAPES[shape](Peer(getattr(hub, port)))
            talker.echo(b"news\n")
        assert hub.stop() == 0
        told = [json.loads(line) for line in hub.log().splitlines()]
    ends = [record for record in told if record["event"] == "closed"]
    last = told[-1]
    assert (last["event"], last["accepted"]) == ("stopped", 101)
    # The talker, and the last viewers: who comes in the turn of a line is let in behind it.
    assert last["closed_server_shutdown"] <= 3
    # A line that comes between a probe's connect and its close is taken by its kernel: that probe is told.
    assert last["closed_silent"] >= 90 and len(ends) == 101 - last["closed_silent"]


@pytest.mark.promise("close-silent")
def test_probes_of_viewers_that_read_a_greeting_are_silent() -> None:
    hub = HubProcess("--mode", "chat", "--read-only-port", "0", "--log", "json", stderr=subprocess.PIPE)
    with hub, hub.peer() as talker:
        for _ in range(PROBES):
            takes_the_greeting(Peer(hub.read_only_port))

        def are_ended() -> bool:
            talker.send(b"news\n")  # Until then a viewer may have closed only its own side.
            return sum(hub.reasons().values()) == PROBES

        until(are_ended)
        assert hub.reasons() == {"silent": PROBES}
        assert [json.loads(line)["event"] for line in written(hub).splitlines()] == ["started"]
        assert hub.get("/api/closed")["closed"] == []


@pytest.mark.promise("close-strangers")
@pytest.mark.parametrize("count", [51, pytest.param(1000, marks=pytest.mark.long)])
def test_at_a_stop_each_client_has_a_record_of_its_own(count: int) -> None:
    hub = HubProcess("--mode", "chat", "--no-web", "--log", "json", "--announce", "0", stderr=subprocess.PIPE)
    with hub, closing([hub.peer() for _ in range(count)]) as peers:
        for peer in peers:
            peer.line()
        names = {"{}:{}".format(*peer.sock.getsockname()) for peer in peers}
        hub.process.terminate()
        for peer in peers:
            assert peer.rest().endswith(bye("server_shutdown"))
            peer.close()
        log = hub.log().splitlines()
    told = [json.loads(line) for line in log]
    ends = [record for record in told if record["event"] == "closed"]
    assert {record["peer"] for record in ends} == names and len(ends) == count
    assert not any("repeated" in record for record in told)
    assert [record["event"] for record in told if record["event"] != "closed"] == [
        "started", "draining", "stopped"
    ]  # fmt: skip
    assert {key: told[-1][key] for key in ("accepted", "closed_server_shutdown")} == {
        "accepted": count, "closed_server_shutdown": count
    }  # fmt: skip


@pytest.mark.promise("close-strangers")
def test_storm_of_refused_connections_is_counted_together() -> None:
    hub = HubProcess("--mode", "chat", "--max-clients", "1", "--log", "json", stderr=subprocess.PIPE)
    with hub, hub.peer() as inside:
        inside.line()
        for _ in range(200):
            with hub.peer() as late:
                assert late.rest() == bye("server_full", "limit=1", end="\r\n")
        settled(hub, {"server_full": 200})
        assert [entry["reason"] for entry in hub.get("/api/closed")["closed"]] == ["server_full"]
        assert hub.stop() == 0
        told = [json.loads(line) for line in hub.log().splitlines()]
    refused = [record for record in told if record.get("reason") == "server_full"]
    assert sum(record.get("repeated", 1) for record in refused) == 200
    assert len(refused) < 200 and {record["level"] for record in refused} == {"info"}
