"""Faults of lines and of what is counted of them: each puts a wrong step in place of one of the hub's."""

from __future__ import annotations

from typing import Any

import pytest

from hub.close_reasons import CloseReason
from hub.loop import writer as sending
from hub.loop.closer import Endings
from hub.loop.context import Hub
from hub.loop.flow_control import Pacing
from hub.loop.writer import Sender
from hub.rooms import outbox as delivery
from hub.rooms.chunk import Chunk
from hub.rooms.room import Room
from hub.session.client import Client, Piece

Patch = pytest.MonkeyPatch


def lose_a_line(patch: Patch) -> None:
    hand = Sender._hand

    def careless(self: Sender, client: Client, chunk: Chunk, now: float) -> None:
        if client.id == 2 and chunk.first == 5:
            client.position, client.offset = client.position + chunk.count, chunk.end
            self._hub.account.delivered += len(chunk.lf)
        else:
            hand(self, client, chunk, now)

    patch.setattr(Sender, "_hand", careless)


def say_a_line_twice(patch: Patch) -> None:
    extend = Room.extend

    def stammer(self: Room, lines: Any, size: int, speaker: int) -> None:
        extend(self, lines, size, speaker)
        if self.head == 7:
            extend(self, lines, size, speaker)

    patch.setattr(Room, "extend", stammer)


def miscount_a_close(patch: Patch) -> None:
    settle = Endings._settle

    def forgetful(self: Endings, client: Client, now: float) -> None:
        settle(self, client, now)
        if client.reason is CloseReason.PEER_RESET:
            self._hub.counters.closed[CloseReason.PEER_RESET] -= 1

    patch.setattr(Endings, "_settle", forgetful)


def lose_a_line_and_its_account(patch: Patch) -> None:
    hand = Sender._hand

    def careless(self: Sender, client: Client, chunk: Chunk, now: float) -> None:
        if client.id == 2 and chunk.first == 5:
            client.position, client.offset = client.position + chunk.count, chunk.end
        else:
            hand(self, client, chunk, now)

    patch.setattr(Sender, "_hand", careless)


def miscount_what_is_owed(patch: Patch) -> None:
    extend = Room.extend

    def forgetful(self: Room, lines: Any, size: int, speaker: int) -> None:
        extend(self, lines, size, speaker)
        self.account.owed -= len(self.hearers) > 3

    patch.setattr(Room, "extend", forgetful)


def miscount_what_was_skipped(patch: Patch) -> None:
    skip = Pacing.skip

    def generous(self: Pacing, client: Client, *args: Any) -> None:
        before = self._hub.account.skipped
        skip(self, client, *args)
        self._hub.account.skipped += self._hub.account.skipped > before

    patch.setattr(Pacing, "skip", generous)


def miscount_what_was_delivered(patch: Patch) -> None:
    take = delivery.take

    def generous(client: Client, parts: Any, taken: int, account: Any) -> None:
        take(client, parts, taken, account)
        if client.rest:
            account.delivered += 1
            account.owed += 1  # so that the hub's own two sides agree

    patch.setattr(sending, "take", generous)


def skip_without_a_word(patch: Patch) -> None:
    patch.setattr(sending, "tell_skipped", lambda client: setattr(client, "untold_lines", 0))
    patch.setattr(delivery, "tell_skipped", lambda client: setattr(client, "untold_lines", 0))


def give_room_lines_out_of_order(patch: Patch) -> None:
    between = Room.lines_between

    def reversed_between(self: Room, *args: int) -> list[Piece]:
        return [_reversed(piece) for piece in between(self, *args)]

    patch.setattr(Room, "lines_between", reversed_between)


def miscount_what_was_unsent(patch: Patch) -> None:
    forget = Hub.drop_output

    def amnesia(self: Hub, client: Client, *, keep_rest: bool = False) -> None:
        forget(self, client, keep_rest=keep_rest)
        self.account.unsent -= client.unsent_bytes > 0

    patch.setattr(Hub, "drop_output", amnesia)


def _reversed(piece: Piece) -> Piece:
    return piece._replace(data=b"".join(reversed(piece.data.splitlines(keepends=True))))
