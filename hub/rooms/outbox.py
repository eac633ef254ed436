"""What a client gets next, and what of it the kernel took.

The order on one wire: the rest of the line already begun, then private output and room lines by the
offset that each piece of private output precedes. Whatever the kernel takes, the client is left at a
line border plus the rest of one line, so that its form may change and a farewell may enter there.

Delivered bytes are counted here, from what the kernel says; what was owed is counted in the room, when
a line is appended. That the two agree is a promise, and the reason why they are counted apart.
"""

from collections.abc import Iterator
from typing import NamedTuple

from hub.protocol.encoding import Form, canonical_left, cut, encode
from hub.rooms.accounting import Account
from hub.rooms.chunk import Chunk
from hub.rooms.room import Room
from hub.rooms.sender_runs import Own, spans
from hub.rooms.skipping import tell_skipped
from hub.session.client import Client, Piece

BATCH_BYTES = 256 * 1024
"""At most about this much is offered to the kernel at once; with a 64 KiB send buffer it takes less."""
BATCH_PARTS = 256
"""IOV_MAX is 1024; a client that misses this many chunks gets the others in its next send."""


class Part(NamedTuple):
    """Bytes for the wire, and where they come from: a piece, a chunk, or (None) the rest of a line.

    Lines that are the client's own, where it does not get those, are a part without bytes.
    """

    wire: bytes
    source: Piece | Chunk | Own | None
    size: int
    """Canonical bytes."""

    @property
    def counts(self) -> bool:
        """Whether these bytes are what a client said: only they are activity, the hub's own words are not."""
        if isinstance(self.source, Chunk):
            return self.source.talk
        if isinstance(self.source, Piece):
            return self.source.owed
        return self.size > 0


def next_parts(client: Client) -> list[Part]:
    """The next batch for this client, in order; empty when there is nothing."""
    parts: list[Part] = []
    size = 0
    for part in _upcoming(client):
        parts.append(part)
        size += len(part.wire)
        if size >= BATCH_BYTES or len(parts) >= BATCH_PARTS:
            break
    return parts


def take(client: Client, parts: list[Part], taken: int, account: Account) -> None:
    """Move the client past the first `taken` bytes of these parts."""
    client.bytes_out += taken
    whole_pieces = 0
    for part in parts:
        size = len(part.wire)
        if taken < size:
            if taken:
                _take_some(client, part, whole_pieces, taken, account)
            break
        taken -= size
        _take_whole(client, part, account)
        whole_pieces += isinstance(part.source, Piece)
    del client.private[:whole_pieces]


def rest_for(client: Client) -> list[Piece]:
    """Everything still waiting for this client, as private output that needs no room any more.

    Called before it leaves a room; the begun line stays with the client itself.
    """
    room, at = client.room, client.offset
    if room is None or client.deaf:
        return client.private
    room.seal()
    if client.untold_lines:  # The gap is before the lines that are to become private output now.
        tell_skipped(client)
    pieces: list[Piece] = []
    for piece in client.private:
        if piece.at > at:
            pieces += room.lines_between(at, piece.at, client.id)
            at = piece.at
        pieces.append(piece._replace(at=-1))
    return pieces + room.lines_between(at, room.end, client.id)


def _upcoming(client: Client) -> Iterator[Part]:
    if client.rest:
        yield Part(client.rest, None, client.rest_owed)
    room = None if client.deaf else client.room
    at = client.offset
    for piece in client.private:
        if room is not None and piece.at > at:
            yield from _room_parts(client, room, at, piece.at)
            at = piece.at
        wire = piece.data if piece.raw else encode(piece.data, piece.form or client.form)
        yield Part(wire, piece, len(piece.data))
    if room is not None:
        yield from _room_parts(client, room, at, room.end)


def _room_parts(client: Client, room: Room, at: int, stop: int) -> Iterator[Part]:
    """The chunks between two offsets; the whole ones as the object that everyone shares."""
    for index in range(room.index(at), len(room.chunks)):
        chunk = room.chunks[index]
        if chunk.start >= stop:
            return
        if chunk.own is not None and client.id in chunk.own:
            yield from _parts_of_others(client, chunk, max(at, chunk.start), min(stop, chunk.end))
        elif chunk.start >= at and chunk.end <= stop:
            yield Part(chunk.wire(client.form), chunk, len(chunk.lf))
        else:
            start, end = max(0, at - chunk.start), min(len(chunk.lf), stop - chunk.start)
            yield Part(chunk.part(client.form, start, end), chunk, end - start)


def _parts_of_others(client: Client, chunk: Chunk, at: int, stop: int) -> Iterator[Part]:
    """The same in a chunk with lines of the client's own, which it passes."""
    for start, end, own in spans(chunk.own, client.id, at, stop):
        if own:
            yield Part(b"", Own(chunk.lines(start, end), end - start), 0)
        else:
            lines = chunk.part(client.form, start - chunk.start, end - chunk.start)
            yield Part(lines, chunk, end - start)


def pass_own(client: Client) -> None:
    """Move the client past lines of its own that come next, so that what comes then has bytes to send."""
    room = client.room
    if room is None:
        return
    for index in range(room.index(client.offset), len(room.chunks)):
        chunk = room.chunks[index]
        for start, end, own in spans(chunk.own, client.id, max(client.offset, chunk.start), chunk.end):
            if not own:
                return
            _pass(client, Own(chunk.lines(start, end), end - start))


def _pass(client: Client, own: Own) -> None:
    client.position += own.lines
    client.offset += own.size
    client.own_lines -= own.lines
    client.own_bytes -= own.size


def _take_whole(client: Client, part: Part, account: Account) -> None:
    source = part.source
    if source is None:
        account.delivered += client.rest_owed
        client.farewell_sent |= client.rest_farewell
        client.lines_out += client.rest_lines
        _keep_rest(client, b"")
    elif isinstance(source, Piece):
        client.private_bytes -= len(source.data)
        client.farewell_sent |= source.farewell
        client.lines_out += source.lines
        if source.owed:
            account.delivered += part.size
    elif isinstance(source, Own):
        _pass(client, source)
    else:
        start = client.offset - source.start
        whole = part.size == len(source.lf)
        lines = source.count if whole else source.lf.count(b"\n", start, start + part.size)
        client.lines_out += lines
        client.position += lines
        client.offset += part.size
        account.delivered += part.size


def _take_some(client: Client, part: Part, index: int, taken: int, account: Account) -> None:
    """The kernel cut this part: go on to the end of the line that it cut, and keep that line's rest."""
    source, wire = part.source, part.wire
    if source is None:
        form = Form.FRAMES if client.rest_is_raw else client.form
        left = canonical_left(wire[taken:], form, client.rest_owed)
        account.delivered += client.rest_owed - left
        client.rest, client.rest_owed = wire[taken:], left
    elif isinstance(source, Chunk):
        place = source.cut(client.form, client.offset - source.start, wire, taken)
        client.lines_out += place.lines - (place.left > 0)
        client.position += place.lines
        client.offset += place.size
        account.delivered += place.size - place.left
        _keep_rest(client, wire[taken : place.border], owed=place.left)
    elif isinstance(source, Piece):
        _take_some_private(client, source, wire, index, taken, account)


def _take_some_private(
    client: Client, piece: Piece, wire: bytes, index: int, taken: int, account: Account
) -> None:
    """The same for private output. Raw bytes have no lines: the rest of them is one thing."""
    if piece.raw:
        size, border, left = len(piece.data), len(wire), len(wire) - taken
    else:
        place = cut(wire, taken, piece.form or client.form)
        size, border, left = place.size, place.border, place.left
        client.lines_out += place.lines - (left > 0)
    client.private_bytes -= size
    if piece.owed:
        account.delivered += size - left
    whole = size == len(piece.data)
    owed = left if piece.owed else 0
    _keep_rest(
        client,
        wire[taken:border],
        owed=owed,
        lines=piece.messages if piece.raw else 1,
        raw=piece.raw,
        farewell=piece.farewell and whole,
    )
    if whole:
        del client.private[index]
    else:
        client.private[index] = piece._replace(data=piece.data[size:])


def _keep_rest(
    client: Client,
    rest: bytes,
    *,
    owed: int = 0,
    lines: int = 1,
    raw: bool = False,
    farewell: bool = False,
) -> None:
    """What the client gets before anything else."""
    client.rest, client.rest_owed, client.rest_farewell = rest, owed, farewell
    client.rest_lines, client.rest_is_raw = lines if rest else 0, raw
