"""What a message of the stream looks like, and what is refused."""

import msgspec
import pytest

from cluster.envelope import MOST_BYTES, MOST_ENTRIES, Batch, Entry, Kind, Refused, Rules, packed, unpacked

BROADCAST = Rules(most_line_bytes=100, is_chat=False)
CHAT = Rules(most_line_bytes=100, is_chat=True)
TALK = Entry(Kind.TALK, "lobby", 2, b"<ann> one\n<ann> two\n")


def message(*entries: object, version: object = 1, number: object = 7, wall_ms: object = 1) -> bytes:
    """A message with anything in it."""
    return msgspec.msgpack.encode([version, number, wall_ms, entries])


@pytest.mark.parametrize("rules", [BROADCAST, CHAT])
def test_batch_comes_back_from_its_message_as_it_was(rules: Rules) -> None:
    notice = Entry(Kind.NOTICE, "den", 1, "* Zoë joined\n".encode())
    batch = Batch(7, 1_700_000_000_000, [TALK, notice, Entry(Kind.ANNOUNCEMENT, "", 1, b"* tea\n")])
    assert unpacked(packed(batch), rules) == batch


def test_lines_of_broadcast_are_verbatim() -> None:
    entry = Entry(Kind.TALK, "lobby", 1, b"\xff\x1b[2J\0\n")
    assert unpacked(message(entry), BROADCAST).entries == [entry]


def test_lines_of_chat_are_cleaned_as_a_clients_are() -> None:
    found = unpacked(message((0, "lobby", 1, b"<ann> \x1b[2J\xff\n")), CHAT).entries[0]
    assert found.data == "<ann> \ufffd[2J\ufffd\n".encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no msgpack"),
        (b"\xc1", "no msgpack"),
        (b"\x91" * 5000, "no msgpack"),
        (b"x" * (MOST_BYTES + 1), f"{MOST_BYTES + 1} bytes, at most {MOST_BYTES}"),
        (msgspec.msgpack.encode({"number": 1}), "no envelope"),
        (msgspec.msgpack.encode([2, {"new": "form"}]), "version 2, this hub knows 1"),
        (message(TALK, version=3), "version 3, this hub knows 1"),
        (message(TALK, version="1"), "no envelope"),
        (message(TALK, number=0), "a number out of range"),
        (message(TALK, number=1 << 63), "a number out of range"),
        (message(TALK, wall_ms=-1), "a number out of range"),
        (message(), f"0 entries, 1 to {MOST_ENTRIES}"),
        (message(*[(0, "a", 1, b"<\n")] * 1025), f"1025 entries, 1 to {MOST_ENTRIES}"),
        (message((3, "lobby", 1, b"x\n")), "an entry of kind 3"),
        (message((0, "lobby", 2, b"<a> x\n")), "lines that are not as many as they are said to be"),
        (message((0, "lobby", 1, b"<a> x")), "lines that are not as many as they are said to be"),
        (message((0, "lobby", 0, b"")), "lines that are not as many as they are said to be"),
        (message((0, "-den", 1, b"<a> x\n")), "a room that cannot be"),
        (message((0, "\uff4cobby", 1, b"<a> x\n")), "a room that is not written as it is shown"),
        (message((2, "lobby", 1, b"* x\n")), "an announcement to one room"),
        (message((0, "lobby", 1, b"<" + b"x" * 100 + b"\n")), "a line that is too long"),
        (message((0, "lobby", 2, b"<a> x\n* gone\n")), "a line in another's name"),
        (message((1, "lobby", 1, b"<a> x\n")), "a line in another's name"),
    ],
)
def test_message_with_anything_wrong_is_refused_whole(data: bytes, why: str) -> None:
    with pytest.raises(Refused) as refused:
        unpacked(data, CHAT)
    assert str(refused.value) == why
