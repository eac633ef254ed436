"""The envelope: what one hub said in one go, as a message of the stream.

A message is a msgpack array [version, number, wall_ms, [[kind, room, lines, data], ...]]. A message comes
from outside, so it is wrong until it is parsed here: types, sizes, names, line ends and what a terminal obeys
are checked as they are for a client's input. What is wrong is refused whole, with the reason, and nothing of
it is shown: a hub of ours never makes such a message, so a part of it is worth nothing.
"""

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from hub.modes.sanitize import NameRefused, check_name, clean

VERSION: Final = 1
MOST_BYTES: Final = 128 * 1024
"""A message is no larger. The stream takes 256 KiB (max_msg_size), so every reader checks it too."""
MOST_ENTRIES: Final = 1024
LATEST_WALL_MS: Final = 1 << 48
ROOMS_KNOWN: Final = 4096
"""The names of so many rooms, those heard last, are known to be names."""
_HEAD_BYTES: Final = 32
_ENTRY_BYTES: Final = 160
"""At most so much around the data of an entry: a room's name has 32 characters of 4 bytes at most."""


class Refused(ValueError):
    """Why a message is not taken, in a few words without anything of its content."""


class Kind(IntEnum):
    """What an entry is."""

    TALK = 0
    """Lines that a client said."""
    NOTICE = 1
    """Lines of the hub's own: who came and went."""
    ANNOUNCEMENT = 2
    """The same to all rooms; its room is empty."""


class Entry(NamedTuple):
    """Lines for one room, in the order in which they were said."""

    kind: Kind
    room: str
    """The name, as it is shown."""
    lines: int
    data: bytes
    """Canonical lines, each with its LF."""


class Batch(NamedTuple):
    """What one hub said in one go. `number` is one more than that of its batch before, from 1."""

    number: int
    wall_ms: int
    """Milliseconds since 1970, for display only."""
    entries: Sequence[Entry]


class Rules(NamedTuple):
    """What the lines of a mode look like."""

    most_line_bytes: int
    """The longest line with what stands before it, without its LF; 0: any."""
    is_chat: bool
    """Talk begins with `<`, notices with `* `, and all of it is clean."""


_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(tuple[int, int, int, list[tuple[int, str, int, bytes]]]).decode


def packed(batch: Batch) -> bytes:
    """The message of a batch."""
    return _ENCODE((VERSION, batch.number, batch.wall_ms, batch.entries))


def packed_bytes(entries: int, data: int) -> int:
    """At most so large is a message of so many entries with so many bytes of lines in all."""
    return _HEAD_BYTES + entries * _ENTRY_BYTES + data


def unpacked(message: bytes, rules: Rules) -> Batch:
    """The batch of a message. Raises Refused."""
    if len(message) > MOST_BYTES:
        raise Refused(f"{len(message)} bytes, at most {MOST_BYTES}")
    try:
        version, number, wall_ms, rows = _DECODE(message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused(_version_of(message)) from None
    if version != VERSION:
        raise Refused(f"version {version}, this hub knows {VERSION}")
    if not (1 <= number < 1 << 63 and 0 <= wall_ms < LATEST_WALL_MS):
        raise Refused("a number out of range")
    if not 1 <= len(rows) <= MOST_ENTRIES:
        raise Refused(f"{len(rows)} entries, 1 to {MOST_ENTRIES}")
    return Batch(number, wall_ms, [_checked(*row, rules) for row in rows])


def _version_of(message: bytes) -> str:
    """Why a message is no envelope of this version: perhaps it is one of another."""
    try:
        found: Any = msgspec.msgpack.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "no msgpack"
    if isinstance(found, list) and found and type(found[0]) is int and found[0] != VERSION:
        return f"version {found[0]}, this hub knows {VERSION}"
    return "no envelope"


def _checked(kind: int, room: str, lines: int, data: bytes, rules: Rules) -> Entry:
    if kind not in Kind._value2member_map_:
        raise Refused(f"an entry of kind {kind}")
    if lines < 1 or lines != data.count(b"\n") or not data.endswith(b"\n"):
        raise Refused("lines that are not as many as they are said to be")
    _check_room(room, Kind(kind))
    contents = data.split(b"\n")[:-1]
    most = rules.most_line_bytes if kind != Kind.ANNOUNCEMENT else 0
    if most and max(map(len, contents)) > most:
        raise Refused("a line that is too long")
    if not rules.is_chat and kind == Kind.TALK:
        return Entry(Kind.TALK, room, lines, data)
    mark = b"<" if kind == Kind.TALK else b"* "
    if not all(line.startswith(mark) for line in contents):
        raise Refused("a line in another's name")
    return Entry(Kind(kind), room, lines, b"".join(clean(line) + b"\n" for line in contents))


def _check_room(room: str, kind: Kind) -> None:
    if kind is Kind.ANNOUNCEMENT:
        if room:
            raise Refused("an announcement to one room")
    elif (shown := _shown_name(room)) is None:
        raise Refused("a room that cannot be")
    elif shown != room:
        raise Refused("a room that is not written as it is shown")


@lru_cache(ROOMS_KNOWN)
def _shown_name(room: str) -> str | None:
    """A room's name as it is shown; None where it can be none. Half of the work on an entry is spared."""
    try:
        return check_name(room, "room")
    except NameRefused:
        return None
