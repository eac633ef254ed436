"""The notices of one turn in one room, as one line."""

from itertools import groupby
from operator import itemgetter
from typing import Final

from hub.rooms.room import Room
from hub.session.commons import Commons

_NAMES: Final = 20
"""So many names stand in one notice."""


def publish_notes(room: Room, commons: Commons) -> None:
    """Say one line for all notices of a turn, in their order: `* ann, bob joined; cy left`."""
    shown = []
    for what, notes in groupby(room.notes, key=itemgetter(1)):
        names = [who for who, _ in notes]
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        shown.append(f"{', '.join(names[:_NAMES])}{more} {what}")
    room.notes = []
    commons.note(room, f"* {'; '.join(shown)}".encode())
