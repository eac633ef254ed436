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
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import urlsplit

from hub.config.allowed_hosts import in_url, reachable
from hub.config.settings import Settings
from hub.config.values import HOST, Kind

WELL, UNWELL = 0, 1
"""Exit codes; 2 is wrong usage, as everywhere."""
LIMIT_S: Final = 3.0

_ANSWER_BYTES: Final = 4096


class NothingToAsk(ValueError):
    """These settings name no page; the text says which of them, and what to do."""


class _Unwell(Exception):
    """Why the hub is not well."""


@dataclass(frozen=True, slots=True)
class Page:
    """Where a hub's page is: the host as it is connected to, so without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{in_url(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out of a question, in one line."""

    code: int
    text: str


def page_of(settings: Settings, url: str = "") -> Page:
    """Where a hub with these settings has its page, unless a URL says it. Raises NothingToAsk."""
    if url:
        return split_url(url)
    if not settings.web:
        raise NothingToAsk("--no-web: a hub without a page answers nobody, so there is nothing to ask")
    if not settings.web_port:
        raise NothingToAsk("--web-port: 0 was any free port: give the one that serve named, or --url")
    return Page(reachable(settings.web_host), settings.web_port)


def split_url(url: str) -> Page:
    """The page that a URL names. Raises ValueError where there is more in it than http, host and port."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", 80 if parts.port is None else parts.port
    HOST.read(host)
    if url.removesuffix("/").lower() not in (f"http://{in_url(host)}:{port}", f"http://{in_url(host)}"):
        raise ValueError(url)
    return Page(host, port)


def _read_url(url: str) -> str:
    split_url(url)
    return url


URL = Kind("URL", "an address such as http://127.0.0.1:8080/", _read_url, lambda url: url or "none")


def ask(page: Page, *, ready: bool = False, limit_s: float = LIMIT_S) -> Verdict:
    """Ask a hub how it is; with `ready`, whether it takes new clients. Never raises, never takes longer."""
    question = _Question(page, ready)
    asker = threading.Thread(target=question.ask, name="health", daemon=True)
    asker.start()
    asker.join(limit_s)
    late = "it listens and does not answer" if question.connected else "no connection"
    return question.verdict or Verdict(UNWELL, f"not well: {page}: {late} within {limit_s:g} s")


class _Question:
    """A conversation with a page. `verdict` is None until it is over."""

    def __init__(self, page: Page, ready: bool) -> None:
        self.connected = False
        self.verdict: Verdict | None = None
        self._page = page
        self._ready = ready

    def ask(self) -> None:
        try:
            text = self._ask()
        except _Unwell as why:
            self.verdict = Verdict(UNWELL, f"not well: {self._page}: {why}")
        else:
            self.verdict = Verdict(WELL, f"well: {self._page}: {text}")

    def _ask(self) -> str:
        try:
            with closing(HTTPConnection(self._page.host, self._page.port)) as connection:
                connection.connect()
                self.connected = True
                heard = self._judge_life(_get(connection, "/livez"))
                return heard + self._judge_readiness(_get(connection, "/readyz"))
        except ConnectionRefusedError:
            raise _Unwell("nobody listens there") from None
        except OSError as error:  # RemoteDisconnected is one, with a text of its own.
            raise _Unwell((error.strerror or str(error)).lower()) from None
        except HTTPException:
            raise _Unwell("wrong answer: not HTTP") from None

    def _judge_life(self, answer: object) -> str:
        match answer:
            case {"alive": True, "turns": int(turns), "age_s": float(age_s)}:
                return f"{turns} turns, heard of {age_s:.1f} s ago"
            case {"alive": False, "age_s": float(age_s)}:
                raise _Unwell(f"the loop hangs, it was heard of {age_s:.1f} s ago")
            case {"alive": False, "age_s": None}:
                raise _Unwell("the loop has not been heard of yet")
        raise _Unwell("wrong answer: not from a hub")

    def _judge_readiness(self, answer: object) -> str:
        match answer:
            case {"ready": True}:
                return ""
            case {"draining": True} if self._ready:
                raise _Unwell("draining, it takes no new clients")
            case {"draining": True}:
                return ", draining"
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
        case {
            "error": str(error)
        }:  # What a page of ours says where it refuses: 421 for a name it does not have.
            raise _Unwell(f"wrong answer: {answer.status}: {error}")
    if answer.status not in (200, 503) or said is None:
        raise _Unwell(f"wrong answer: {answer.status} {answer.reason}")
    return said
