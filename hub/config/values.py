"""Kinds of value that a user may type: text in, a checked value out, and how a default is shown.

Strict: what is not plainly allowed raises ValueError, and the kind says what is. hub/config/settings.py has
the fields; a flag, a variable and a line of hubbub.toml come through the same kind.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, get_args

from cyclopts import CoercionError, Token

from hub.config.allowed_hosts import ALL_ADDRESSES, in_url, split_port

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
HOUR_S, YEAR_S = 3600, 8760 * 3600
MILLION = 10**6
_TIME_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": KIB, "mib": MIB, "gib": GIB}
_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{0,9})?|\.\d{1,9}) ?([a-z]*)", re.ASCII | re.IGNORECASE)
_RATE = re.compile(r"(\d{1,9})/([sm])(?::(\d{1,9}))?", re.ASCII)
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.ASCII | re.IGNORECASE)
_WS_URL = re.compile(r"wss?://((?:\[[^]/]+]|[^]/:[]+)(?::\d+)?)(?:/[\w.~!$&'()*+,;=:@%/-]*)?", re.ASCII)
_BROKER = re.compile(r"(?:nats|tls)://((?:\[[^]/@]+]|[^]/:[@]+)(?::\d+)?)/?", re.ASCII)
_TOKEN = re.compile(r"[a-z0-9]{1,16}", re.ASCII)
_YES, _NO = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
_CONTROL_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: how its text is read, what is allowed, and how the default is shown.

    `read` raises ValueError for text that is not allowed. A kind of `many` takes a repeatable flag.
    """

    metavar: str
    allowed: str
    read: Callable[[str], Any]
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
    return _within(Kind("N", "a number", _read_number), low, high, off)


def duration(low: float, high: float, off: bool = False) -> Kind:
    """A duration in seconds, bare or with a unit; with `off`, 0 as well."""
    read = partial(amount, units=_TIME_UNITS)
    return _within(Kind("TIME", "a time such as 0.5, 500ms, 30s, 5m or 2h,", read, show_time), low, high, off)


def size(low: int, high: int, off: bool = False) -> Kind:
    """A number of whole bytes, bare or with a unit: KiB is 1024, KB is 1000; with `off`, 0 as well."""
    return _within(Kind("SIZE", "a size such as 8192, 64KiB or 1MiB,", _read_size, show_size), low, high, off)


def _within(kind: Kind, low: float, high: float, off: bool) -> Kind:
    def read(text: str) -> float:
        value: float = kind.read(text)
        if not (low <= value <= high or (off and value == 0)):
            raise ValueError(text)
        return value

    extent = f"from {kind.show(low)} to {kind.show(high)}{', or 0 for none' if off else ''}"
    return replace(kind, allowed=f"{kind.allowed} {extent}", read=read)


def _read_number(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise ValueError(text)
    return int(text)


def _read_size(text: str) -> int:
    value = amount(text, _SIZE_UNITS)
    if not value.is_integer():
        raise ValueError(text)
    return int(value)


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


def choice(literal: object) -> Kind:
    """Any of the few words of a Literal type, exactly as written."""
    names: tuple[str, ...] = get_args(literal)

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(text)
        return text

    return Kind("|".join(names), f"one of {', '.join(names)}", read)


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


def _read_ws_url(text: str) -> str:
    """A browser refuses a fragment (RFC 6455, 3); a query may hold a secret, which the page would show."""
    match = _WS_URL.fullmatch(text)
    if not match:
        raise ValueError(text)
    _read_name_in_url(match[1])
    return text


def _read_brokers(text: str) -> tuple[str, ...]:
    """Addresses with their ports. A user and a password stand in a file, as others see a command line."""
    found = tuple(text.split(",")) if text else ()
    for address in found:
        match = _BROKER.fullmatch(address)
        if not match:
            raise ValueError(text)
        _read_name_in_url(match[1])
    return found


def _read_token(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise ValueError(text)
    return text


def _read_rate(text: str) -> Rate | str:
    """`N/s:BURST` or `N/m:BURST`, N alone at once where no burst is given; 0; or auto."""
    if text in ("auto", "0"):
        return NO_RATE if text == "0" else text
    match = _RATE.fullmatch(text)
    if not match:
        raise ValueError(text)
    for count in (match[1], match[3] or match[1]):
        number(1, MILLION).read(count)
    return Rate(int(match[1]), match[2], int(match[3] or match[1]))


def _read_text(text: str) -> str:
    """UTF-8 whatever the locale is: Python hands over as surrogates what that could not decode (PEP 383)."""
    text = text.encode(errors="surrogateescape").decode()
    if len(text) > 400 or any(unicodedata.category(c) in _CONTROL_CATEGORIES for c in text):
        raise ValueError(text)
    return text


def _or_itself(word: str, kind: Kind, allowed: str) -> Kind:
    """A kind that takes one text besides, which stands for itself."""
    return replace(kind, allowed=allowed, read=lambda text: text if text == word else kind.read(text))


def _or_word(word: str, kind: Kind, allowed: str) -> Kind:
    """A kind that takes one word besides, which stands for None."""
    return replace(
        kind,
        allowed=allowed,
        read=lambda text: None if text == word else kind.read(text),
        show=lambda value: word if value is None else kind.show(value),
    )


def _show_many(values: Sequence[str]) -> str:
    return " ".join(values) or "(none)"


def _show_text(text: str) -> str:
    return text or "''"


FLAG = Kind("", "true or false", _read_flag, lambda value: "on" if value else "off")
AUTO_FLAG = _or_word("auto", FLAG, "true or false; auto in a variable or a file")
PORT = number(0, 65535)
OPTIONAL_PORT = _or_word("none", PORT, f"{PORT.allowed}, or none")
HOST = Kind("HOST", "a host name or an IP address", _read_host)
LISTEN = _or_itself(ALL_ADDRESSES, HOST, f"{HOST.allowed}, or {ALL_ADDRESSES} for every address")
_WS = "a URL ws:// or wss:// with host, and port and path if need be: wss://hub.example/ws"
WS_URL = _or_itself("", Kind("URL", _WS, _read_ws_url, _show_text), _WS)
_NAMES = f"{HOST.allowed}, with a port or without: chat.example, chat.example:8443, [fd00::1]:8443"
NAMES_IN_URLS = Kind("HOST[:PORT]", _NAMES, _read_name_in_url, _show_many, many=True)
_BROKERS = (
    "nats://host:4222 or tls://host:4222, several with commas between, without a user (--cluster-creds)"
)
BROKERS = Kind("URL[,URL]", _BROKERS, _read_brokers, lambda value: _show_text(",".join(value)))
_TOKENS = "1 to 16 of the letters a to z and the digits"
_NETWORKS = "an IP network such as 10.0.0.0/8 or fd00::/8"
NETWORKS = Kind("CIDR", _NETWORKS, lambda text: str(ip_network(text, strict=False)), _show_many, many=True)
_RATES = "a rate such as 50/s, 30/m or 50/s:200 (and so many at once), each from 1 to 1000000; 0 for none"
RATE = Kind("N/s:BURST", f"{_RATES}; auto for 50/s:200 in chat, none in relay modes", _read_rate)
TEXT = Kind("TEXT", "one line of UTF-8, at most 400 characters", _read_text, _show_text)
FILE = replace(TEXT, metavar="FILE")
TOKEN = _or_itself("", Kind("NAME", _TOKENS, _read_token, _show_text), f"{_TOKENS}; '' for a new one")
COUNT = number(1, MILLION, off=True)
TIMEOUT = duration(0.01, YEAR_S, off=True)
