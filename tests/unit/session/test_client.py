"""A client as data: when it is read, and what it costs."""

import sys
from collections.abc import Callable
from enum import Enum
from typing import get_args

import pytest

from hub.rooms.accounting import Account
from hub.rooms.room import Room
from hub.session.client import Client, Phase
from hub.session.read_gate import ENDED, OUTBOX
from tests.unit.support import a_client, a_room, slots


@pytest.mark.parametrize("phase", get_args(Phase))
@pytest.mark.parametrize("reason", [0, OUTBOX, ENDED])
def test_client_is_read_while_it_is_alive_and_not_paused(phase: Phase, reason: int) -> None:
    client = a_client()
    client.phase = phase
    client.gate.add(reason)
    assert client.is_alive is (phase in ("opening", "open"))
    assert client.is_reading is (client.is_alive and not reason)


def size_bytes(thing: object) -> int:
    """An object and all that hangs on it alone: no room, no account, no socket, and no members of enums."""
    if thing is None or isinstance(thing, bool | Enum | Room | Account):
        return 0
    parts = list(thing) if isinstance(thing, list | tuple) else []
    if isinstance(thing, dict):
        parts += [part for item in thing.items() for part in item]
    for name in slots(type(thing)):
        if name not in ("owner", "log") and hasattr(thing, name):
            parts.append(getattr(thing, name))
    return sys.getsizeof(thing) + sum(map(size_bytes, parts))


@pytest.mark.promise("resources-idle-client")
def test_client_that_does_nothing_is_small(record_property: Callable[[str, object], None]) -> None:
    client = a_client()
    a_room(client)
    size = size_bytes(client)
    record_property("one client object, without its socket", f"{size} bytes")
    for part in (client, client.inbox, client.gate, client.outbox, client.close):
        assert not hasattr(part, "__dict__")
    assert 1000 < size <= 3 * 1024


def test_client_has_few_attributes_of_its_own() -> None:
    assert len(slots(Client)) <= 20
