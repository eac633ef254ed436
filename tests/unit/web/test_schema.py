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
    CLIENTS_PARAMETERS,
    LIMIT_MAX,
    RUN_ROWS,
    SORT_FIELDS,
    BadValue,
    clients_page,
    into_runs,
    read_clients_query,
    read_parameters,
    read_view,
    read_window,
)


def pick(rows: list[ClientRow], **parameters: str) -> Any:
    """The page for these parameters, as a reader of the JSON gets it."""
    return json.loads(msgspec.json.encode(clients_page(into_runs(rows), read_clients_query(parameters))))


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


@pytest.mark.parametrize("field", SORT_FIELDS)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_any_field_sorts_like_one_stable_sort_over_everything(field: str, order: str) -> None:
    rows = random_rows(2 * RUN_ROWS + 17)
    expected = sorted(rows, key=lambda row: getattr(row, field), reverse=order == "desc")
    assert ids(rows, sort=field, order=order, limit="1000") == [row.id for row in expected][:1000]


def test_pages_put_together_are_the_whole_and_nothing_twice() -> None:
    rows = random_rows(RUN_ROWS * 3 + 1)
    seen: list[int] = []
    for offset in range(0, len(rows) + 400, 400):
        seen += ids(rows, sort="lag_bytes", limit="400", offset=str(offset))
    assert seen == [row.id for row in sorted(rows, key=lambda row: row.lag_bytes)]


def test_an_offset_past_the_end_is_an_empty_page_with_counts() -> None:
    page = pick([make_row(1), make_row(2)], offset="5")
    assert page == {"total": 2, "matched": 2, "offset": 5, "limit": 100, "clients": []}


def test_no_rows_at_all_is_an_empty_page() -> None:
    assert pick([]) == {"total": 0, "matched": 0, "offset": 0, "limit": 100, "clients": []}


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


def test_q_does_not_look_into_other_fields() -> None:
    assert pick([make_row(1, state="paused")], q="paused")["matched"] == 0


def test_q_does_not_reach_across_two_fields() -> None:
    assert pick([make_row(1, nick="ab", room="cd")], q="bc")["matched"] == 0


def test_no_run_is_longer_than_one_call_may_take() -> None:
    runs = into_runs([make_row(number) for number in range(RUN_ROWS * 2 + 1)])
    assert [len(run) for run in runs] == [RUN_ROWS, RUN_ROWS, 1]


def test_every_field_of_a_row_is_in_the_json() -> None:
    row = make_row(5, nick='"<é>\u2028', lag_bytes=12, tag="t")
    assert pick([row])["clients"] == [{name: getattr(row, name) for name in SORT_FIELDS}]


@pytest.mark.parametrize(
    "limit", ["0", "-1", "1001", "", "ten", "1.5", " 5", "+5", "٣", "²", "9" * 5000, "0x10"]
)
def test_a_bad_limit_is_named_with_what_is_allowed(limit: str) -> None:
    with pytest.raises(BadValue, match=r"^limit=.* allowed is a whole number from 1 to 1000$"):
        read_window({"limit": limit})


@pytest.mark.parametrize("limit", ["1", "1000", "007"])
def test_the_limits_of_limit_are_allowed_themselves(limit: str) -> None:
    assert 1 <= read_window({"limit": limit}).limit <= LIMIT_MAX


@pytest.mark.parametrize("offset", ["-1", "x", "", "1" * 16])
def test_a_bad_offset_is_refused(offset: str) -> None:
    with pytest.raises(BadValue, match=r"^offset="):
        read_window({"offset": offset})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sort": "fd"}, r"^sort='fd': allowed is one of id, peer, .*outbox_bytes"),
        ({"sort": "__class__"}, r"^sort='__class__'"),
        ({"sort": ""}, r"^sort=''"),
        ({"order": "up"}, r"^order='up': allowed is asc or desc$"),
        ({"order": "ASC"}, r"^order='ASC'"),
    ],
)
def test_a_bad_sort_or_order_is_named_with_what_is_allowed(parameters: dict[str, str], message: str) -> None:
    with pytest.raises(BadValue, match=message):
        read_clients_query(parameters)


def test_an_unknown_parameter_is_refused_and_known_ones_named() -> None:
    with pytest.raises(BadValue, match=r"^limits='5': .*sort, order, q, limit, offset$"):
        read_parameters(MultiDict(limits="5"), CLIENTS_PARAMETERS)


def test_where_nothing_is_known_the_message_says_none() -> None:
    with pytest.raises(BadValue, match=r"known are: none$"):
        read_parameters(MultiDict(x="1"), ())


def test_a_parameter_given_twice_is_refused() -> None:
    with pytest.raises(BadValue, match=r"^limit='2'"):
        read_parameters(MultiDict([("limit", "1"), ("limit", "2")]), CLIENTS_PARAMETERS)


def test_a_long_bad_value_is_not_repeated_whole() -> None:
    with pytest.raises(BadValue) as caught:
        read_clients_query({"sort": "x" * 100_000})
    assert len(str(caught.value)) < 500


# Views.


def test_a_view_is_the_same_query_as_that_of_the_address() -> None:
    view = read_view('{"sort":"lag_bytes","order":"desc","q":"x","offset":7,"limit":3,"paused":true}')
    assert view.paused
    assert view.query == read_clients_query(
        {"sort": "lag_bytes", "order": "desc", "q": "x", "offset": "7", "limit": "3"}
    )


def test_what_a_view_leaves_out_has_its_default() -> None:
    view = read_view("{}")
    assert (view.sort, view.order, view.q, view.offset, view.limit, view.paused) == (
        "id", "asc", "", 0, 50, False
    )  # fmt: skip


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
    with pytest.raises((BadValue, msgspec.DecodeError)):
        read_view(text)


@pytest.mark.parametrize(
    "text", ['{"limit":1}', '{"limit":500}', '{"offset":999999999999999}', '{"q":"\\u0000"}']
)
def test_the_limits_of_a_view_are_allowed_themselves(text: str) -> None:
    read_view(text)
