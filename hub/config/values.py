"""Kinds of value that a user may type: text in, a checked value out, and how a default is shown.

Strict: what is not plainly allowed raises ValueError, and the kind says what is. hub/config/settings.py has
the fields; a flag, a variable and a line of hubbub.toml come through the same kind.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, TypeVar, get_args

from cyclopts import CoercionError, Token

from hub.config.allowed_hosts import in_url, split_port

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
HOUR_S, YEAR_S = 3600, 8760 * 3600
MILLION = 10**6
_TIME_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": KIB, "mib": MIB, "gib": GIB}
_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{0,9})?|\.\d{1,9}) ?([a-z]*)", re.ASCII | re.IGNORECASE)
_RATE = re.compile(r"(\d{1,9})/([sm])(?::(\d{1,9}))?", re.ASCII)
_N = TypeVar("_N", int, float)
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.ASCII | re.IGNORECASE)
_YES, _NO = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
_CONTROL_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: how its text is read, what is allowed, and how the default is shown.

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
    for name, unit in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
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


@dataclass(frozen=True, slots=True)
class Rate:
    """So many of something in a time, on average, and so many at once; a count of 0 is no limit."""

    count: int
    unit: str
    """s or m."""
    burst: int

    @property
    def per_s(self) -> float:
        """The average in a second."""
        return self.count / _TIME_UNITS[self.unit]

    def __str__(self) -> str:
        """As a user types it."""
        return f"{self.count}/{self.unit}:{self.burst}" if self.count else "0"


NO_RATE = Rate(0, "s", 0)


def rate(auto: str) -> Kind:
    """`N/s:BURST` or `N/m:BURST`, N alone at once where no burst is given; 0; or auto, which is `auto`."""

    def read(text: str) -> Rate | str:
        if text in ("auto", "0"):
            return NO_RATE if text == "0" else text
        match = _RATE.fullmatch(text)
        if not match:
            raise ValueError(text)
        count, burst = int(match[1]), int(match[3] or match[1])
        return Rate(_within(count, 1, MILLION, False), match[2], _within(burst, 1, MILLION, False))

    allowed = "a rate such as 50/s, 30/m or 50/s:200 (and so many at once), each from 1 to 1000000"
    return Kind("N/s:BURST", f"{allowed}; 0 for none; auto for {auto}", read)


def choice(literal: object) -> Kind:
    """Any of the few words of a Literal type, exactly as written."""
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


def _read_name_in_url(text: str) -> str:
    """As browsers have it in Host and Origin: IPv6 compressed and in brackets (RFC 3986, 3.2.2)."""
    with suppress(ValueError):
        return in_url(str(ip_address(text)))
    name, port = split_port(text)
    if name.startswith("[") and name.endswith("]"):
        name = in_url(str(IPv6Address(name[1:-1])))
    else:
        _read_host(name)
    return f"{name}:{PORT.read(port)}" if port else name


def _read_text(text: str) -> str:
    if len(text) > 400 or any(unicodedata.category(c) in _CONTROL_CATEGORIES for c in text):
        raise ValueError(text)
    return text


def _show_many(values: Sequence[str]) -> str:
    return " ".join(values) or "none"


FLAG = Kind("", "true or false", _read_flag, lambda value: "on" if value else "off")
AUTO_FLAG = Kind(
    "",
    "true or false; auto in a variable or a file",
    lambda text: None if text == "auto" else _read_flag(text),
    lambda value: "auto" if value is None else FLAG.show(value),
)
PORT = number(0, 65535)
OPTIONAL_PORT = Kind(
    "N",
    f"{PORT.allowed}, or none",
    lambda text: None if text == "none" else PORT.read(text),
    lambda port: "none" if port is None else str(port),
)
HOST = Kind("HOST", "a host name or an IP address", _read_host)
NAMES_IN_URLS = Kind(
    "HOST[:PORT]",
    "a host name or an IP address, with a port or without: chat.example, chat.example:8443, [fd00::1]:8443",
    _read_name_in_url,
    _show_many,
    many=True,
)
NETWORKS = Kind(
    "CIDR",
    "an IP network such as 10.0.0.0/8 or fd00::/8",
    lambda text: str(ip_network(text, strict=False)),
    _show_many,
    many=True,
)
TEXT = Kind("TEXT", "one line of at most 400 characters", _read_text, lambda text: text or "none")
FILE = replace(TEXT, metavar="FILE")
COUNT = number(1, MILLION, off=True)
TIMEOUT = duration(0.01, YEAR_S, off=True)
