"""Messages come out as lines however they were cut, pings are answered, and every fault is one offence."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State

from hub.close_reasons import CloseReason
from hub.protocol.ws_connection import MAX_FRAGMENTS, WebSocket
from hub.protocol.ws_frames import BINARY, TEXT, frame
from tests.unit.protocol.support import (
    client,
    close,
    cut,
    let_in,
    masked,
    more,
    one_by_one,
    request,
    text,
    websocket,
)  # fmt: skip

LIMIT = 8192
PING = masked(Opcode.PING, b"are you there")
PONG = b"\x8a\x0dare you there"

Outcome = tuple[list[bytes], bytes, tuple[CloseReason, str] | None, str | None, int, int]


def outcome(pieces: list[bytes], **arguments: object) -> Outcome:
    """All that a WebSocket tells about these pieces, which begin behind the handshake."""
    socket = let_in(**arguments)
    lines = [line for piece in pieces for line in socket.feed(piece)]
    return lines, socket.replies, socket.offence, socket.peer_closed, socket.frames, socket.data_bytes


def lines_of(data: bytes, **arguments: object) -> list[bytes]:
    """The lines of messages without a fault."""
    lines, _, offence, peer_closed, _, _ = outcome([data], **arguments)
    assert (offence, peer_closed) == (None, None)
    return lines


def offence_of(data: bytes, **arguments: object) -> tuple[CloseReason, str]:
    offence = outcome([data], **arguments)[2]
    assert offence is not None
    return offence


def close_code(socket: WebSocket) -> int:
    """The code of the Close frame that goes out for this offence."""
    assert socket.offence is not None
    return int.from_bytes(socket.close_frame(*socket.offence)[2:4], "big")


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
    assert lines_of(text(message)) == lines
    assert all(type(line) is bytes for line in lines_of(text(message)))


def test_a_message_may_come_in_fragments_with_pings_between() -> None:
    lines, replies, offence, *_ = outcome(
        [text("on", fin=False) + PING + more(b"e\ntw", False) + more(b"o", True)]
    )
    assert (lines, replies, offence) == ([b"one", b"two"], PONG, None)


def test_a_character_may_be_cut_between_fragments() -> None:
    smile = "\N{GRINNING FACE}".encode()
    data = text(smile[:1], fin=False) + more(b"", False) + more(smile[1:3], False) + more(smile[3:], True)
    assert lines_of(data) == [smile]


def test_messages_behind_the_request_are_read_at_once() -> None:
    socket = websocket()
    assert socket.feed(request() + text("early") + PING) == [b"early"]
    assert socket.opened
    assert socket.take_replies().endswith(b"\r\n\r\n" + PONG)
    assert socket.take_replies() == b""


def test_the_tag_is_that_of_the_target() -> None:
    socket = websocket()
    socket.feed(request("GET /?tag=mine HTTP/1.1"))
    assert socket.tag == "mine"


@pytest.mark.parametrize("payload", [b"", b"a\nb\r", b"x" * 125, b"x" * 126, b"x" * 65_535, b"x" * 65_536])
def test_in_echo_mode_a_message_comes_back_as_it_came(payload: bytes) -> None:
    assert lines_of(text(payload), whole=True, max_message_bytes=0) == [frame(payload, TEXT)]
    binary = masked(Opcode.BINARY, payload + b"\xff")
    assert lines_of(binary, whole=True, max_message_bytes=0) == [frame(payload + b"\xff", BINARY)]


@pytest.mark.promise("websocket-message")
def test_in_echo_mode_fragments_come_back_as_one_message() -> None:
    data = (
        masked(Opcode.BINARY, b"\xff", fin=False)
        + PING
        + more(b"\xfe", True)
        + text("x", fin=False)
        + more(b"", True)
    )
    assert lines_of(data, whole=True) == [frame(b"\xff\xfe", BINARY), frame(b"x")]


def test_frames_and_data_are_counted_apart() -> None:
    _, _, _, _, frames, data_bytes = outcome([text("abc", fin=False) + PING + more(b"de", True) + text("")])
    assert (frames, data_bytes) == (4, 5)


# Faults.


@pytest.mark.parametrize("fin", [True, False])
def test_binary_is_refused_outside_of_echo_mode(fin: bool) -> None:
    socket = let_in()
    assert socket.feed(text("before") + masked(Opcode.BINARY, b"x", fin=fin) + text("after") + PING) == [
        b"before"
    ]
    assert socket.offence == (CloseReason.PROTOCOL_ERROR, "binary=not here")
    assert socket.replies == b""
    assert close_code(socket) == CloseCode.UNSUPPORTED_DATA


@pytest.mark.parametrize("limit", [1, 100, 126, LIMIT])
def test_the_limit_is_for_the_message_over_all_its_fragments(limit: int) -> None:
    fits = [
        text(b"x" * limit),
        text(b"x" * (limit - 1), fin=False) + PING + more(b"x", False) + more(b"", True),
    ]
    too_long = [text(b"x" * (limit + 1)), text(b"x" * limit, fin=False) + more(b"x", True) + text("after")]
    for data in fits:
        assert lines_of(data + text(""), max_message_bytes=limit) == [b"x" * limit, b""]
    for data in too_long:
        socket = let_in(max_message_bytes=limit)
        assert socket.feed(text("a") + data) == [b"a"]
        assert socket.offence == (CloseReason.LINE_TOO_LONG, f"limit={limit}")
        assert close_code(socket) == CloseCode.MESSAGE_TOO_BIG


@pytest.mark.promise("websocket-too-long")
def test_a_message_may_be_longer_than_each_of_its_lines() -> None:
    pasted = text(b"\n".join([b"x" * 100] * 50))
    assert lines_of(pasted, max_line_bytes=100) == [b"x" * 100] * 50
    socket = let_in(max_line_bytes=100)
    assert socket.feed(text(b"a\r\n" + b"x" * 101 + b"\nb")) == [b"a"]
    assert socket.offence == (CloseReason.LINE_TOO_LONG, "limit=100")


@pytest.mark.promise("websocket-too-long")
def test_a_frame_that_is_too_long_is_refused_at_its_header() -> None:
    assert offence_of(text(b"x" * 2**17)[:10]) == (CloseReason.LINE_TOO_LONG, f"limit={LIMIT}")


@pytest.mark.promise("websocket-too-long")
@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.CLOSE])
def test_an_oversized_control_frame_is_refused_at_its_header(
    opcode: Opcode,
) -> None:
    over, within = masked(opcode, b"x" * (LIMIT + 1)), masked(opcode, b"x" * LIMIT)
    assert offence_of(over[:4]) == (CloseReason.LINE_TOO_LONG, f"limit={LIMIT}")
    assert outcome([within[:-1]])[2] is None
    assert offence_of(within) == (CloseReason.PROTOCOL_ERROR, "frame=control frame too long")


@pytest.mark.promise("websocket-too-long")
def test_a_control_frame_may_have_125_bytes_under_a_low_limit() -> None:
    assert outcome([masked(Opcode.PONG, b"x" * 125)], max_message_bytes=100)[2] is None
    assert offence_of(masked(Opcode.PONG, b"x" * 126)[:4], max_message_bytes=100) == (
        CloseReason.LINE_TOO_LONG,
        "limit=100",
    )


def test_without_a_limit_a_message_may_be_of_any_size() -> None:
    assert lines_of(text(b"x" * 2_000_000), max_message_bytes=0) == [b"x" * 2_000_000]


@pytest.mark.promise("websocket-memory")
def test_a_message_has_at_most_1024_fragments() -> None:
    assert MAX_FRAGMENTS == 1024
    most = text("", fin=False) + more(b"x", False) * (MAX_FRAGMENTS - 2)
    assert lines_of((most + more(b"x", True)) * 2) == [b"x" * (MAX_FRAGMENTS - 1)] * 2
    socket = let_in()
    socket.feed(most + more(b"x", False) + more(b"x", True))
    assert socket.offence == (CloseReason.PROTOCOL_ERROR, f"fragments={MAX_FRAGMENTS}")
    assert close_code(socket) == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "data",
    [
        text(b"\xff"),
        text(b"caf\xe9"),
        text(b"\xed\xa0\x80"),
        text(b"\xc0\x80"),
        text(b"\xf4\x90\x80\x80"),
        text(b"cut \xf0\x9f"),
        text(b"\xf0\x9f", fin=False) + more(b"", True),
        text(b"\xf0\x9f", fin=False) + more(b"x", False),
        text(b"\xff", fin=False),
    ],
)
def test_text_that_is_not_utf8_ends_at_the_first_bad_frame(data: bytes) -> None:
    socket = let_in()
    assert socket.feed(text("before") + data + text("after") + PING) == [b"before"]
    assert socket.offence == (CloseReason.INVALID_UTF8, "text=not UTF-8")
    assert socket.replies == b""
    assert close_code(socket) == CloseCode.INVALID_DATA


@pytest.mark.promise("websocket-breach")
@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"\x81\x01x", "incorrect masking"),
        (masked(3), "invalid opcode"),
        (masked(0xB), "invalid opcode"),
        (masked(Opcode.TEXT, b"x", rsv=4), "reserved bits must be 0"),
        (masked(Opcode.PING, b"", rsv=1), "reserved bits must be 0"),
        (masked(Opcode.PING, b"x" * 126), "control frame too long"),
        (masked(Opcode.PING, b"x", fin=False), "fragmented control frame"),
        (more(b"x", True), "unexpected continuation frame"),
        (text("a", fin=False) + text("b"), "expected a continuation frame"),
        (close(1005), "invalid status code"),
        (close(0), "invalid status code"),
        (close(5000), "invalid status code"),
        (masked(Opcode.CLOSE, b"x"), "close frame too short"),
    ],
)
def test_a_frame_against_the_protocol_is_an_offence(data: bytes, detail: str) -> None:
    socket = let_in()
    assert socket.feed(text("before") + PING + data + text("after") + PING) == [b"before"]
    assert socket.offence == (CloseReason.PROTOCOL_ERROR, f"frame={detail}")
    assert socket.peer_closed is None
    assert socket.replies == PONG
    assert close_code(socket) == CloseCode.PROTOCOL_ERROR


def test_a_close_whose_reason_is_not_utf8_is_an_offence() -> None:
    socket = let_in()
    socket.feed(close(1000, b"\xff"))
    assert socket.offence == (CloseReason.INVALID_UTF8, "close=not UTF-8")
    assert close_code(socket) == CloseCode.INVALID_DATA


FAULTS = [
    masked(3),
    text(b"\xff"),
    masked(Opcode.BINARY),
    text(b"x" * (LIMIT + 1)),
    close(1001),
    b"\x81\x01x",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_after_its_end_nothing_is_read_answered_or_kept(fault: bytes) -> None:
    socket = let_in()
    socket.feed(fault)
    end = socket.offence, socket.peer_closed, socket.frames
    assert end != (None, None, 0)
    for data in (text("late"), PING, close(1000), b"\xff" * 100_000):
        assert socket.feed(data) == []
    assert (socket.offence, socket.peer_closed, socket.frames) == end
    assert socket.replies == b""
    assert socket.ping(b"") == b""
    assert socket._protocol is None


def test_a_refused_request_reads_no_frames() -> None:
    socket = websocket()
    assert socket.feed(request(Origin="http://evil.example") + text("in?")) == []
    assert socket.offence == (CloseReason.ORIGIN_REFUSED, "origin=http://evil.example")
    assert socket.take_replies().startswith(b"HTTP/1.1 403 ")
    assert not socket.opened
    assert socket.feed(request()) == []
    assert socket.replies == b""
    assert socket.close_frame(*socket.offence) == b""


# The end.


@pytest.mark.parametrize(
    ("payload", "detail", "code"),
    [
        (close(), 1005, b""),
        (close(1000), 1000, b"\x03\xe8"),
        (close(1001, b"bye"), 1001, b"\x03\xe9"),
        (close(4999), 4999, b"\x13\x87"),
    ],
)
def test_the_code_of_a_peers_close_comes_back(payload: bytes, detail: int, code: bytes) -> None:
    socket = let_in()
    assert socket.feed(text("last words") + payload + text("after")) == [b"last words"]
    assert socket.peer_closed == f"code={detail}"
    assert (socket.offence, socket.replies) == (None, b"")
    answer = socket.close_frame(CloseReason.PEER_CLOSED, socket.peer_closed)
    assert answer == (frame(code + f"reason=peer_closed code={detail}".encode(), 8) if code else b"\x88\x00")
    assert socket.close_frame(CloseReason.PEER_CLOSED, socket.peer_closed) == b""


@pytest.mark.parametrize(("payload", "code"), [(close(1001), 1001), (close(), 1005)])
def test_a_close_may_come_between_fragments(payload: bytes, code: int) -> None:
    socket = let_in()
    assert socket.feed(text("whole") + text("half", fin=False) + PING + payload + more(b"", True)) == [
        b"whole"
    ]
    assert (socket.peer_closed, socket.offence, socket.replies) == (f"code={code}", None, PONG)


@pytest.mark.promise("websocket-close")
@pytest.mark.parametrize("reason", CloseReason)
def test_every_reason_has_a_close_that_a_client_understands(reason: CloseReason) -> None:
    socket, peer = let_in(), client()
    peer.receive_data(socket.close_frame(reason, "after=300s"))
    assert peer.close_rcvd is not None
    assert peer.close_rcvd.reason == f"reason={reason} after=300s"
    assert socket.feed(text("late")) == []
    assert socket.ping(b"") == b""


@pytest.mark.promise("websocket-close")
@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (CloseReason.QUIT, 1000),
        (CloseReason.IDLE, 1000),
        (CloseReason.SERVER_SHUTDOWN, 1001),
        (CloseReason.INTERNAL_ERROR, 1011),
        (CloseReason.IO_ERROR, 1011),
        (CloseReason.PEER_TIMEOUT, 1011),
        (CloseReason.SLOW_CONSUMER, 1013),
        (CloseReason.SERVER_FULL, 1013),
    ],
)
def test_a_close_says_by_its_code_what_kind_of_end_it_is(reason: CloseReason, code: int) -> None:
    assert let_in().close_frame(reason, "")[2:4] == code.to_bytes(2, "big")


def test_an_offence_does_not_lend_its_code_to_another_reason() -> None:
    socket = let_in()
    socket.feed(masked(Opcode.BINARY))
    assert socket.close_frame(CloseReason.SERVER_SHUTDOWN, "")[2:4] == b"\x03\xe9"
    closed = let_in()
    closed.feed(close(4000))
    assert closed.close_frame(CloseReason.SLOW_CONSUMER, "")[2:4] == b"\x03\xf5"


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
    assert answer.endswith(f"\r\n\r\nreason={reason} after=5s\n".encode())
    assert socket.close_frame(reason, "") == b""
    assert socket.feed(b"\r\n") == []
    assert not socket.opened


def test_who_left_at_the_handshake_gets_none() -> None:
    assert websocket().close_frame(CloseReason.PEER_CLOSED, "") == b""


def test_a_ping_is_one_that_the_client_answers() -> None:
    socket, peer = let_in(), client()
    peer.receive_data(socket.ping(b"t=1"))
    answer = b"".join(peer.data_to_send())
    assert socket.feed(answer) == []
    assert (socket.frames, socket.data_bytes, socket.replies) == (1, 0, b"")


# However it was cut.

words = st.text(st.sampled_from("ab ž\N{GRINNING FACE}\r\n"), max_size=20).map(str.encode)
controls = st.tuples(st.sampled_from(["ping", "pong"]), st.binary(max_size=125))
messages = st.tuples(st.just("text"), st.lists(words, min_size=1, max_size=4))
streams = st.lists(st.one_of(messages, controls), max_size=12)
places_of = st.lists(st.integers(0, 5000), max_size=8)


def spoken(stream: list[tuple[str, object]], ends: int | None) -> bytes:
    """What the library's client sends for this stream; a message has as many frames as parts."""
    speaker = client()
    for kind, content in stream:
        if kind == "ping" and isinstance(content, bytes):
            speaker.send_ping(content)
        elif isinstance(content, bytes):
            speaker.send_pong(content)
        elif isinstance(content, list):
            for at, part in enumerate(content):
                send = speaker.send_continuation if at else speaker.send_text
                send(part, fin=at == len(content) - 1)
    if ends is not None:
        speaker.send_close(ends)
    return b"".join(speaker.data_to_send())


def expected(stream: list[tuple[str, object]]) -> tuple[list[bytes], list[bytes]]:
    """The lines and the pongs of a stream, worked out in another way."""
    lines, pongs = [], []
    for kind, content in stream:
        if isinstance(content, list):
            whole = b"".join(content).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            lines += whole.removesuffix(b"\n").split(b"\n")
        elif kind == "ping" and isinstance(content, bytes):
            pongs.append(content)
    return lines, pongs


@settings(deadline=None, max_examples=200, print_blob=True)
@given(stream=streams, ends=st.sampled_from([None, 1000, 4000]), places=places_of)
def test_what_a_real_client_says_comes_out_however_it_was_cut(
    stream: list[tuple[str, object]], ends: int | None, places: list[int]
) -> None:
    data = spoken(stream, ends)
    whole = outcome([data])
    assert outcome(one_by_one(data)) == outcome(cut(data, places)) == whole
    lines, pongs = expected(stream)
    answers = b"".join(frame(pong, 0xA) for pong in pongs)
    assert whole[:4] == (lines, answers, None, f"code={ends}" if ends else None)


good = st.one_of(
    words.map(text),
    st.binary(max_size=125).map(lambda payload: masked(Opcode.PING, payload)),
    words.map(lambda word: text(word, fin=False)),
    st.tuples(words, st.booleans()).map(lambda pair: more(*pair)),
)
bad = st.one_of(
    st.sampled_from(
        [*FAULTS, close(), close(999), masked(Opcode.PING, b"x" * 126), more(b"\xf0\x9f", False)]
    ),
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
@settings(deadline=None, max_examples=500, print_blob=True)
@given(data=hostile, places=places_of, limit=st.sampled_from([0, 3, 50, LIMIT]), whole=st.booleans())
def test_any_frames_cut_anywhere_tell_the_same_and_never_raise(
    data: bytes, places: list[int], limit: int, whole: bool
) -> None:
    told = outcome([data], max_message_bytes=limit, whole=whole)
    assert outcome(cut(data, places), max_message_bytes=limit, whole=whole) == told
    assert outcome(one_by_one(data), max_message_bytes=limit, whole=whole) == told


@settings(deadline=None, max_examples=200, print_blob=True)
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
    assert held_bytes_of_each(20, text("", fin=False), *[more(b"", False)] * 5000) < 2.5 * LIMIT


@pytest.mark.promise("websocket-memory")
def test_a_request_that_never_ends_keeps_no_more_than_16_kib() -> None:
    socket = websocket()
    for _ in range(1000):
        socket.feed(b"GET / HTTP/1.1\r\nX: " + b"x" * 1000)
    assert socket.offence == (CloseReason.PROTOCOL_ERROR, "handshake=too large")
    assert socket._handshake is None
    assert len(socket.replies) < 400


def test_the_library_brings_no_asyncio_with_it() -> None:
    code = "import sys, hub.protocol.ws_connection; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
