"""The telnet layer is taken out however it is cut, answered with restraint, and never stored."""

import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.protocol.telnet import TelnetFilter

IAC, SE, SB = b"\xff", b"\xf0", b"\xfa"
WILL, WONT, DO, DONT = b"\xfb", b"\xfc", b"\xfd", b"\xfe"
AYT = IAC + b"\xf6"
TIMING_MARK = 6

Outcome = tuple[bytes, bytes, int, bool, bool]

# NOP, DM, BRK, IP, AO, EC, EL, GA; EOR, ABORT, SUSP, EOF; a stray SE; and what no document defines.
IGNORED = [bytes([byte]) for byte in range(0xFA) if byte != 0xF6]

TRANSCRIPTS: list[tuple[bytes, bytes, bytes]] = [
    (b"plain\r\n", b"plain\r\n", b""),
    (b"", b"", b""),
    (b"a" + IAC + IAC + b"b", b"a\xffb", b""),
    (IAC * 6, IAC * 3, b""),
    (b"a" + IAC + b"\xf1" + b"b", b"ab", b""),
    (IAC + DO + b"\x01" + b"x", b"x", IAC + WONT + b"\x01"),
    (IAC + WILL + b"\x1f" + b"x", b"x", IAC + DONT + b"\x1f"),
    (IAC + DO + IAC + b"x", b"x", IAC + WONT + IAC),
    (IAC + DONT + b"\x01" + IAC + WONT + b"\x03" + b"x", b"x", b""),
    (IAC + b"\xf4" + IAC + DO + b"\x06", b"", IAC + WONT + b"\x06"),
    (b"a" + IAC + SB + IAC + SE + b"b", b"ab", b""),
    (b"a" + IAC + SB + b"\x18\x00xterm" + IAC + SE + b"b", b"ab", b""),
    (b"a" + IAC + SB + b"\x1f\x00\x50" + IAC + IAC + b"\x18" + IAC + SE + b"b", b"ab", b""),
    (b"a" + IAC + SB + b"\x18" + SE + b"still" + IAC + SE + b"b", b"ab", b""),
    (b"a" + IAC + SB + b"\x18zz" + IAC + b"\xf1" + b"b", b"ab", b""),
    (b"a" + IAC + SB + b"\x18zz" + IAC + DO + b"\x01" + b"b", b"ab", IAC + WONT + b"\x01"),
    (b"a" + IAC + SB + b"\x18" + IAC + SB + b"\x1f" + IAC + SE + b"b", b"ab", b""),
    (b"a" + IAC + SB + b"never ended", b"a", b""),
    (b"a" + IAC + SE + b"b", b"ab", b""),
    (b"a" + IAC, b"a", b""),
    (b"a" + IAC + DO, b"a", b""),
    (AYT + b"a" + AYT, b"a", b""),
    (b"a\n" + IAC + SB + b"x" * 257 + IAC + SE + b"dropped", b"a\n", b""),
]


def outcome(pieces: list[bytes]) -> Outcome:
    """All that a filter tells about these pieces: text, replies, are_you_there, seen, violation."""
    telnet = TelnetFilter()
    text = replies = b""
    for piece in pieces:
        text += telnet.feed(piece)
        replies += telnet.take_replies()
    return text, replies, telnet.take_are_you_there(), telnet.seen, telnet.violation


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The pieces of `data` between these places (taken modulo its length); some may be empty."""
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(borders)]


def held_bytes(telnet: TelnetFilter) -> int:
    return sum(sys.getsizeof(getattr(telnet, slot)) for slot in TelnetFilter.__slots__)


def sub_negotiation(content: bytes) -> bytes:
    return IAC + SB + content + IAC + SE


# A piece of a stream beside the text it stands for, so that a stream of them knows what must come out.


def escape(data: bytes) -> bytes:
    """As a telnet peer sends data: 0xFF doubled."""
    return data.replace(b"\xff", b"\xff\xff")


texts = st.binary(max_size=8).map(lambda text: (escape(text), text))
commands = st.sampled_from([*IGNORED, b"\xf6"]).map(lambda command: (IAC + command, b""))
verbs = st.tuples(st.sampled_from([WILL, WONT, DO, DONT]), st.integers(0, 255)).map(
    lambda pair: (IAC + pair[0] + bytes([pair[1]]), b"")
)
subs = st.binary(max_size=100).map(lambda content: (sub_negotiation(escape(content)), b""))
streams = st.lists(st.one_of(texts, commands, verbs, subs), max_size=20)

hostile = st.lists(
    st.sampled_from([IAC, IAC, SB, SE, DO, WILL, b"\xf6", b"\x06", b"\x01", b"a", b"y" * 100]), max_size=40
).map(b"".join)


@pytest.mark.parametrize(("data", "text", "replies"), TRANSCRIPTS)
def test_the_text_comes_out_and_the_replies_are_ready(data: bytes, text: bytes, replies: bytes) -> None:
    assert outcome([data])[:2] == (text, replies)


@pytest.mark.parametrize(("data", "text", "replies"), TRANSCRIPTS)
def test_every_cut_in_two_and_byte_by_byte_tell_the_same(data: bytes, text: bytes, replies: bytes) -> None:
    whole = outcome([data])
    assert outcome(one_by_one(data)) == whole
    for place in range(len(data) + 1):
        assert outcome([data[:place], data[place:]]) == whole
    assert whole[:2] == (text, replies)


@settings(deadline=None, max_examples=300)
@given(stream=streams, places=st.lists(st.integers(0, 500), max_size=8))
def test_any_well_formed_stream_yields_its_text(stream: list[tuple[bytes, bytes]], places: list[int]) -> None:
    data = b"".join(raw for raw, _ in stream)
    whole = outcome([data])
    assert whole[0] == b"".join(text for _, text in stream)
    assert outcome(one_by_one(data)) == outcome(cut(data, places)) == whole


@pytest.mark.promise("telnet-cuts")
@settings(deadline=None, max_examples=500)
@given(data=st.one_of(hostile, st.binary(max_size=200)), places=st.lists(st.integers(0, 500), max_size=8))
def test_any_bytes_cut_anywhere_tell_the_same(data: bytes, places: list[int]) -> None:
    assert outcome(one_by_one(data)) == outcome(cut(data, places)) == outcome([data])


@pytest.mark.promise("telnet-byte-255")
@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_escaped_bytes_come_back_as_they_were(data: bytes) -> None:
    assert outcome([escape(data)])[:2] == (data, b"")


def test_plain_data_is_handed_through_without_a_copy() -> None:
    telnet = TelnetFilter()
    data = b"nothing of telnet in here\r\n"
    assert telnet.feed(data) is data
    assert not telnet.seen


@pytest.mark.parametrize("data", [IAC + IAC, IAC + b"\xf1", IAC])
def test_any_iac_shows_that_the_client_speaks_telnet(data: bytes) -> None:
    assert outcome([b"a" + data])[3]


@pytest.mark.parametrize("command", IGNORED)
def test_a_command_that_asks_for_nothing_is_swallowed(command: bytes) -> None:
    assert outcome([b"a" + IAC + command + b"b"]) == (b"ab", b"", 0, True, False)


@pytest.mark.promise("telnet-options")
@pytest.mark.parametrize(("verb", "refusal"), [(DO, WONT), (WILL, DONT), (DONT, b""), (WONT, b"")])
def test_each_of_256_options_is_refused_once_for_each_direction(verb: bytes, refusal: bytes) -> None:
    telnet = TelnetFilter()
    for option in range(256):
        name = bytes([option])
        again = option == TIMING_MARK and verb == DO
        assert telnet.feed(IAC + verb + name) == b""
        assert telnet.take_replies() == (IAC + refusal + name if refusal else b"")
        assert telnet.feed(IAC + verb + name) == b""
        assert telnet.take_replies() == (IAC + refusal + name if refusal and again else b"")


def test_asked_and_offered_are_two_directions() -> None:
    data = IAC + DO + b"\x01" + IAC + WILL + b"\x01"
    assert outcome([data * 3])[1] == IAC + WONT + b"\x01" + IAC + DONT + b"\x01"


@pytest.mark.promise("telnet-interrupt")
def test_every_interrupt_of_linux_telnet_gets_its_timing_mark() -> None:
    telnet = TelnetFilter()
    for _ in range(3):
        assert telnet.feed(b"\xff\xf4\xff\xfd\x06") == b""
        assert telnet.take_replies() == b"\xff\xfc\x06"
    assert telnet.take_replies() == b""


@pytest.mark.promise("telnet-options")
def test_a_flood_of_requests_gets_a_bounded_answer() -> None:
    requests = b"".join(IAC + DO + bytes([option]) for option in range(256) if option != TIMING_MARK)
    telnet = TelnetFilter()
    for _ in range(50):
        telnet.feed(requests)
    assert len(telnet.take_replies()) == 255 * 3


def test_are_you_there_is_counted_and_taken_once() -> None:
    telnet = TelnetFilter()
    assert telnet.feed(AYT + b"a" + AYT) == b"a"
    assert telnet.are_you_there == 2
    assert telnet.take_are_you_there() == 2
    assert telnet.take_are_you_there() == 0


@pytest.mark.promise("telnet-subnegotiation")
@pytest.mark.parametrize(
    ("content", "violates"),
    [
        (b"x" * 256, False),
        (b"x" * 257, True),
        (IAC * 256, False),
        (IAC * 258, True),
        (b"x" + IAC * 256, True),
        (b"x" * 255 + IAC * 2, True),
    ],
)
def test_a_sub_negotiation_may_have_256_bytes_as_they_come(content: bytes, violates: bool) -> None:
    data = b"a" + sub_negotiation(content) + b"b"
    text = b"a" if violates else b"ab"
    assert outcome([data]) == outcome(one_by_one(data)) == (text, b"", 0, True, violates)


def test_each_sub_negotiation_is_counted_by_itself() -> None:
    assert outcome([sub_negotiation(b"x" * 200) * 100 + b"b"]) == (b"b", b"", 0, True, False)


@pytest.mark.promise("telnet-subnegotiation")
def test_after_a_violation_nothing_is_heard_or_answered() -> None:
    telnet = TelnetFilter()
    telnet.feed(IAC + SB + b"x" * 257)
    assert telnet.violation
    assert telnet.feed(b"text" + AYT + IAC + DO + b"\x01") == b""
    assert telnet.feed(b"plain text\n") == b""
    assert telnet.take_replies() == b""
    assert telnet.take_are_you_there() == 0


@pytest.mark.promise("telnet-subnegotiation")
@pytest.mark.parametrize("filling", [b"x", IAC])
def test_ten_megabytes_without_an_end_leave_the_filter_small(filling: bytes) -> None:
    piece = filling * 65_536
    telnet = TelnetFilter()
    telnet.feed(IAC + SB)
    for _ in range(160):
        assert telnet.feed(piece) == b""
        assert held_bytes(telnet) < 500
    assert telnet.violation
    assert not hasattr(telnet, "__dict__")


def test_all_options_answered_leave_the_filter_small() -> None:
    telnet = TelnetFilter()
    for verb in (DO, WILL):
        telnet.feed(b"".join(IAC + verb + bytes([option]) for option in range(256)))
    telnet.take_replies()
    assert held_bytes(telnet) < 500
