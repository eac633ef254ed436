"""`hubbub health`: asks a running hub, through its page, whether the loop turns.

The page has a thread of its own, so it answers while the loop hangs, and says so: /livez is 503 then. A hub
that drains is alive and ends by itself, so it counts as well; who wants to know whether new clients are
welcome asks with `ready`.

A single limit holds for the whole question: looking the name up, connecting, an answer that comes in drops.
No timeout of a socket covers all that, so the question is asked on a daemon thread, and whoever waits for
that thread gives up. Nothing here knows the page's code: on that port may be anything, and it is read as
such.
"""

import json
import threading
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from cyclopts import CycloptsError

from hub.config.allowed_hosts import in_url, reachable
from hub.config.settings import Settings
from hub.config.values import HOST, Kind

WELL, UNWELL = 0, 1
"""Exit codes; 2 is wrong usage, as everywhere."""
LIMIT_S: Final = 3.0

_ANSWER_BYTES: Final = 4096


class _Unwell(Exception):
    """Why the hub is not well."""


class Page(NamedTuple):
    """Where a hub's page is: the host as it is connected to, so without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{in_url(self.host)}:{self.port}"


class Verdict(NamedTuple):
    """What came out of a question, in one line."""

    code: int
    text: str


def page_of(settings: Settings) -> Page:
    """Where a hub with these settings has its page. Raises CycloptsError where none is known."""
    if not settings.web:
        raise CycloptsError("--no-web: a hub without a page answers nobody, so there is nothing to ask")
    if not settings.web_port:
        raise CycloptsError("--web-port: 0 was any free port: give the one that serve named, or --url")
    return Page(reachable(settings.web_host), settings.web_port)


def split_url(url: str) -> Page:
    """The page that a URL names. Raises ValueError where there is more in it than http, host and port."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", 80 if parts.port is None else parts.port
    HOST.read(host)
    if url.removesuffix("/").lower() not in (f"http://{in_url(host)}:{port}", f"http://{in_url(host)}"):
        raise ValueError(url)
    return Page(host, port)


URL = Kind("URL", "an address such as http://127.0.0.1:8080/", split_url, lambda page: str(page or "none"))


def ask(page: Page, *, ready: bool = False, limit_s: float = LIMIT_S) -> Verdict:
    """Ask a hub how it is; with `ready`, whether it takes new clients. Never raises, never takes longer."""
    verdicts: list[Verdict] = []  # The last counts, also where the limit comes before the answer.

    def unwell(why: object) -> None:
        verdicts.append(Verdict(UNWELL, f"not well: {page}: {why}"))

    def converse() -> None:
        try:
            with closing(HTTPConnection(page.host, page.port)) as connection:
                connection.connect()
                unwell(f"it listens and does not answer within {limit_s:g} s")
                verdicts.append(Verdict(WELL, f"well: {page}: {_hear(connection, ready)}"))
        except _Unwell as why:
            unwell(why)
        except ConnectionRefusedError:
            unwell("nobody listens there")
        except OSError as error:  # RemoteDisconnected is one, with a text of its own.
            unwell((error.strerror or str(error)).lower())
        except HTTPException:
            unwell("wrong answer: not HTTP")

    unwell(f"no connection within {limit_s:g} s")
    asker = threading.Thread(target=converse, name="health", daemon=True)
    asker.start()
    asker.join(limit_s)
    return verdicts[-1]


def _hear(connection: HTTPConnection, ready: bool) -> str:
    """What a hub that is well says of itself. Raises _Unwell for anything else."""
    match _get(connection, "/livez"):
        case {"alive": True, "turns": int(turns), "age_s": float(age_s)}:
            well = f"{turns} turns, heard of {age_s:.1f} s ago"
        case {
            "alive": True,
            "age_s": float(age_s),
        }:  # A page tells no more under a name that it does not know.
            well = f"heard of {age_s:.1f} s ago"
        case {"alive": False, "age_s": float(age_s)}:
            raise _Unwell(f"the loop hangs, it was heard of {age_s:.1f} s ago")
        case {"alive": False, "age_s": None}:
            raise _Unwell("the loop has not been heard of yet")
        case _:
            raise _Unwell("wrong answer: not from a hub")
    match _get(connection, "/readyz"):
        case {"ready": True, "degraded": True, "reason": str(reason)}:  # No restart helps.
            return f"{well}, degraded: {reason}"
        case {"ready": True}:
            return well
        case {"draining": True} if ready:
            raise _Unwell("draining, it takes no new clients")
        case {"draining": True}:
            return f"{well}, draining"
        case {"ready": False}:  # Unlike a moment ago.
            raise _Unwell("the loop hangs")
    raise _Unwell("wrong answer: not from a hub")


def _get(connection: HTTPConnection, path: str) -> object:
    """What a JSON address says, well or not. Raises _Unwell for an answer that a hub does not give."""
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read(_ANSWER_BYTES + 1)
    try:
        said: object = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    match said:
        case {"error": str(error)}:  # What a page of ours says where it refuses: 421 for a wrong name.
            raise _Unwell(f"wrong answer: {answer.status}: {error}")
    if answer.status not in (200, 503) or said is None:
        raise _Unwell(f"wrong answer: {answer.status} {answer.reason}")
    return said
