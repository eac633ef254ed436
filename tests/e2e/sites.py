"""Clients from many addresses in a network namespace: `unshare --net python -m tests.e2e.sites`.

It ends with 0 when each IPv4 address and each IPv6 /64 has as many places as the hub gives one, no more.
"""

import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from tests.support import PATIENCE_S, HubProcess, bye, until

HUB = ("203.0.113.1", "2001:db8:0:1::1")
ADDRESSES = [f"203.0.113.{number}" for number in range(2, 10)]
SITES = [(f"2001:db8:0:{site}::1", f"2001:db8:0:{site}::2") for site in (2, 3)]
PLACES = 2
REFUSAL = bye("per_ip_limit", "limit=2", end="\r\n")


def prepare() -> None:
    """All these addresses on this namespace's own loopback interface."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in [HUB[0], *ADDRESSES]:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    for address in [HUB[1], *(address for site in SITES for address in site)]:
        subprocess.run(["ip", "address", "add", f"{address}/128", "dev", "lo", "nodad"], check=True)


def fill(host: str, inside: Sequence[Sequence[str]]) -> None:
    """Fill every place, be refused, make room, and be let in. Each entry: the addresses that share places."""
    per_ip = ("--max-per-ip", str(PLACES), "--no-web", "--no-ws")
    with HubProcess("--mode", "echo", "--host", host, *per_ip) as hub, ExitStack() as stack:

        def come(source: str) -> socket.socket:
            return stack.enter_context(socket.create_connection((host, hub.port), PATIENCE_S, (source, 0)))

        socks = [[come(source) for source in sources] for sources in inside]
        for pair in socks:
            assert [answer(sock) for sock in pair] == [b"hello\n"] * PLACES
        for source in (source for sources in inside for source in sources):
            assert answer(come(source)) == REFUSAL, source
        for (source, *_), (first, second) in zip(inside, socks, strict=True):
            first.close()
            until(lambda source=source: answer(come(source)) == b"hello\n")
            assert answer(second) == b"hello\n"


def answer(sock: socket.socket) -> bytes:
    """What a line of this client brings."""
    with suppress(OSError):  # A refused client may be gone already.
        sock.sendall(b"hello\n")
    return sock.makefile("rb").readline()


if __name__ == "__main__":
    prepare()
    fill(HUB[0], [(address,) * PLACES for address in ADDRESSES])
    fill(HUB[1], SITES)
