"""Messages come out as lines however they were cut, pings are answered, and every fault is one offence."""

import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from hub.close_reasons import CloseReason
from hub.protocol.ws_connection import MAX_FRAGMENTS
from hub.protocol.ws_frames import BINARY, frame
from tests.unit.protocol.support import (
    client,
    close,
    however_cut,
    let_in,
    masked,
    more,
    request,
    text,
    websocket,
)  # fmt: skip

LIMIT = 8192
PING = masked(Opcode.PING, b"are you there")
PONG = b"\x8a\x0dare you there"
SMILE = "\N{GRINNING FACE}".encode()
PROTOCOL_ERROR, INVALID_UTF8 = CloseReason.PROTOCOL_ERROR, CloseReason.INVALID_UTF8
TOO_LONG, PEER_CLOSED = CloseReason.LINE_TOO_LONG, CloseReason.PEER_CLOSED

Outcome = tuple[list[bytes], bytes, tuple[CloseReason, str] | None, int, bool]


def outcome(pieces: Sequence[bytes], **arguments: object) -> Outcome:
    """All that a WebSocket tells about these pieces, which begin behind the handshake: lines, replies, end,
    frames, and whether data came."""
    socket = let_in(**arguments)
    lines, frames, said_data = [], 0, False
    for piece in pieces:
        lines += socket.feed(piece)
        frames += socket.frames
        said_data |= socket.said_data
    return lines, socket.replies, socket.end, frames, said_data


def lines_of(*data: bytes, **arguments: object) -> list[bytes]:
    """The lines of messages without a fault."""
    lines, _, end, _, _ = outcome([b"".join(data)], **arguments)
    assert end is None
    return lines


def assert_ends(data: bytes, reason: CloseReason, detail: str, code: int, **arguments: object) -> None:
    """What came before counts, a line and a pong; a Close goes out, and nothing that follows is heard."""
    socket = let_in(**arguments)
    assert socket.feed(text("a") + PING + data + text("after") + PING) == [b"a"]
    assert socket.end == (reason, detail)
    assert socket.replies == PONG
    assert int.from_bytes(socket.close_frame(reason, detail)[2:4]) == code
    for late in (text("late"), PING, close(1000), b"\xff" * 100_000):
        assert socket.feed(late) == []
        assert socket.frames == 0
    assert socket.end == (reason, detail)
    assert socket.replies == PONG
    assert socket.ping(b"") == b""
    assert socket.unfinished_bytes == 0


# Messages.


@pytest.mark.promise("websocket-message")
@pytest.mark.parametrize(
    ("message", "lines"),
    [
        ("hello", [b"hello"]),
        ("hello\n", [b"hello"]),
        ("hello\r\n", [b"hello"]),
        ("hello\r", [b"hello"]),
        ("", [b""]),
        ("\n", [b""]),
        ("\n\n", [b"", b""]),
        ("a\nb\r\nc\rd", [b"a", b"b", b"c", b"d"]),
        ("a\n\rb", [b"a", b"", b"b"]),
        ("\r\n\r\n", [b"", b""]),
        ("ž\N{GRINNING FACE}", ["ž\N{GRINNING FACE}".encode()]),
        ("a\x0bb\x0cc\x1cd\x85e\u2028f", ["a\x0bb\x0cc\x1cd\x85e\u2028f".encode()]),
        ("a\x00b\xff", ["a\x00b\xff".encode()]),
    ],
)
def test_a_text_message_is_lines(message: str, lines: list[bytes]) -> None:
    found = lines_of(text(message))
    assert found == lines
    assert all(type(line) is bytes for line in found)


def test_a_message_may_come_in_fragments_with_pings_between() -> None:
    stream = text("on", fin=False), PING, more(b"e\ntw", False), more(b"o", True), PING, text("")
    assert outcome(stream) == ([b"one", b"two", b""], PONG * 2, None, 6, True)
    # A character may be cut as well.
    cut = more(b"", False), more(SMILE[1:3], False), more(SMILE[3:], True)
    assert lines_of(text(SMILE[:1], fin=False), *cut) == [SMILE]
    assert outcome([PING, text("")])[4] is False  # No data is no activity.


def test_messages_behind_the_request_are_read_at_once() -> None:
    socket = websocket()
    assert socket.feed(request("GET /?tag=mine HTTP/1.1") + text("early") + PING) == [b"early"]
    assert socket.opened
    assert socket.tag == "mine"
    assert socket.take_replies().endswith(b"\r\n\r\n" + PONG)
    assert socket.take_replies() == b""


@pytest.mark.parametrize("payload", [b"", b"a\nb\r", b"x" * 125, b"x" * 126, b"x" * 65_535, b"x" * 65_536])
def test_in_echo_mode_a_message_comes_back_as_it_came(payload: bytes) -> None:
    assert lines_of(text(payload), whole=True, max_message_bytes=0) == [frame(payload)]
    binary = masked(Opcode.BINARY, payload + b"\xff")
    assert lines_of(binary, whole=True, max_message_bytes=0) == [frame(payload + b"\xff", BINARY)]


@pytest.mark.promise("websocket-message")
def test_in_echo_mode_fragments_come_back_as_one_message() -> None:
    binary = masked(Opcode.BINARY, b"\xff", fin=False), PING, more(b"\xfe", True)
    said = lines_of(*binary, text("x", fin=False), more(b"", True), whole=True)
    assert said == [frame(b"\xff\xfe", BINARY), frame(b"x")]


# Faults.


@pytest.mark.promise("websocket-too-long")
@pytest.mark.parametrize("limit", [1, 100, 126, LIMIT])
def test_the_limit_is_for_the_message_over_all_its_fragments(limit: int) -> None:
    last = PING + more(b"x", False) + more(b"", True)
    for fits in text(b"x" * limit), text(b"x" * (limit - 1), fin=False) + last:
        assert lines_of(fits + text(""), max_message_bytes=limit) == [b"x" * limit, b""]
    for too_long in text(b"x" * (limit + 1)), text(b"x" * limit, fin=False) + more(b"x", True):
        assert_ends(too_long, TOO_LONG, f"limit={limit}", 1009, max_message_bytes=limit)
    assert lines_of(text(b"x" * 2_000_000), max_message_bytes=0) == [b"x" * 2_000_000]


@pytest.mark.promise("websocket-too-long")
def test_a_message_may_be_longer_than_each_of_its_lines() -> None:
    pasted = text(b"\n".join([b"x" * 100] * 50))
    assert lines_of(pasted, max_line_bytes=100) == [b"x" * 100] * 50
    socket = let_in(max_line_bytes=100)
    assert socket.feed(text(b"a\r\n" + b"x" * 101 + b"\nb")) == [b"a"]
    assert socket.end == (TOO_LONG, "limit=100")


@pytest.mark.promise("websocket-too-long")
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.PING, Opcode.PONG, Opcode.CLOSE])
def test_a_frame_that_is_too_long_is_refused_at_its_header(opcode: Opcode) -> None:
    assert outcome([masked(opcode, b"x" * (LIMIT + 1))[:4]])[2] == (TOO_LONG, f"limit={LIMIT}")
    assert outcome([masked(opcode, b"x" * LIMIT)[:-1]])[2] is None
    # A limit is one for the data of a message: a control frame may have 125 bytes under any.
    control = outcome([masked(Opcode.PONG, b"x" * 125)], max_message_bytes=100)
    assert control[2] is None
    over = outcome([masked(opcode, b"x" * 126)[:4]], max_message_bytes=100)
    assert over[2] == (TOO_LONG, "limit=100")


@pytest.mark.promise("websocket-memory")
def test_a_message_has_at_most_1024_fragments() -> None:
    assert MAX_FRAGMENTS == 1024
    most = text("", fin=False) + more(b"x", False) * (MAX_FRAGMENTS - 2)
    assert lines_of((most + more(b"x", True)) * 2) == [b"x" * (MAX_FRAGMENTS - 1)] * 2
    detail = "fragments=1024 limit=1024"
    assert_ends(most + more(b"x", False) + more(b"x", True), PROTOCOL_ERROR, detail, 1002)


NO_UTF8 = [
    text(b"\xff"), text(b"caf\xe9"), text(b"\xed\xa0\x80"), text(b"\xc0\x80"), text(b"\xf4\x90\x80\x80"),
    text(b"cut \xf0\x9f"), text(b"\xf0\x9f", fin=False) + more(b"", True),
    text(b"\xf0\x9f", fin=False) + more(b"x", False), text(b"\xff", fin=False),
]  # fmt: skip
BREACHES = [
    (b"\x81\x01x", "incorrect masking"),
    (masked(3), "invalid opcode"),
    (masked(0xB), "invalid opcode"),
    (masked(Opcode.TEXT, b"x", rsv=4), "reserved bits must be 0"),
    (masked(Opcode.PING, b"", rsv=1), "reserved bits must be 0"),
    (masked(Opcode.PING, b"x" * 126), "control frame too long"),
    (masked(Opcode.CLOSE, b"x" * LIMIT), "control frame too long"),
    (masked(Opcode.PING, b"x", fin=False), "fragmented control frame"),
    (more(b"x", True), "unexpected continuation frame"),
    (text("a", fin=False) + text("b"), "expected a continuation frame"),
    (close(1005), "invalid status code"),
    (close(1006), "invalid status code"),
    (close(0), "invalid status code"),
    (close(5000), "invalid status code"),
    (masked(Opcode.CLOSE, b"x"), "close frame too short"),
]
ENDS = [
    *((data, INVALID_UTF8, "text=not_utf8", 1007) for data in NO_UTF8),
    *((data, PROTOCOL_ERROR, f"frame={detail.replace(' ', '_')}", 1002) for data, detail in BREACHES),
    (masked(Opcode.BINARY, b"x"), PROTOCOL_ERROR, "binary=not_here", 1003),
    (masked(Opcode.BINARY, b"x", fin=False), PROTOCOL_ERROR, "binary=not_here", 1003),
    (close(1000, b"\xff"), INVALID_UTF8, "close=not_utf8", 1007),
    (b"\x81\xff\x7f" + b"\xff" * 7 + b"\0" * 4, TOO_LONG, f"limit={LIMIT}", 1009),
    (b"\x81\xff" + b"\xff" * 8 + b"\0" * 4, TOO_LONG, f"limit={LIMIT}", 1009),
    (close(1000), PEER_CLOSED, "code=1000", 1000),
    (close(4999), PEER_CLOSED, "code=4999", 4999),
    (text("half", fin=False) + close(1001, b"bye"), PEER_CLOSED, "code=1001", 1001),
]


@pytest.mark.promise("websocket-breach")
@pytest.mark.parametrize(("data", "reason", "detail", "code"), ENDS)
def test_each_end_has_its_reason_detail_and_code(
    data: bytes, reason: CloseReason, detail: str, code: int
) -> None:
    assert_ends(data, reason, detail, code)


def test_a_stream_that_breaks_off_says_only_what_was_whole() -> None:
    whole, half = text("whole"), text("half", fin=False) + PING + more(b" and half", True)
    for size in range(len(whole + half)):
        socket = let_in()
        assert socket.feed((whole + half)[:size]) == [b"whole"] * (size >= len(whole))
        assert socket.finish() == []
        assert socket.end is None


def test_a_refused_request_reads_no_frames() -> None:
    socket = websocket()
    assert socket.feed(request(Origin="http://evil.example") + text("in?")) == []
    assert socket.end == (CloseReason.ORIGIN_REFUSED, "origin=http://evil.example")
    assert socket.take_replies().startswith(b"HTTP/1.1 403 ")
    assert not socket.opened
    assert socket.feed(request()) == []
    assert socket.replies == b""
    assert socket.close_frame(*socket.end) == b""


# The end.


@pytest.mark.parametrize("begun", [b"", text("half", fin=False)])
def test_a_close_without_a_code_is_answered_without_one(begun: bytes) -> None:
    socket = let_in()
    socket.feed(begun + close())
    assert socket.end == (PEER_CLOSED, "code=1005")
    assert socket.close_frame(*socket.end) == b"\x88\x00"


@pytest.mark.promise("websocket-close")
@pytest.mark.parametrize("reason", CloseReason)
def test_every_reason_has_a_close_that_a_client_understands(reason: CloseReason) -> None:
    codes = {
        CloseReason.PEER_CLOSED: 1000, CloseReason.QUIT: 1000, CloseReason.IDLE: 1000,
        CloseReason.SERVER_SHUTDOWN: 1001, CloseReason.PROTOCOL_ERROR: 1002, CloseReason.WRONG_PROTOCOL: 1002,
        CloseReason.INVALID_UTF8: 1007, CloseReason.ORIGIN_REFUSED: 1008, CloseReason.HANDSHAKE_TIMEOUT: 1008,
        CloseReason.LINE_TOO_LONG: 1009, CloseReason.SLOW_CONSUMER: 1013, CloseReason.SERVER_FULL: 1013,
        CloseReason.PER_IP_LIMIT: 1013,
    }  # fmt: skip
    socket, peer = let_in(), client()
    peer.receive_data(socket.close_frame(reason, "after=300s"))
    assert peer.close_rcvd is not None
    assert peer.close_rcvd.code == codes.get(reason, 1011)
    assert peer.close_rcvd.reason == f"reason={reason} after=300s - {reason.sentence}"
    assert socket.feed(text("late")) == []
    assert socket.ping(b"") == b""


def test_an_end_does_not_lend_its_code_to_another_reason() -> None:
    for ending, reason, code in (
        (masked(Opcode.BINARY), CloseReason.SERVER_SHUTDOWN, b"\x03\xe9"),
        (close(4000), CloseReason.SLOW_CONSUMER, b"\x03\xf5"),
    ):
        socket = let_in()
        socket.feed(ending)
        assert socket.close_frame(reason, "")[2:4] == code


@pytest.mark.parametrize(
    "detail", ["x" * 500, "ž" * 500, "a" + "\N{GRINNING FACE}" * 99, "\ud800" * 199], ids=ascii
)
def test_a_long_detail_is_cut_between_characters(detail: str) -> None:
    closing = let_in().close_frame(CloseReason.IDLE, detail)
    assert 122 <= len(closing) <= 127
    assert closing[4:].decode().startswith("reason=idle ")


@pytest.mark.parametrize(
    ("reason", "status"), [(CloseReason.HANDSHAKE_TIMEOUT, b"408"), (CloseReason.SERVER_SHUTDOWN, b"503")]
)
def test_who_is_still_at_the_handshake_gets_an_answer_in_http(reason: CloseReason, status: bytes) -> None:
    socket = websocket()
    socket.feed(request()[:-2])
    assert socket.ping(b"") == b""
    answer = socket.close_frame(reason, "after=5s")
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.endswith(f"\r\n\r\nreason={reason} after=5s - {reason.sentence}\n".encode())
    assert socket.feed(b"\r\n") == []
    assert not socket.opened
    assert websocket().close_frame(PEER_CLOSED, "") == b""  # Nobody is there to read an answer.


def test_a_ping_is_one_that_the_client_answers() -> None:
    peer = client()
    peer.receive_data(let_in().ping(b"t=1"))
    assert outcome(peer.data_to_send()) == ([], b"", None, 1, False)


# However it was cut.

words = st.text(st.sampled_from("ab ž\N{GRINNING FACE}\r\n"), max_size=20).map(str.encode)
controls = st.tuples(st.sampled_from(["ping", "pong"]), st.binary(max_size=125))
messages = st.tuples(st.just("text"), st.lists(words, min_size=1, max_size=4))
streams = st.lists(st.one_of(messages, controls), max_size=12)
places_of = st.lists(st.integers(0, 5000), max_size=8)


@settings(max_examples=200)
@given(stream=streams, ends=st.sampled_from([None, 1000, 4000]), places=places_of)
def test_what_a_real_client_says_comes_out_however_it_was_cut(
    stream: list[tuple[str, bytes | list[bytes]]], ends: int | None, places: list[int]
) -> None:
    """The lines and the pongs are worked out in another way; a message has as many frames as parts."""
    speaker, lines, pongs = client(), list[bytes](), b""
    for kind, content in stream:
        if isinstance(content, bytes):
            (speaker.send_ping if kind == "ping" else speaker.send_pong)(content)
            pongs += frame(content, 0xA) if kind == "ping" else b""
            continue
        for at, part in enumerate(content):
            send = speaker.send_continuation if at else speaker.send_text
            send(part, fin=at == len(content) - 1)
        whole = b"".join(content).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines += whole.removesuffix(b"\n").split(b"\n")
    if ends is not None:
        speaker.send_close(ends)
    told = however_cut(outcome, b"".join(speaker.data_to_send()), places)
    assert told[:3] == (lines, pongs, (PEER_CLOSED, f"code={ends}") if ends else None)


good = st.one_of(
    words.map(text),
    st.binary(max_size=125).map(lambda payload: masked(Opcode.PING, payload)),
    words.map(lambda word: text(word, fin=False)),
    st.tuples(words, st.booleans()).map(lambda pair: more(*pair)),
)
bad = st.one_of(
    st.sampled_from([data for data, *_ in ENDS]),
    st.binary(max_size=30),
    st.builds(
        masked,
        st.integers(0, 15),
        st.binary(max_size=130),
        fin=st.booleans(),
        rsv=st.sampled_from([0, 0, 0, 1, 4]),
    ),
)
hostile = st.lists(st.one_of(good, good, bad), max_size=12).map(b"".join)


@pytest.mark.promise("websocket-breach")
@settings(max_examples=500)
@given(data=hostile, places=places_of, limit=st.sampled_from([0, 3, 50, LIMIT]), whole=st.booleans())
def test_any_frames_cut_anywhere_tell_the_same_and_never_raise(
    data: bytes, places: list[int], limit: int, whole: bool
) -> None:
    however_cut(lambda pieces: outcome(pieces, max_message_bytes=limit, whole=whole), data, places)


@settings(max_examples=200)
@given(payload=st.one_of(words, st.binary(max_size=300)), limit=st.sampled_from([0, LIMIT]))
def test_an_echo_is_what_a_real_client_sent(payload: bytes, limit: int) -> None:
    socket, peer = let_in(whole=True, max_message_bytes=limit), client()
    peer.send_binary(payload)
    for echo in socket.feed(b"".join(peer.data_to_send())):
        peer.receive_data(echo)
    [heard] = peer.events_received()
    assert isinstance(heard, Frame)
    assert (heard.opcode, heard.data, peer.state) == (Opcode.BINARY, payload, State.OPEN)


# What it costs.


def held_bytes_of_each(sockets: int, *said: bytes) -> float:
    """Memory that an open connection holds that has said this, by tracemalloc."""
    let_in()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [let_in() for _ in range(sockets)]
        for socket in kept:
            for data in said:
                socket.feed(data)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / sockets
    finally:
        tracemalloc.stop()


def test_an_idle_connection_is_small() -> None:
    assert held_bytes_of_each(200) < 2500
    assert held_bytes_of_each(200, text("hello"), PING) < 3000


@pytest.mark.promise("websocket-memory")
def test_a_message_without_end_keeps_at_most_twice_the_limit() -> None:
    fragments = [text(b"", fin=False), more(b"x" * LIMIT, False), more(b"x" * LIMIT, True)[:-1]]
    assert held_bytes_of_each(20, *fragments) < 2.5 * LIMIT
    assert held_bytes_of_each(5, text("", fin=False), *[more(b"", False)] * 5000) < 2.5 * LIMIT


@pytest.mark.promise("websocket-memory")
def test_a_request_that_never_ends_is_refused_and_not_kept() -> None:
    socket = websocket()
    for _ in range(1000):
        socket.feed(b"GET / HTTP/1.1\r\nX: " + b"x" * 1000)
    assert socket.end == (PROTOCOL_ERROR, "handshake=too_large limit=16384")
    assert socket.close_frame(*socket.end) == b""
    assert len(socket.replies) < 400


def test_the_library_brings_no_asyncio_with_it() -> None:
    code = "import sys, hub.protocol.ws_connection; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
