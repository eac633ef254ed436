"""The telnet layer is taken out however it is cut, answered with restraint, and never stored."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.protocol.telnet import TelnetFilter
from tests.unit.protocol.support import however_cut
from tests.unit.support import held_bytes

IAC, SE, SB = b"\xff", b"\xf0", b"\xfa"
WILL, WONT, DO, DONT = b"\xfb", b"\xfc", b"\xfd", b"\xfe"
AYT = IAC + b"\xf6"
TIMING_MARK = 6

Outcome = tuple[bytes, bytes, int, int, bool]

# EOF, SUSP, ABORT, EOR; a stray SE, NOP, DM, BRK, IP, AO; EC, EL, GA.
IGNORED = [bytes([byte]) for byte in (*range(0xEC, 0xF6), *range(0xF7, 0xFA))]
NO_COMMANDS = [bytes([byte]) for byte in range(0xEC)]


def outcome(pieces: list[bytes]) -> Outcome:
    """All that a filter tells about these pieces: text, replies, ARE YOU THERE, commands, violation."""
    telnet = TelnetFilter()
    text, replies, asked, commands = b"", b"", 0, 0
    for piece in pieces:
        text += telnet.feed(piece)
        replies += telnet.take_replies()
        asked += telnet.are_you_there
        commands += telnet.commands
    assert telnet.spoken or not (commands or telnet.violation)
    text += telnet.finish()
    assert telnet.finish() == b""
    return text, replies, asked, commands, telnet.violation


def sub_negotiation(content: bytes) -> bytes:
    return IAC + SB + content + IAC + SE


def escape(data: bytes) -> bytes:
    """As a telnet peer sends data: 0xFF doubled."""
    return data.replace(b"\xff", b"\xff\xff")


@pytest.mark.promise("telnet-cuts")
@pytest.mark.parametrize(
    ("data", "text", "replies"),
    [
        (b"plain\r\n", b"plain\r\n", b""),
        (b"", b"", b""),
        (b"a" + IAC + IAC + b"b", b"a\xffb", b""),
        (IAC * 6, IAC * 3, b""),
        (IAC + DO + b"\x01" + b"x", b"x", IAC + WONT + b"\x01"),
        (IAC + WILL + b"\x1f" + b"x", b"x", IAC + DONT + b"\x1f"),
        (IAC + DO + IAC + b"x", b"x", IAC + WONT + IAC),
        (IAC + DONT + b"\x01" + IAC + WONT + b"\x03" + b"x", b"x", b""),
        ((IAC + DO + b"\n" + IAC + WILL + b"\n") * 3, b"", IAC + WONT + b"\n" + IAC + DONT + b"\n"),
        ((IAC + b"\xf4" + IAC + DO + b"\x06") * 2, b"", (IAC + WONT + b"\x06") * 2),
        (b"a" + IAC + SB + IAC + SE + b"b", b"ab", b""),
        (b"a" + IAC + SB + b"\x18\x00xterm" + IAC + SE + b"b", b"ab", b""),
        (b"a" + IAC + SB + b"\x1f\x00\x50" + IAC + IAC + b"\x18" + IAC + SE + b"b", b"ab", b""),
        (b"a" + IAC + SB + b"\x18" + SE + b"still" + IAC + SE + b"b", b"ab", b""),
        (b"a" + IAC + SB + b"\x18zz" + IAC + b"\xf1" + b"b", b"ab", b""),
        (b"a" + IAC + SB + b"\x18zz" + IAC + DO + b"\x01" + b"b", b"ab", IAC + WONT + b"\x01"),
        (b"a" + IAC + SB + b"\x18" + IAC + SB + b"\x1f" + IAC + SE + b"b", b"ab", b""),
        (b"a" + IAC + SB + b"never ended", b"a", b""),
        (b"a" + IAC + SB + b"\xff\xff" + IAC, b"a", b""),
        (b"a" + IAC + SB + b"\x1f\x00" + IAC + b"\x00\x18" + IAC + SE + b"b", b"ab", b""),
        (b"a" + IAC, b"a" + IAC, b""),
        (b"a" + IAC + DO, b"a", b""),
        (b"a\n" + AYT + IAC + SB + b"x" * 257 + IAC + SE + b"dropped" + AYT, b"a\n", b""),
        (sub_negotiation(b"x" * 90) * 3 + b"b", b"b", b""),
    ],
)
def test_the_text_comes_out_and_the_replies_are_ready(data: bytes, text: bytes, replies: bytes) -> None:
    assert however_cut(outcome, data)[:2] == (text, replies)


# A piece of a stream beside the text it stands for, so that a stream of them knows what must come out.
texts = st.binary(max_size=8).map(lambda text: (escape(text), text))
bare = st.sampled_from(NO_COMMANDS).map(lambda byte: (IAC + byte, IAC + byte))
commands = st.sampled_from([*IGNORED, b"\xf6"]).map(lambda command: (IAC + command, b""))
verbs = st.tuples(st.sampled_from([WILL, WONT, DO, DONT]), st.integers(0, 255)).map(
    lambda pair: (IAC + pair[0] + bytes([pair[1]]), b"")
)
subs = st.binary(max_size=100).map(lambda content: (sub_negotiation(escape(content)), b""))
streams = st.lists(st.one_of(texts, bare, commands, verbs, subs), max_size=20)
hostile = st.lists(
    st.sampled_from([IAC, IAC, SB, SE, DO, WILL, b"\xf6", b"\x06", b"\x01", b"a", b"y" * 100]), max_size=40
).map(b"".join)
places_of = st.lists(st.integers(0, 500), max_size=8)


@settings(max_examples=300)
@given(stream=streams, places=places_of)
def test_any_well_formed_stream_yields_its_text(stream: list[tuple[bytes, bytes]], places: list[int]) -> None:
    data = b"".join(raw for raw, _ in stream)
    assert however_cut(outcome, data, places)[0] == b"".join(text for _, text in stream)


@pytest.mark.promise("telnet-cuts")
@settings(max_examples=500)
@given(data=st.one_of(hostile, st.binary(max_size=200)), places=places_of)
def test_any_bytes_cut_anywhere_tell_the_same(data: bytes, places: list[int]) -> None:
    however_cut(outcome, data, places)


@pytest.mark.promise("telnet-byte-255")
@given(data=st.binary(max_size=200))
def test_escaped_bytes_come_back_as_they_were(data: bytes) -> None:
    assert outcome([escape(data)])[:2] == (data, b"")


def test_plain_data_is_handed_through_without_a_copy() -> None:
    data = b"nothing of telnet in here\r\n"
    assert TelnetFilter().feed(data) is data


def test_a_command_that_asks_for_nothing_is_swallowed() -> None:
    for command in IGNORED:
        assert outcome([b"a" + IAC + command + b"b"]) == (b"ab", b"", 0, 1, False), command


@pytest.mark.promise("telnet-no-command")
def test_iac_before_a_byte_that_is_no_command_is_text() -> None:
    for byte in NO_COMMANDS:
        data = b"a" + IAC + byte + b"b"
        assert however_cut(outcome, data) == (data, b"", 0, 0, False)
    cyrillic = "моя яблоня, твоя\nя".encode("cp1251")
    assert cyrillic.count(IAC) == 5
    assert however_cut(outcome, cyrillic) == (cyrillic, b"", 0, 0, False)
    telnet = TelnetFilter()
    for data, spoken in ((cyrillic + b"\n", False), (IAC, False), (DO, True)):
        telnet.feed(data)
        assert telnet.spoken is spoken


@pytest.mark.promise("telnet-options")
@pytest.mark.promise("telnet-interrupt")
@pytest.mark.parametrize(("verb", "refusal"), [(DO, WONT), (WILL, DONT), (DONT, b""), (WONT, b"")])
def test_each_of_256_options_is_refused_once_for_each_direction(verb: bytes, refusal: bytes) -> None:
    telnet = TelnetFilter()
    for option in range(256):
        name = bytes([option])
        again = option == TIMING_MARK and verb == DO  # A question of its own each time.
        for is_answered in (True, again, again):
            assert telnet.feed(IAC + verb + name) == b""
            assert telnet.take_replies() == (IAC + refusal + name if refusal and is_answered else b"")
            assert telnet.take_replies() == b""
    assert held_bytes(telnet) < 500


def test_are_you_there_and_commands_are_those_of_the_last_feed() -> None:
    telnet = TelnetFilter()
    assert telnet.feed(AYT + b"a" + IAC + b"\xf1" + AYT) == b"a"
    assert (telnet.are_you_there, telnet.commands) == (2, 3)
    assert telnet.feed(b"b") == b"b"
    assert (telnet.are_you_there, telnet.commands) == (0, 0)


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
    text, _, _, _, violation = however_cut(outcome, b"a" + sub_negotiation(content) + b"b", [])
    assert (text, violation) == (b"a" if violates else b"ab", violates)


@pytest.mark.promise("telnet-subnegotiation")
@pytest.mark.parametrize("filling", [b"x", IAC])
def test_endless_input_is_a_violation_at_once_and_unheard(filling: bytes) -> None:
    telnet = TelnetFilter()
    telnet.feed(IAC + SB)
    for _ in range(300):
        telnet.feed(filling)
        assert held_bytes(telnet) < 900
    assert telnet.violation
    for data in (filling * 65_536, b"text" + AYT + IAC + DO + b"\x01", b"plain text\n"):
        assert telnet.feed(data) == b""
    assert (telnet.take_replies(), telnet.are_you_there) == (b"", 0)
    assert held_bytes(telnet) < 500
    assert not hasattr(telnet, "__dict__")
