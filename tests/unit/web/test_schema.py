"""Queries as texts, rows as records: no sockets, no loop."""

import json
import random
from typing import Any

import msgspec
import pytest
from multidict import MultiDict

from hub.control.snapshots import ClientRow
from tests.unit.web.support import make_row
from web.schema import (
    RUN_ROWS,
    SORT_FIELDS,
    BadValue,
    View,
    clients_page,
    into_runs,
    read_clients_query,
    read_parameters,
    read_view,
    read_window,
)


def pick(rows: list[ClientRow], **parameters: str) -> Any:
    """The page for these parameters, as a reader of the JSON gets it."""
    view = read_clients_query(MultiDict(parameters))
    return json.loads(msgspec.json.encode(clients_page(into_runs(rows), view)))


def ids(rows: list[ClientRow], **parameters: str) -> list[int]:
    return [client["id"] for client in pick(rows, **parameters)["clients"]]


def random_rows(count: int) -> list[ClientRow]:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    return [
        make_row(
            number,
            nick=f"n{dice.randrange(50)}",
            room=dice.choice("abc"),
            age_s=dice.random() * 1000,
            lag_bytes=dice.randrange(20),
            state=dice.choice(["reading", "paused", "gateway"]),
        )
        for number in dice.sample(range(10**6), count)
    ]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("field", SORT_FIELDS)
def test_any_field_sorts_like_one_stable_sort_over_everything(field: str, order: str) -> None:
    rows = random_rows(RUN_ROWS + 17)
    expected = sorted(rows, key=lambda row: getattr(row, field), reverse=order == "desc")
    assert ids(rows, sort=field, order=order, limit="1000") == [row.id for row in expected][:1000]


def test_pages_put_together_are_the_whole_and_nothing_twice() -> None:
    rows = random_rows(RUN_ROWS * 3 + 1)
    seen: list[int] = []
    for offset in range(0, len(rows) + 400, 400):
        seen += ids(rows, sort="lag_bytes", limit="400", offset=str(offset))
    assert seen == [row.id for row in sorted(rows, key=lambda row: row.lag_bytes)]


@pytest.mark.parametrize(("rows", "offset"), [([make_row(1), make_row(2)], 5), ([], 0)])
def test_past_the_end_is_an_empty_page_with_counts(rows: list[ClientRow], offset: int) -> None:
    total = len(rows)
    page = pick(rows, offset=str(offset))
    assert page == {"total": total, "matched": total, "offset": offset, "limit": 100, "clients": []}


def test_the_default_is_a_hundred_in_the_order_of_ids() -> None:
    rows = [make_row(number) for number in range(150, 0, -1)]
    assert ids(rows) == list(range(1, 101))


@pytest.mark.parametrize(
    "q", ["203.0.113.9", "ALICE", "alice", "Lobby-7", "4711", "WebSocket", "ÅSTRÖM", "straße", "STRASSE"]
)
def test_q_finds_in_each_of_its_fields_in_any_case(q: str) -> None:
    wanted = make_row(
        4711, peer="203.0.113.9:5", nick="Alice-åström-STRASSE", room="LOBBY-7", transport="websocket"
    )
    others = [make_row(number, peer="127.0.0.1:5") for number in range(1, 5)]
    page = pick([*others, wanted], q=q)
    assert [client["id"] for client in page["clients"]] == [4711]
    assert (page["total"], page["matched"]) == (5, 1)


@pytest.mark.parametrize("q", ["paused", "bc"])
def test_q_neither_looks_into_other_fields_nor_across_two(q: str) -> None:
    assert pick([make_row(1, nick="ab", room="cd", state="paused")], q=q)["matched"] == 0


def test_every_field_of_a_row_is_in_the_json() -> None:
    row = make_row(5, nick='"<é>\u2028', lag_bytes=12, tag="t")
    assert pick([row])["clients"] == [{name: getattr(row, name) for name in SORT_FIELDS}]


@pytest.mark.parametrize(
    "limit", ["0", "-1", "1001", "", "ten", "1.5", " 5", "+5", "٣", "²", "9" * 5000, "0x10"]
)
def test_a_bad_limit_is_named_with_what_is_allowed(limit: str) -> None:
    with pytest.raises(BadValue, match=r"^limit=.* allowed is a whole number from 1 to 1000$"):
        read_window(MultiDict(limit=limit))


@pytest.mark.parametrize("limit", ["1", "1000", "007"])
def test_the_limits_of_limit_are_allowed_themselves(limit: str) -> None:
    assert read_window(MultiDict(limit=limit)) == (0, int(limit))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([("sort", "fd")], r"^sort='fd': allowed is one of id, peer, .*outbox_bytes"),
        ([("sort", "__class__")], r"^sort='__class__'"),
        ([("sort", "")], r"^sort=''"),
        ([("sort", "x" * 100_000)], r"^.{100,500}$"),
        ([("order", "up")], r"^order='up': allowed is asc or desc$"),
        ([("order", "ASC")], r"^order='ASC'"),
        *[([("offset", offset)], r"^offset=") for offset in ("-1", "x", "", "1" * 16)],
        ([("limits", "5")], r"^limits='5': .*sort, order, q, limit, offset$"),
        ([("limit", "1"), ("limit", "2")], r"^limit='2': allowed is one value"),
    ],
)
def test_a_bad_parameter_is_named_with_what_is_allowed(
    parameters: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(BadValue, match=message):
        read_clients_query(MultiDict(parameters))


def test_where_nothing_is_known_the_message_says_none() -> None:
    with pytest.raises(BadValue, match=r"known are: none$"):
        read_parameters(MultiDict(x="1"))


# Views.


def test_a_view_is_the_same_query_as_that_of_the_address() -> None:
    view = read_view('{"sort":"lag_bytes","order":"desc","q":"x","offset":7,"limit":3}')
    parameters = MultiDict(sort="lag_bytes", order="desc", q="x", offset="7", limit="3")
    assert view == read_clients_query(parameters)
    assert read_view('{"paused":true}') == View(paused=True)


def test_what_a_view_leaves_out_has_its_default() -> None:
    assert read_view("{}") == View(sort="id", order="asc", q="", offset=0, limit=50, paused=False)


BAD_VIEWS = [
    "", "null", "[]", "5", '"x"', "{", "{}{}", "{'sort':'id'}", '{"sort":"fd"}', '{"sort":"__class__"}',
    '{"sort":null}', '{"sort":["id"]}', '{"order":"up"}', '{"q":5}', '{"q":null}', '{"q":"\\ud800"}',
    '{"offset":-1}', '{"offset":1.5}', '{"offset":"1"}', '{"offset":1000000000000000}', '{"offset":1e999}',
    '{"limit":0}', '{"limit":501}', '{"limit":true}', '{"limit":NaN}', '{"limit":' + "9" * 4000 + "}",
    '{"paused":1}', '{"paused":"yes"}', '{"pause":true}', '{"":""}', '{"kind":"view"}', "[" * 4000,
    '{"x":' + "[" * 4000,
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_VIEWS)
def test_a_bad_view_is_refused(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_view(text)


@pytest.mark.parametrize(
    "text", ['{"limit":1}', '{"limit":500}', '{"offset":999999999999999}', '{"q":"\\u0000"}']
)
def test_the_limits_of_a_view_are_allowed_themselves(text: str) -> None:
    read_view(text)
