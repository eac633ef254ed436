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
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from multidict import MultiMapping

from hub.control.snapshots import ClientRow, ClosedClient, Record, RoomRow

RUN_ROWS = 500
LIMIT_MAX = 1000
LIMIT_DEFAULT = 100
VIEW_LIMIT_MAX = 500
NUMBER_DIGITS_MAX = 15

WINDOW_PARAMETERS = ("limit", "offset")
CLIENTS_PARAMETERS = ("sort", "order", "q", *WINDOW_PARAMETERS)
SORT_FIELDS = ClientRow.__struct_fields__

Run = list[ClientRow]


class BadValue(ValueError):
    """A part of the request says what is not allowed; the text says what is. HTTP: 400."""

    def __init__(self, name: str, value: str, allowed: str) -> None:
        super().__init__(f"{name}={value[:100]!r}: allowed is {allowed}")


class Problem(Record, frozen=True):
    """The body of every answer that is not a success."""

    error: str


class ClientsPage(Record, frozen=True):
    """`total` clients are open, `matched` of them fit the filter, and these are some of those."""

    total: int
    matched: int
    offset: int
    limit: int
    clients: list[msgspec.Raw]


class ClosedPage(Record, frozen=True):
    """Some of the `kept` entries of the close log, newest first."""

    kept: int
    closed: list[msgspec.Raw]


class RoomsPage(Record, frozen=True):
    """Some of the `total` rooms, largest first."""

    total: int
    rooms: list[msgspec.Raw]


class Health(Record, frozen=True):
    """Whether the hub's loop turns: how many turns it had made when it published, and how long ago."""

    alive: bool
    turns: int
    age_s: float


class Readiness(Record, frozen=True):
    """Whether new clients are welcome: the loop turns and is not draining."""

    ready: bool
    alive: bool
    draining: bool


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is asked for."""

    offset: int
    limit: int


@dataclass(frozen=True, slots=True)
class ClientsQuery:
    """Which clients are asked for, and in which order. An empty `q` fits all."""

    sort: str
    descending: bool
    q: str
    window: Window


class View(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an open page asks to see: its only kind of message. What it leaves out has the default."""

    sort: str = "id"
    order: Literal["asc", "desc"] = "asc"
    q: str = ""
    offset: Annotated[int, msgspec.Meta(ge=0, lt=10**NUMBER_DIGITS_MAX)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=VIEW_LIMIT_MAX)] = 50
    paused: bool = False

    @property
    def query(self) -> ClientsQuery:
        """The clients in it."""
        return ClientsQuery(self.sort, self.order == "desc", self.q, Window(self.offset, self.limit))


def json_response(body: Record, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Encode a record as a JSON answer."""
    return web.Response(
        body=msgspec.json.encode(body), status=status, headers=headers, content_type="application/json"
    )


def problem(status: int, error: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer that is not a success, and why."""
    return json_response(Problem(error=error), status, headers)


def read_parameters(query: MultiMapping[str], allowed: Collection[str]) -> dict[str, str]:
    """The query as a dict; raises BadValue for an unknown name and for one that is given twice."""
    parameters: dict[str, str] = {}
    for name, value in query.items():
        if name not in allowed:
            raise BadValue(name[:100], value, f"no such parameter; known are: {', '.join(allowed) or 'none'}")
        if name in parameters:
            raise BadValue(name, value, "one value, this is the second")
        parameters[name] = value
    return parameters


def read_window(parameters: Mapping[str, str]) -> Window:
    """`limit` and `offset`, checked; raises BadValue."""
    return Window(
        offset=read_number("offset", parameters.get("offset", "0"), 0, 10**NUMBER_DIGITS_MAX - 1),
        limit=read_number("limit", parameters.get("limit", str(LIMIT_DEFAULT)), 1, LIMIT_MAX),
    )


def read_view(text: str) -> View:
    """A page's message, checked; raises BadValue or msgspec.DecodeError, whose text says what is allowed."""
    view = msgspec.json.decode(text, type=View)
    check_sort(view.sort)
    return view


def check_sort(sort: str) -> None:
    """Raises BadValue where this is no field of a row."""
    if sort not in SORT_FIELDS:
        raise BadValue("sort", sort, f"one of {', '.join(SORT_FIELDS)}")


def read_clients_query(parameters: Mapping[str, str]) -> ClientsQuery:
    """All that /api/clients takes, checked; raises BadValue."""
    sort = parameters.get("sort", "id")
    check_sort(sort)
    order = parameters.get("order", "asc")
    if order not in ("asc", "desc"):
        raise BadValue("order", order, "asc or desc")
    return ClientsQuery(sort, order == "desc", parameters.get("q", ""), read_window(parameters))


def read_number(name: str, text: str, least: int, most: int) -> int:
    """A whole number in plain digits, from `least` to `most`; raises BadValue."""
    # The length comes first: int() of a long text is slow, and of a very long one an error of its own.
    if len(text) <= NUMBER_DIGITS_MAX and text.isascii() and text.isdigit() and least <= int(text) <= most:
        return int(text)
    raise BadValue(name, text, f"a whole number from {least} to {most}")


def into_runs(rows: Sequence[ClientRow]) -> list[Run]:
    """The same rows in the same order, in runs of at most RUN_ROWS."""
    return [list(rows[start : start + RUN_ROWS]) for start in range(0, len(rows), RUN_ROWS)]


def clients_page(runs: Sequence[Run], query: ClientsQuery) -> ClientsPage:
    """The page that is asked for. Equal rows stay in the hub's order, whichever way the sort goes."""
    fitting = keep_fitting(runs, query.q) if query.q else runs
    matched, window = count(fitting), query.window
    rows = pick(fitting, query) if window.offset < matched else []
    return ClientsPage(
        total=count(runs),
        matched=matched,
        offset=window.offset,
        limit=window.limit,
        clients=encode_each(rows),
    )


def pick(runs: Sequence[Run], query: ClientsQuery) -> list[ClientRow]:
    """The rows in the window, in order."""
    field = attrgetter(query.sort)
    ordered = heapq.merge(
        *[sorted(run, key=field, reverse=query.descending) for run in runs],
        key=field,
        reverse=query.descending,
    )
    window = query.window
    return list(islice(ordered, window.offset, window.offset + window.limit))


def keep_fitting(runs: Sequence[Run], q: str) -> list[Run]:
    """The rows that contain `q`, in any case of letters."""
    needle = q.casefold()
    return [[row for row in run if fits(row, needle)] for run in runs]


def fits(row: ClientRow, needle: str) -> bool:
    """Whether peer, nick, room, id or transport contains `needle`, which is case-folded."""
    # A single text of all fields takes a third of the time; no field has a line end, so none fits across two.
    return needle in f"{row.peer}\n{row.nick}\n{row.room}\n{row.id}\n{row.transport}".casefold()


def count(runs: Sequence[Run]) -> int:
    """How many rows the runs hold."""
    return sum(len(run) for run in runs)


def encode_each(rows: Sequence[ClientRow | ClosedClient | RoomRow]) -> list[msgspec.Raw]:
    """Every row as JSON by itself; the page that takes them only copies."""
    return [msgspec.Raw(msgspec.json.encode(row)) for row in rows]
