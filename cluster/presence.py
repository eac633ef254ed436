"""What hubs tell one another beside the stream, on core NATS: beats, questions and answers.

Nothing of this is kept, and each may be lost. A message is a msgpack array whose first element says which of
the three it is. As in an envelope, it is wrong until it is parsed, and what people will read is cleaned.
"""

from typing import Annotated, Final

import msgspec

from cluster.envelope import Refused
from hub.modes.sanitize import clean_text

MOST_BYTES: Final = 64 * 1024
MOST_VALUES: Final = 512
ROOMS_TOLD: Final = 50
"""A beat tells how many people are in so many rooms, the largest."""

_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
_Time = Annotated[float, msgspec.Meta(ge=0, lt=1e9)]
_Text = Annotated[str, msgspec.Meta(max_length=16 * 1024)]
_Values = Annotated[list[_Text], msgspec.Meta(max_length=MOST_VALUES)]


class Beat(msgspec.Struct, frozen=True, array_like=True, tag=1, forbid_unknown_fields=True):
    """A hub is alive; each second. Totals are since its start, times are milliseconds."""

    applied: _Count
    """The last message of the stream that it applied."""
    is_leaving: bool
    """The last beat: it ends."""
    clients: _Count
    lines_in: _Count
    lines_out: _Count
    ack_p50_ms: _Time
    ack_p99_ms: _Time
    behind: _Count
    gaps: _Count
    resent: _Count
    refused_lines: _Count
    rooms: _Count
    people: Annotated[dict[_Text, _Count], msgspec.Meta(max_length=ROOMS_TOLD)]
    """How many people are in each of its largest rooms, by the key of the room."""


class Question(msgspec.Struct, frozen=True, array_like=True, tag=2, forbid_unknown_fields=True):
    """What a client wants to know of the other hubs, or to be done there."""

    number: _Count
    what: _Text
    arguments: _Values


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=3, forbid_unknown_fields=True):
    """What a hub says to a question of this number."""

    number: _Count
    values: _Values


class Order(msgspec.Struct, frozen=True, array_like=True, tag=4, forbid_unknown_fields=True):
    """What an operator wants of hubs: `announce` a text, or `drain`."""

    what: Annotated[str, msgspec.Meta(max_length=16)]
    text: Annotated[str, msgspec.Meta(max_length=400)]


Said = Beat | Question | Answer

_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(Said).decode
_DECODE_ORDER: Final = msgspec.msgpack.Decoder(Order).decode


def packed(said: Said | Order) -> bytes:
    """The message; an answer that is too long loses its end."""
    message = _ENCODE(said)
    if isinstance(said, Answer) and len(message) > MOST_BYTES:
        return packed(Answer(said.number, said.values[: len(said.values) // 2]))
    return message


def unpacked(message: bytes) -> Said:
    """What a message says. Raises Refused."""
    if len(message) > MOST_BYTES:
        raise Refused(f"{len(message)} bytes, at most {MOST_BYTES}")
    try:
        said = _DECODE(message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused("not what hubs tell one another") from None
    if isinstance(said, Question):
        return Question(said.number, said.what, [clean_text(text) for text in said.arguments])
    return (
        Answer(said.number, [clean_text(text) for text in said.values]) if isinstance(said, Answer) else said
    )


def order_of(message: bytes) -> Order:
    """What an operator's message says. Raises Refused."""
    try:
        order = _DECODE_ORDER(message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused("no order") from None
    return Order(order.what, clean_text(order.text))
