"""Connections that never say a byte or never come in: what is left of them in counts, close log and log."""

from typing import Any

import pytest

from tests.loop.support import SteppedHub
from tests.sim.stage import BROWSERS, LINES, SENDERS, VIEWERS, Actor, Stage
from tests.support import Peer, closing
from tests.unit.protocol.support import request, text

each_mode = pytest.mark.parametrize("mode", ["chat", "broadcast"])
DAY_S = 86400.0


def a_stage(mode: str = "chat", **settings: Any) -> Stage:
    """A hub with a port of each kind."""
    return Stage(mode=mode, write_only_port=0, **settings)


def knock(stage: Stage, listener: int, said: bytes = b"") -> Actor:
    """A connection that sends this and nothing of itself, once the hub has seen to it."""
    [actor] = stage.arrive(listener=listener)
    actor.push()
    actor.remote.outbox.clear()
    actor.tcp.input.clear()
    actor.send(said)
    stage.rest()
    return actor


def end(stage: Stage, actor: Actor, way: str) -> dict[str, object]:
    """The actor ends in this way; the record of it."""
    for deed in way.split():
        if deed == "close":
            actor.remote.inbox.clear()  # All is read; else it would reset.
        getattr(actor, deed)()
        stage.rest()
    record = stage.end_of(actor)
    assert record is not None
    return record


@pytest.mark.promise("close-silent")
@pytest.mark.parametrize(
    ("listener", "way"),
    [
        *(
            (port, way)
            for port in (LINES, BROWSERS, SENDERS)
            for way in ("close", "reset", "half_close close")
        ),
        (VIEWERS, "reset"),  # Its end of stream alone is no end.
    ],
)
@pytest.mark.parametrize("stay_s", [0.0, 0.06, 1.0])
@each_mode
def test_connection_that_says_nothing_ends_as_silent(
    mode: str, listener: int, stay_s: float, way: str
) -> None:
    stage = a_stage(mode)
    actor = knock(stage, listener)
    stage.pass_time(stay_s)
    record = end(stage, actor, way)
    assert (record["reason"], record["level"]) == ("silent", "debug")
    assert stage.hub.counters.closed == {"silent": 1}
    assert len(stage.hub.close_log) == 0


@pytest.mark.promise("close-silent")
def test_reader_of_history_alone_is_silent_after_an_hour() -> None:
    stage = a_stage(idle_timeout_s=DAY_S)
    [talker] = stage.join()
    talker.send(b"long ago\n")
    stage.rest()
    [reader] = stage.join()
    stage.pass_time(3600)
    assert b"long ago" in reader.got
    assert end(stage, reader, "close")["reason"] == "silent"


@pytest.mark.promise("close-silent")
@pytest.mark.parametrize(
    ("listener", "way", "reason"),
    [(LINES, "close", "peer_closed"), (LINES, "reset", "peer_reset"), (VIEWERS, "reset", "peer_reset")],
)
@each_mode
def test_reader_that_was_said_something_is_in_the_close_log(
    mode: str, listener: int, way: str, reason: str
) -> None:
    stage = a_stage(mode, announce=0)
    [talker], [reader] = stage.join(), stage.join(listener=listener)
    talker.send(b"news\n")
    stage.rest()
    record = end(stage, reader, way)
    assert (record["reason"], "level" in record) == (reason, False)
    assert [entry.id for entry in stage.hub.close_log.page(0, 9)] == [2]


@pytest.mark.promise("close-silent")
@pytest.mark.parametrize("eol", ["lf", "crlf"])
@pytest.mark.parametrize("stay_s", [0.0, 1.0])
@pytest.mark.parametrize("listener", [LINES, VIEWERS])
@each_mode
def test_line_to_a_connection_that_was_gone_makes_no_client(
    mode: str, listener: int, stay_s: float, eol: str
) -> None:
    """Its kernel may have taken greeting and history, and takes no line said after its end."""
    stage = a_stage(mode, eol=eol)
    [talker] = stage.join()
    talker.send(b"long ago\n")
    stage.rest()
    [probe] = stage.arrive(listener=listener)
    stage.turn()
    stage.pass_time(stay_s)
    if stay_s:
        assert (b"long ago" in probe.got) == (mode == "chat")
    probe.remote.inbox.clear()
    talker.send(b"news\n" * 3)
    probe.close()
    stage.pass_time(1)
    talker.send(b"more\n")  # A viewer may come into the room behind the first.
    stage.rest()
    record = stage.end_of(probe)
    assert record is not None and record["reason"] == "silent"


def test_lines_that_a_silent_reader_lost_are_in_the_close_log() -> None:
    stage = a_stage("broadcast")
    [talker], [reader] = stage.join(), stage.join(out=999)
    talker.send(b"news\n" * 1000)
    stage.rest()
    reader.reads = False
    talker.send(b"news\n" * 1000)
    stage.rest()
    record = end(stage, reader, "reset")
    assert record["reason"] == "peer_reset" and record["unsent_bytes"]


@pytest.mark.parametrize(
    ("listener", "said"),
    [
        (LINES, b"x"),
        (LINES, b"\n\nx"),
        (LINES, b"/who\n"),
        (SENDERS, b"\xff"),
        (BROWSERS, request() + text(b"hi")),
    ],
    ids=["half a line", "behind blanks", "command", "sender", "browser"],
)
@each_mode
def test_something_said_makes_a_client_of_its_own_record(mode: str, listener: int, said: bytes) -> None:
    stage = a_stage(mode)
    actor = knock(stage, listener, said)
    stage.pass_time(0.1)
    record = end(stage, actor, "close")
    assert (record["reason"], "like" in record) == ("peer_closed", False)


@pytest.mark.promise("close-strangers")
@pytest.mark.parametrize("news", [b"", b"news\n"], ids=["quiet", "news"])
@pytest.mark.parametrize(
    ("listener", "said", "way"),
    [(LINES, b"\xff\xf1", "close"), (LINES, b"\r\n\n", "close"), (LINES, b"x", "reset"),
     (LINES, b"\xff\xfb\x18\r\n", "reset"), (BROWSERS, request(), "close"), (BROWSERS, request(), "reset"),
     (VIEWERS, b"\n", "reset")],
    ids=["telnet", "blank lines", "half a line", "both", "browser", "browser resets", "viewer"],
)  # fmt: skip
@each_mode
def test_who_says_nothing_is_a_stranger_until_a_line_is_heard(
    mode: str, listener: int, said: bytes, way: str, news: bytes
) -> None:
    stage = a_stage(mode, announce=0)
    [talker] = stage.join()
    actor = knock(stage, listener, said)
    stage.pass_time(0.1)
    talker.send(news)
    stage.rest()
    record = end(stage, actor, way)
    assert record["reason"] in ("peer_closed", "peer_reset")
    assert ("like" in record) == (not news)


@pytest.mark.promise("close-silent")
@pytest.mark.parametrize(("stay_s", "kept"), [(59, 0), (61, 1)])
def test_silent_end_of_a_place_held_long_is_in_the_log(stay_s: float, kept: int) -> None:
    stage = a_stage(max_clients=3)
    actors = stage.join(3)
    stage.pass_time(stay_s)
    records = [end(stage, actor, "close") for actor in actors]
    assert {(record["reason"], "like" in record) for record in records} == {("silent", bool(kept))}
    assert [entry.id for entry in stage.hub.close_log.page(0, 9)] == [3, 2, 1] * kept
    assert stage.hub.counters.closed == {"silent": 3}


@pytest.mark.promise("close-strangers")
@pytest.mark.parametrize(
    ("browser", "said", "reason", "kept"),
    [
        (False, b"GET / HTTP/1.1\r\n\r\n", "wrong_protocol", 1),
        (True, b"GET /", "peer_closed", 1),
        (True, b"\x16\x03\x01", "wrong_protocol", 1),
        (True, request(Origin="http://evil.example"), "origin_refused", 1),
        (False, b"x" * 9000, "line_too_long", 1),
        (False, b"\xff\xfa" + bytes(300), "protocol_error", 1),
        (False, b"a line\n" + b"x" * 9000, "line_too_long", 9),
        (False, b"hello\n", "peer_closed", 9),
    ],
    ids=[
        "HTTP",
        "half a request",
        "TLS",
        "foreign page",
        "no lines",
        "no telnet",
        "a client that offends",
        "a client",
    ],
)
def test_of_strangers_the_newest_of_each_address_is_kept(
    browser: bool, said: bytes, reason: str, kept: int
) -> None:
    with SteppedHub(mode="chat") as hub:
        for count in range(1, 10):
            with Peer(hub.ws_port if browser else hub.port) as peer:
                peer.send(said)
                peer.half_close()
                hub.turns_until(lambda count=count: len(hub.endings()) == count)
        assert hub.reasons() == {reason: 9}
        assert [entry.id for entry in hub.hub.close_log.page(0, 99)] == [*range(9, 9 - kept, -1)]


@pytest.mark.promise("close-strangers")
def test_refused_connections_leave_one_entry_of_their_address() -> None:
    with SteppedHub(mode="chat", max_clients=1) as hub, closing(hub.join()):
        for peer in hub.join(20, opening=True):
            peer.close()
        assert hub.hub.counters.closed == {"server_full": 20}
        assert [entry.id for entry in hub.hub.close_log.page(0, 99)] == [21]


@pytest.mark.promise("close-strangers")
def test_ends_at_a_stop_are_nobodys_doing_and_all_kept() -> None:
    stage = a_stage("chat")
    actors = [*stage.join(51), knock(stage, BROWSERS)]
    stage.stop()
    assert len(stage.hub.close_log) == len(actors) == 52
    assert {record["reason"] for record in stage.ends} == {"server_shutdown"}


@pytest.mark.promise("close-silent")
def test_probes_are_in_no_room_notice_or_count_once_gone() -> None:
    stage = a_stage("chat")
    [witness] = stage.join()
    witness.send(b"here\n")
    stage.rest()
    heard, rooms = witness.got, len(stage.hub.rooms)
    for listener in (LINES, BROWSERS, VIEWERS, SENDERS) * 3:
        actor = knock(stage, listener)
        stage.pass_time(0.1)
        end(stage, actor, "reset")
    assert witness.got == heard
    hub = stage.hub
    assert (len(hub.rooms), hub.rooms.lobby.size) == (rooms, 1)
    assert dict(hub.connections.per_address) == {stage.client(witness).address: 1}
    assert (hub.counters.accepted, hub.counters.closed) == (13, {"silent": 12})


def test_an_accept_is_told_at_debug_level() -> None:
    stage = a_stage("chat")
    [actor] = stage.arrive()
    stage.rest()
    told = [fields for event, fields in stage.log if event == "accepted"]
    assert told == [{"level": "debug", "id": 1, "peer": actor.name, "transport": "line"}]


def test_peer_that_vanishes_silently_keeps_its_reason() -> None:
    """The network ended it, not the peer: that is worth a record."""
    stage = a_stage("chat", idle_timeout_s=5)
    [client] = stage.join()
    stage.pass_time(5.1)
    assert stage.client(client).phase == "lingering"
    assert end(stage, client, "close")["reason"] == "idle"
