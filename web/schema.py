"""The schema of the page's JSON, and how it is encoded without making the hub stand still.

Both threads share the GIL. Python code releases it between two bytecodes, every 0.1 ms when another thread
waits; one call into C that works through ten thousand rows never does, and for that long no line is
echoed. Measured here for 10,000 rows (14 fields, CPython 3.11), each as a single C call: list.sort
4 to 7 ms, msgspec encoding 6 to 11 ms, freeing the list 1.5 to 2.4 ms. `await asyncio.sleep(0)` does
not help: it only goes round the page's own loop. So the rule of this module is that no C call gets more
than RUN_ROWS rows:
- rows are kept in runs; each run is sorted by itself (0.1 to 0.3 ms) and heapq.merge, which is Python,
  puts the runs together, no further than the page that is asked for;
- the filter is a plain Python loop;
- only the page's rows are encoded, one at a time (about 1 us each), and pasted together as raw JSON.
"""

import heapq
from collections.abc import Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Annotated, Any

import msgspec
from aiohttp import web
from multidict import MultiMapping

from hub.control.snapshots import ClientRow, Record

RUN_ROWS = 500
LIMIT_MAX = 1000
LIMIT_DEFAULT = 100
VIEW_LIMIT_MAX = 500
NUMBER_DIGITS_MAX = 15
SORT_FIELDS = ClientRow.__struct_fields__

Run = list[ClientRow]


class BadValue(ValueError):
    """A part of the request says what is not allowed; the text says what is. HTTP: 400."""

    def __init__(self, name: str, value: str, allowed: str) -> None:
        super().__init__(f"{name}={value[:100]!r}: allowed is {allowed}")


class View(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which clients are asked for, and in which order: an open page's only kind of message.

    What a message leaves out has the default. An empty `q` fits all. Raises BadValue where `sort` is no
    field of a row, or `order` neither asc nor desc.
    """

    sort: str = "id"
    order: str = "asc"
    q: str = ""
    offset: Annotated[int, msgspec.Meta(ge=0, lt=10**NUMBER_DIGITS_MAX)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=VIEW_LIMIT_MAX)] = 50
    paused: bool = False

    def __post_init__(self) -> None:
        if self.sort not in SORT_FIELDS:
            raise BadValue("sort", self.sort, f"one of {', '.join(SORT_FIELDS)}")
        if self.order not in ("asc", "desc"):
            raise BadValue("order", self.order, "asc or desc")


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Encode a record or a dict as a JSON answer."""
    return web.Response(
        body=msgspec.json.encode(body), status=status, headers=headers, content_type="application/json"
    )


def problem(status: int, error: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer that is not a success, and why."""
    return json_response({"error": error}, status, headers)


def read_parameters(query: MultiMapping[str], *allowed: str) -> dict[str, str]:
    """The query as a dict; raises BadValue for an unknown name and for one that is given twice."""
    parameters: dict[str, str] = {}
    for name, value in query.items():
        if name not in allowed:
            raise BadValue(name[:100], value, f"no such parameter; known are: {', '.join(allowed) or 'none'}")
        if name in parameters:
            raise BadValue(name, value, "one value, this is the second")
        parameters[name] = value
    return parameters


def read_window(query: MultiMapping[str]) -> tuple[int, int]:
    """The `offset` and the `limit` of a list; raises BadValue."""
    return window_of(read_parameters(query, "limit", "offset"))


def window_of(parameters: Mapping[str, str]) -> tuple[int, int]:
    """The `offset` and the `limit` among these parameters; raises BadValue."""
    return (
        read_number("offset", parameters.get("offset", "0"), 0, 10**NUMBER_DIGITS_MAX - 1),
        read_number("limit", parameters.get("limit", str(LIMIT_DEFAULT)), 1, LIMIT_MAX),
    )


def read_view(text: str) -> View:
    """A page's message, checked; raises msgspec.MsgspecError, whose text says what is allowed."""
    return msgspec.json.decode(text, type=View)


def read_clients_query(query: MultiMapping[str]) -> View:
    """All that /api/clients takes, checked; raises BadValue.

    The bounds of View's fields are for messages, where msgspec reads them; this list may be longer.
    """
    fields: dict[str, Any] = read_parameters(query, "sort", "order", "q", "limit", "offset")
    fields["offset"], fields["limit"] = window_of(fields)
    return View(**fields)


def read_id(text: str) -> int:
    """The id of a client; raises BadValue."""
    return read_number("id", text, 0, 10**NUMBER_DIGITS_MAX - 1)


def read_number(name: str, text: str, least: int, most: int) -> int:
    """A whole number in plain digits, from `least` to `most`; raises BadValue."""
    # The length comes first: int() of a long text is slow, and of a very long one an error of its own.
    if len(text) <= NUMBER_DIGITS_MAX and text.isascii() and text.isdigit() and least <= int(text) <= most:
        return int(text)
    raise BadValue(name, text, f"a whole number from {least} to {most}")


def into_runs(rows: Sequence[ClientRow]) -> list[Run]:
    """The same rows in the same order, in runs of at most RUN_ROWS."""
    return [list(rows[start : start + RUN_ROWS]) for start in range(0, len(rows), RUN_ROWS)]


def clients_page(runs: Sequence[Run], view: View) -> dict[str, Any]:
    """Some of the `matched` clients that fit, of `total` open ones.

    Equal rows stay in the hub's order, whichever way the sort goes.
    """
    needle = view.q.casefold()
    fitting = [[row for row in run if fits(row, needle)] for run in runs] if needle else runs
    matched = sum(map(len, fitting))
    return {
        "total": sum(map(len, runs)),
        "matched": matched,
        "offset": view.offset,
        "limit": view.limit,
        "clients": encode_each(pick(fitting, view) if view.offset < matched else []),
    }


def pick(runs: Sequence[Run], view: View) -> list[ClientRow]:
    """The rows in the view's window, in order."""
    field, descending = attrgetter(view.sort), view.order == "desc"
    ordered = [sorted(run, key=field, reverse=descending) for run in runs]
    merged = heapq.merge(*ordered, key=field, reverse=descending)
    return list(islice(merged, view.offset, view.offset + view.limit))


def fits(row: ClientRow, needle: str) -> bool:
    """Whether peer, nick, room, id or transport contains `needle`, which is case-folded."""
    # A single text of all fields takes a third of the time; no field has a line end, so none fits across two.
    return needle in f"{row.peer}\n{row.nick}\n{row.room}\n{row.id}\n{row.transport}".casefold()


def encode_each(rows: Sequence[Record]) -> list[msgspec.Raw]:
    """Every row as JSON by itself; the page that takes them only copies."""
    return [msgspec.Raw(msgspec.json.encode(row)) for row in rows]
