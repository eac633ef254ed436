"""The variables that Kubernetes gives each container for each service of its namespace.

A service named hubbub gives HUBBUB_SERVICE_HOST=10.96.7.12, HUBBUB_SERVICE_PORT=9000,
HUBBUB_PORT=tcp://10.96.7.12:9000, HUBBUB_PORT_9000_TCP_ADDR=10.96.7.12 and more, a service named hubbub-ws
the same with HUBBUB_WS (kubernetes.io, "Accessing the Service"). No user wrote them, so they are no
settings. A variable is one only if both its name and its value have the shape, as no setting and value have.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

_NAMED = 3
"""Each has at most 92 characters: the name of a service has 63, that of its port 15 (RFC 1035, 6335)."""
_PORT = r"(?P<port>\d{1,5})"
_URL: Final = rf"(?:tcp|udp|sctp)://(?P<host>[\d.]+|\[[\da-f]*:[\da-f:.]+\]):{_PORT}"
_HOST: Final = r"(?P<host>[\d.]+|[\da-f:.]+)"
_SHAPES: Final = tuple(
    (re.compile(rf"HUBBUB_(?:[A-Z\d_]+_)?{name}", re.ASCII), re.compile(value, re.ASCII))
    for name, value in (
        (r"PORT(?:_\d+_(?:TCP|UDP|SCTP))?", _URL),
        (r"PORT_\d+_(?:TCP|UDP|SCTP)_PROTO", "tcp|udp|sctp"),
        (r"PORT_\d+_(?:TCP|UDP|SCTP)_PORT", _PORT),
        (r"PORT_\d+_(?:TCP|UDP|SCTP)_ADDR", _HOST),
        (r"SERVICE_PORT(?:_[A-Z\d_]+)?", _PORT),
        (r"SERVICE_HOST", _HOST),
    )
)


def service_links(environment: Mapping[str, str]) -> list[str]:
    """The names of those in an environment, sorted."""
    return sorted(name for name, value in environment.items() if is_service_link(name, value))


def in_short(names: Sequence[str]) -> str:
    """The first few of these names and how many more there are: as much as one line holds."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return " ".join(names[:_NAMED]) + more


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes would have written this variable."""
    return any(
        shape.fullmatch(name) and (found := values.fullmatch(value)) and _is_there(found.groupdict())
        for shape, values in _SHAPES
    )


def _is_there(parts: Mapping[str, str]) -> bool:
    """Whether an address is one, and a port is from 1 to 65535."""
    with suppress(ValueError):
        ip_address(parts.get("host", "::").strip("[]"))
        return 0 < int(parts.get("port", "1")) <= 65535
    return False
