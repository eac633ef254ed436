"""Records: frozen, untracked, and JSON as the page's readers know it."""

from __future__ import annotations

import gc

import msgspec
import pytest

from hub.control import snapshots as records
from hub.control.snapshots import ClientCounts, ClientRow, InOut, Record, RoomRow


def all_records() -> list[type[Record]]:
    """Every kind of record that the module has."""
    found = [value for value in vars(records).values() if isinstance(value, type)]
    return [kind for kind in found if issubclass(kind, Record) and kind is not Record]


def a_row() -> ClientRow:
    return ClientRow(
        id=7,
        peer="127.0.0.1:5000",
        transport="line",
        nick="ann",
        room="lobby",
        age_s=1.5,
        idle_s=0.5,
        lines_in=1,
        lines_out=2,
        bytes_in=3,
        bytes_out=4,
        lag_bytes=5,
        outbox_bytes=6,
        state="reading",
        tag="x",
    )


@pytest.mark.parametrize("kind", all_records())
def test_every_record_is_frozen_and_untracked_by_the_collector(kind: type[Record]) -> None:
    assert kind.__struct_config__.frozen
    assert not kind.__struct_config__.gc


def test_a_record_refuses_to_be_changed() -> None:
    row = a_row()
    with pytest.raises(AttributeError):
        row.nick = "bob"  # type: ignore[misc]  # that it is refused is the point
    assert not gc.is_tracked(row)


def test_both_directions_are_called_in_and_out() -> None:
    assert msgspec.json.encode(InOut(in_=1, out=2)) == b'{"in":1,"out":2}'


def test_fields_are_given_by_name_only() -> None:
    with pytest.raises(TypeError):
        ClientCounts(1, 2, 3)  # type: ignore[call-arg]  # that it is refused is the point


def test_json_holds_every_field_and_reads_back_the_same() -> None:
    encoded = msgspec.json.encode(a_row())
    assert set(msgspec.json.decode(encoded)) == set(ClientRow.__struct_fields__)
    assert msgspec.json.decode(encoded, type=ClientRow) == a_row()


def test_a_row_without_a_tag_does_not_spend_bytes_on_it() -> None:
    assert b"tag" not in msgspec.json.encode(msgspec.structs.replace(a_row(), tag=""))


def test_the_page_finds_in_a_client_row_what_it_was_promised() -> None:
    promised = "id peer transport nick room age_s idle_s lines_in lines_out bytes_in bytes_out lag_bytes"
    assert set(promised.split()) <= set(ClientRow.__struct_fields__)


def test_times_and_sizes_say_their_unit() -> None:
    """A number of anything else is a count, and says of what."""
    counts = {"id", "clients", "lines", "bytes", "open", "accepted", "peak", "max_clients", "rooms", "turns"}
    for kind in (ClientRow, RoomRow):
        for name, type_ in kind.__annotations__.items():
            named = name.endswith(("_s", "_ms", "_bytes", "_in", "_out", "_lines"))
            assert named or type_ is str or name in counts, f"{kind.__name__}.{name}"
