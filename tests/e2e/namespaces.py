"""Networks of our own: a hub's namespace, and one for each site of its clients, joined by virtual cables.

    with Network(sites=2) as network:
        with network.hub.inside():
            hub = ThreadHub(host=HUB_HOST)      # its listeners belong to the namespace, its thread need not
        with network.sites[0].inside():
            peer = Peer(hub.port, HUB_HOST)     # so does this socket
        network.sites[0].run("nft", "-f", "-", stdin=DROP_ALL)

The namespaces have no names: they live as long as a descriptor of this process, or a socket in them, is
open. So nothing is left behind, however the process ends, and nobody else can come across them. Only the
thread that calls `inside` goes there, and only for so long; what it starts meanwhile starts there.

Root is needed, and ip, nft, tc and ss. Where something is missing `require_namespaces` skips a test and says
what, or fails it with REQUIRE_PROGRAMS=1. (netem is not used: many kernels have none.)
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import pytest

from tests.e2e.programs import require

HUB_HOST = "10.99.0.1"
"""The hub's address, the same from every site."""
PROGRAMS = ("ip", "nft", "tc", "ss")
_NEW_NETWORK = 0x40000000
"""CLONE_NEWNET, linux/sched.h; os.unshare and os.setns came with Python 3.12."""
_OURS = "/proc/thread-self/ns/net"


class Namespace:
    """One network stack of its own, with its loopback up."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        home = os.open(_OURS, os.O_RDONLY)
        try:
            _check(libc.unshare(_NEW_NETWORK))
            self.fd = os.open(_OURS, os.O_RDONLY)
        finally:
            libc.setns(home, _NEW_NETWORK)
            os.close(home)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def path(self) -> str:
        """Where other programs find it."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is there; sockets and processes that it makes stay there."""
        libc = ctypes.CDLL(None, use_errno=True)
        home = os.open(_OURS, os.O_RDONLY)
        try:
            _check(libc.setns(self.fd, _NEW_NETWORK))
            yield
        finally:
            back = libc.setns(home, _NEW_NETWORK)
            os.close(home)
            _check(back)

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a program there; what it printed. AssertionError with what it complained of."""
        with self.inside():
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def close(self) -> None:
        """Let go of it; it ends with the last socket in it."""
        os.close(self.fd)


class Network:
    """A hub's namespace and some sites, each reaching HUB_HOST over a cable of its own."""

    def __init__(self, sites: int = 1) -> None:
        self.hub = Namespace()
        self.sites: list[Namespace] = []
        try:
            self.hub.run("ip", "address", "add", f"{HUB_HOST}/32", "dev", "lo")
            for number in range(1, sites + 1):
                self.sites.append(Namespace())
                self._lay_cable(number, self.sites[-1])
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for namespace in (self.hub, *self.sites):
            namespace.close()

    def _lay_cable(self, number: int, site: Namespace) -> None:
        """`site1` at the hub's end, `uplink` at the other."""
        ours, theirs, net = f"site{number}", "uplink", f"10.99.{number}"
        peer = ("peer", "name", theirs, "netns", site.path)
        self.hub.run("ip", "link", "add", ours, "type", "veth", *peer)
        for namespace, device, host in ((self.hub, ours, 1), (site, theirs, 2)):
            namespace.run("ip", "address", "add", f"{net}.{host}/24", "dev", device)
            namespace.run("ip", "link", "set", device, "up")
        site.run("ip", "route", "add", "default", "via", f"{net}.1")


def require_namespaces(programs: Sequence[str] = PROGRAMS) -> None:
    """Skip, or with REQUIRE_PROGRAMS=1 fail, where no network can be made, and say what is missing."""
    for program in programs:
        require(program)
    try:
        Namespace().close()
    except PermissionError:
        give_up = pytest.fail if os.environ.get("REQUIRE_PROGRAMS") == "1" else pytest.skip
        give_up("NOT TESTED: network namespaces need root (CAP_SYS_ADMIN and CAP_NET_ADMIN)")


def _check(result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
