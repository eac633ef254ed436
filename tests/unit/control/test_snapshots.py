"""Records: frozen, untracked, and JSON as the page's readers know it."""

import gc

import msgspec
import pytest

from hub.control import snapshots as records
from hub.control.snapshots import ClientRow, InOut, Record, RoomRow
from tests.unit.web.support import make_row

KINDS = [kind for kind in vars(records).values() if isinstance(kind, type) and issubclass(kind, Record)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_record_is_frozen_and_untracked_by_the_collector(kind: type[Record]) -> None:
    assert kind.__struct_config__.frozen
    assert not kind.__struct_config__.gc
    assert not gc.is_tracked(make_row(1))


def test_both_directions_are_called_in_and_out() -> None:
    assert msgspec.json.encode(InOut(in_=1, out=2)) == b'{"in":1,"out":2}'


def test_json_holds_every_field_but_an_empty_tag() -> None:
    row = msgspec.structs.replace(make_row(1), tag="x")
    assert set(msgspec.json.decode(msgspec.json.encode(row))) == set(ClientRow.__struct_fields__)
    assert b"tag" not in msgspec.json.encode(msgspec.structs.replace(row, tag=""))


def test_times_and_sizes_say_their_unit() -> None:
    """A number of anything else is a count, and says of what."""
    counts = {"id", "clients", "lines", "bytes", "open", "accepted", "peak", "max_clients", "rooms", "turns"}
    for kind in (ClientRow, RoomRow):
        for name, type_ in kind.__annotations__.items():
            named = name.endswith(("_s", "_ms", "_bytes", "_in", "_out", "_lines"))
            assert named or type_ is str or name in counts, f"{kind.__name__}.{name}"
