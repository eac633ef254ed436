"""Everything a user may set, written once: default, unit, what is allowed and the consequence.

`Settings` is the record that the hub reads; it checks nothing, so that a test may build a hub that no
user should run. What a user types (a flag, a variable, a line of hubbub.toml) is text and comes in
through the `Kind` beside its field, which is strict. The flag names the key everywhere:
`--idle-timeout`, HUBBUB_IDLE_TIMEOUT, `idle-timeout`.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Literal, TypeVar, get_args

from cyclopts import CoercionError, Group, Parameter, Token

Mode = Literal["chat", "broadcast", "echo"]
Trigger = Literal["level", "edge"]
Read = Literal["drain", "once"]
IdleStrategy = Literal["deadline", "sweep", "poll"]
IdleCounts = Literal["rx+tx", "rx"]
Slow = Literal["disconnect"]
Eol = Literal["auto", "lf", "crlf"]
Log = Literal["text", "json"]

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30
_HOUR_S, _YEAR_S = 3600, 8760 * 3600
_MILLION = 10**6
_TIME_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": _KIB, "mib": _MIB, "gib": _GIB}
_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{0,9})?|\.\d{1,9}) ?([a-z]*)", re.ASCII | re.IGNORECASE)
_N = TypeVar("_N", int, float)
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.ASCII | re.IGNORECASE)
_YES, _NO = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
_CONTROL_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value: how its text is read, what is allowed, and how the default is shown.

    `read` raises ValueError for text that is not allowed. A kind of `many` takes a repeatable flag.
    """

    metavar: str
    allowed: str
    read: Callable[[str], object]
    show: Callable[[Any], str] = str
    many: bool = False

    def __call__(self, hint: object, tokens: Sequence[Token]) -> object:
        """The value of these tokens: cyclopts' converter. Raises CoercionError for the first wrong one."""
        values = tuple(self._value(token) for token in tokens)
        return values if self.many else values[-1]

    def texts(self, value: object) -> list[str]:
        """A variable or a TOML value as the texts that flags would have: `many` in a list, or between commas.

        Raises ValueError for a type that no flag has.
        """
        if isinstance(value, bool):
            return ["true" if value else "false"]
        if self.many and isinstance(value, str):
            return value.replace(",", " ").split()
        if isinstance(value, str | int | float):
            return [str(value)]
        if self.many and isinstance(value, list) and all(isinstance(one, str) for one in value):
            return value
        raise ValueError(value)

    def _value(self, token: Token) -> object:
        try:
            return self.read(token.value)
        except ValueError:
            raise CoercionError(msg=self.allowed, token=token) from None


def amount(text: str, units: Mapping[str, float]) -> float:
    """`text` as a number times its unit. Raises ValueError for anything else, and for an unknown unit."""
    match = _AMOUNT.fullmatch(text)
    if not match or match[2].lower() not in units:
        raise ValueError(text)
    return float(match[1]) * units[match[2].lower()]


def show_time(value_s: float) -> str:
    """Seconds in the largest unit that leaves no rest: 300 is 5m, 0.25 is 250ms."""
    for unit in ("h", "m", "s"):
        if value_s and value_s % _TIME_UNITS[unit] == 0:
            return f"{value_s / _TIME_UNITS[unit]:.0f}{unit}"
    return f"{value_s * 1000:.0f}ms" if value_s else "0"


def show_size(value_bytes: int) -> str:
    """Bytes in the largest binary unit that leaves no rest: 8192 is 8KiB."""
    for name, unit in (("GiB", _GIB), ("MiB", _MIB), ("KiB", _KIB)):
        if value_bytes and value_bytes % unit == 0:
            return f"{value_bytes // unit}{name}"
    return f"{value_bytes}"


def number(low: int, high: int, off: bool = False) -> Kind:
    """A whole number in a range; with `off`, 0 as well."""

    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
            raise ValueError(text)
        return _within(int(text), low, high, off)

    return Kind("N", f"a number from {low} to {high}{_or_off(off)}", read)


def duration(low_s: float, high_s: float, off: bool = False) -> Kind:
    """A duration in seconds, bare or with a unit; with `off`, 0 as well."""

    def read(text: str) -> float:
        return _within(amount(text, _TIME_UNITS), low_s, high_s, off)

    extent = f"from {show_time(low_s)} to {show_time(high_s)}{_or_off(off)}"
    return Kind("TIME", f"a time such as 0.5, 500ms, 30s, 5m or 2h, {extent}", read, show_time)


def size(low_bytes: int, high_bytes: int, off: bool = False) -> Kind:
    """A number of whole bytes, bare or with a unit: KiB is 1024, KB is 1000; with `off`, 0 as well."""

    def read(text: str) -> int:
        value = amount(text, _SIZE_UNITS)
        if not value.is_integer():
            raise ValueError(text)
        return _within(int(value), low_bytes, high_bytes, off)

    extent = f"from {show_size(low_bytes)} to {show_size(high_bytes)}{_or_off(off)}"
    return Kind("SIZE", f"a size such as 8192, 64KiB or 1MiB, {extent}", read, show_size)


def choice(literal: object) -> Kind:
    """One of the few words of a Literal type, exactly as written."""
    names: tuple[str, ...] = get_args(literal)

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(text)
        return text

    return Kind("|".join(names), f"one of {', '.join(names)}", read)


def _within(value: _N, low: float, high: float, off: bool) -> _N:
    if not (low <= value <= high or (off and value == 0)):
        raise ValueError(value)
    return value


def _or_off(off: bool) -> str:
    return ", or 0 for none" if off else ""


def _read_flag(text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise ValueError(text)
    return text.lower() in _YES


def _read_host(text: str) -> str:
    if not _NAME.fullmatch(text):
        ip_address(text)
    return text


def _read_text(text: str) -> str:
    if len(text) > 400 or any(unicodedata.category(c) in _CONTROL_CATEGORIES for c in text):
        raise ValueError(text)
    return text


def _show_many(values: Sequence[str]) -> str:
    return " ".join(values) or "none"


FLAG = Kind("", "true or false", _read_flag, lambda value: "on" if value else "off")
PORT = number(0, 65535)
HOST = Kind("HOST", "a host name or an IP address", _read_host)
HOSTS = replace(HOST, show=_show_many, many=True)
NETWORKS = Kind(
    "CIDR",
    "an IP network such as 10.0.0.0/8 or fd00::/8",
    lambda text: str(ip_network(text, strict=False)),
    _show_many,
    many=True,
)
TEXT = Kind("TEXT", "one line of at most 400 characters", _read_text, lambda text: text or "none")
FILE = replace(TEXT, metavar="FILE")
COUNT = number(1, _MILLION, off=True)
TIMEOUT = duration(0.01, _YEAR_S, off=True)
DESCRIPTOR_RESERVE = 64


def _flags(title: str, place: int) -> Callable[[str, Kind], Parameter]:
    """What declares the flags of one group of the help page."""
    group = Group(title, sort_key=place)

    def flag(name: str, kind: Kind) -> Parameter:
        return Parameter(
            name=name,
            converter=kind,
            group=group,
            metavar=kind.metavar,
            negative=None if kind is FLAG else (),
            show_default=kind.show,
            show_choices=False,
        )

    return flag


_lines = _flags("Lines", 1)
_page = _flags("Page", 2)
_loop = _flags("Loop", 3)
_idle = _flags("Idle clients", 4)
_limit = _flags("Limits", 5)
_chat = _flags("Chat", 6)
running = _flags("Running", 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one hub runs with. The text below a field is its help: what follows from the value."""

    host: Annotated[str, _lines("--host", HOST)] = "localhost"
    """Where lines are heard. localhost is 127.0.0.1, and ::1 where there is one."""
    port: Annotated[int, _lines("--port", PORT)] = 9000
    """Port of the lines. 0 picks a free one."""
    mode: Annotated[Mode, _lines("--mode", choice(Mode))] = "chat"
    """chat: rooms and commands, text cleaned. broadcast: lines to all, verbatim. echo: to the sender only."""
    eol: Annotated[Eol, _lines("--eol", choice(Eol))] = "auto"
    """Line end that clients get. auto: LF until a client sends CRLF itself."""
    telnet: Annotated[bool, _lines("--telnet", FLAG)] = True
    """Take telnet commands out of the lines. Without it the port is 8-bit clean."""
    notices: Annotated[bool, _lines("--notices", FLAG)] = True
    """The hub's own lines, which begin with "* "."""
    web: Annotated[bool, _page("--web", FLAG)] = True
    """Serve the page and its JSON."""
    web_host: Annotated[str, _page("--web-host", HOST)] = "127.0.0.1"
    """Where the page is served."""
    web_port: Annotated[int, _page("--web-port", PORT)] = 8080
    """Port of the page. 0 picks a free one."""
    allowed_hosts: Annotated[tuple[str, ...], _page("--allowed-host", HOSTS)] = ()
    """A name that browsers may use for the page, besides loopback. May be repeated."""
    trigger: Annotated[Trigger, _loop("--trigger", choice(Trigger))] = "level"
    """level: epoll reports a client while bytes wait. edge: only when more arrive."""
    read: Annotated[Read, _loop("--read", choice(Read))] = "drain"
    """drain: read until empty. once: one read for each event; not with --trigger edge."""
    idle_timeout_s: Annotated[float, _idle("--idle-timeout", TIMEOUT)] = 300.0
    """Close a client that did nothing for so long. 0: never."""
    idle_strategy: Annotated[IdleStrategy, _idle("--idle-strategy", choice(IdleStrategy))] = "deadline"
    """deadline: exact. sweep: a look through all now and then. poll: one busy client keeps all alive."""
    sweep_interval_s: Annotated[float, _idle("--sweep-interval", duration(0.01, _HOUR_S))] = 5.0
    """Time between two sweeps, and so the most by which sweep is late."""
    idle_warning_s: Annotated[float, _idle("--idle-warning", TIMEOUT)] = 30.0
    """Warn a client so long before it is closed, where the timeout is longer. 0: no warning."""
    idle_counts: Annotated[IdleCounts, _idle("--idle-counts", choice(IdleCounts))] = "rx+tx"
    """What counts as activity. rx: bytes received. rx+tx: lines delivered as well."""
    max_line_bytes: Annotated[int, _limit("--max-line", size(1, _GIB, off=True))] = 8192
    """A longer line ends its client. 0: no limit."""
    max_lag_bytes: Annotated[int, _limit("--max-lag", size(64 * _KIB, _GIB))] = 1 << 20
    """A client that falls further behind its room is cut. Bounds what a room keeps in memory."""
    slow: Annotated[Slow, _limit("--slow", choice(Slow))] = "disconnect"
    """What happens to it then."""
    max_clients: Annotated[int, _limit("--max-clients", COUNT)] = 10_000
    """More are refused with a line. 0: as many as the descriptor limit allows."""
    max_per_ip: Annotated[int, _limit("--max-per-ip", COUNT)] = 64
    """Clients from one address; loopback is exempt. 0: no limit."""
    per_ip_exempt: Annotated[tuple[str, ...], _limit("--per-ip-exempt", NETWORKS)] = ()
    """A network to which --max-per-ip does not apply. May be repeated."""
    max_rooms: Annotated[int, _limit("--max-rooms", COUNT)] = 1000
    """Rooms at a time. 0: no limit."""
    greeting: Annotated[str, _chat("--greeting", TEXT)] = ""
    """A line for everyone who connects."""
    history: Annotated[int, _chat("--history", number(1, 10_000, off=True))] = 20
    """Lines of the past that someone who joins a room gets. 0: none."""
    announce: Annotated[int, _chat("--announce", COUNT)] = 50
    """Rooms of at most so many people tell who joins and leaves. 0: none does."""
    drain_s: Annotated[float, running("--drain", duration(0.01, _HOUR_S, off=True))] = 10.0
    """Time for farewells and unsent lines after SIGTERM or SIGINT. 0: no limit."""
    log: Annotated[Log, running("--log", choice(Log))] = "text"
    """Form of the records on stderr, one a line."""


def affordable(settings: Settings, descriptors: int) -> Settings:
    """Settings whose max_clients leaves descriptors for listeners, the page and files."""
    most = descriptors - min(DESCRIPTOR_RESERVE, descriptors // 2)
    return replace(settings, max_clients=min(settings.max_clients or most, most))


class Conflict(ValueError):
    """Two settings that do not go together: the flag to change, and what is allowed for it."""

    def __init__(self, flag: str, allowed: str) -> None:
        super().__init__(allowed)
        self.flag = flag
        self.allowed = allowed


def refuse_conflicts(hint: object, settings: Settings) -> None:
    """The rules between settings, as a cyclopts validator. Raises Conflict.

    The default warning goes with any timeout (no client is warned then); one that was asked for must fit.
    """
    if settings.trigger == "edge" and settings.read == "once":
        why = "a client that leaves bytes behind is never reported again, it starves"
        raise Conflict("--read", f"drain with --trigger edge: {why}")
    asked = settings.idle_warning_s not in (0, Settings().idle_warning_s)
    if asked and 0 < settings.idle_timeout_s <= settings.idle_warning_s:
        raise Conflict("--idle-warning", f"less than --idle-timeout, {show_time(settings.idle_timeout_s)}")
    if settings.max_line_bytes > settings.max_lag_bytes // 2:
        half = show_size(settings.max_lag_bytes // 2)
        raise Conflict("--max-line", f"at most half of --max-lag, {half}: one line must not cut its hearers")
