"""The names under which a browser may ask for us: what Host and Origin may say.

Both doors that a browser can reach, the page and the WebSocket port, hold to this one list. Names are
compared as whole strings against short lists instead of being parsed: what is not written the way browsers
write it (`localhost:8080`, `[::1]:8080`) is refused. A single dot at the end of a name, as DNS has it, is
the same name to everybody who looks it up (RFC 1034, 3.1), and so it is here.
"""

from collections.abc import Iterable
from typing import Final

ALL_ADDRESSES: Final = "*"
WILDCARD_ADDRESSES: Final = ("", ALL_ADDRESSES, "0.0.0.0", "::")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class Hosts:
    """The names under which one listener may be asked for.

    Loopback and `own`, the address that it was told to listen on, count with the port that the request came
    in on. `allowed` are the user's additions: `name` goes with any port, `name:port` with that one.
    """

    def __init__(self, own: str, allowed: Iterable[str]) -> None:
        additions = [name.lower() for name in allowed]
        names = [] if own in WILDCARD_ADDRESSES else [_undotted(in_url(own).lower())]
        self._own = frozenset(["localhost", "127.0.0.1", "[::1]", *names])
        added = [(_undotted(name), port) for name, port in map(split_port, additions)]
        self._any_port = frozenset(name for name, port in added if not port)
        self._one_port = frozenset(f"{name}:{port}" for name, port in added if port)

    def allow(self, host: str, port: int) -> bool:
        """Whether `host`, the text of a Host header, names us on `port`. No port in it means 80."""
        # Not every letter that lower() turns into an ASCII one was one: the Kelvin sign becomes a k.
        if not host.isascii():
            return False
        name, given = split_port(host.lower())
        name = _undotted(name)
        if name in self._own and (given or "80") == str(port):
            return True
        return name in self._any_port or f"{name}:{given or '80'}" in self._one_port

    def allow_origin(self, origin: str, port: int) -> bool:
        """Whether `origin`, the text of an Origin header, is a page of ours that is served on `port`.

        A browser leaves out the port that its scheme has anyway (RFC 6454, 6.1).
        """
        scheme, _, host = origin.partition("://")
        if scheme not in _DEFAULT_PORTS:
            return False
        name, given = split_port(host)
        return self.allow(f"{name}:{given or _DEFAULT_PORTS[scheme]}", port)


def reachable(host: str) -> str:
    """The address under which this machine gets to its own listener on `host`: loopback where that is all."""
    if host in WILDCARD_ADDRESSES:
        return "::1" if host == "::" else "127.0.0.1"
    return host


def split_port(host: str) -> tuple[str, str]:
    """`name:port` as a pair; the port is empty where the text does not end in a colon and digits."""
    name, _, port = host.rpartition(":")
    return (name, port) if port.isdigit() else (host, "")


def in_url(host: str) -> str:
    """A host as URLs and Host headers have it: IPv6 addresses in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def _undotted(name: str) -> str:
    return name.removesuffix(".")
