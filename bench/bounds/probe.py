"""The outside prober with the moment of each line, so that a part of a run can be judged by itself.

    python -m bench.bounds.probe --address 127.0.0.1:9000 --seconds 10

The program says `ready` when it begins, and at the end all times in a line of JSON. Moments are of
CLOCK_MONOTONIC, which is the same in all processes of the machine.
"""

import argparse
import json
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench.connections import split
from bench.figures import quantile
from bench.prober import SETTLE_S, Prober, keep_quiet

ROOM = "/join the-prober"


@dataclass(frozen=True, slots=True)
class Probed:
    """What a prober measured. Line n was planned at `start_s + n * interval_s`."""

    start_s: float
    interval_s: float
    times_s: list[float]
    """From the planned moment to the answer; infinite where none came."""
    lateness_s: list[float]
    """From the planned moment to the send: the prober's own part of that time."""

    def between(self, from_s: float, to_s: float) -> "Probed":
        """The lines that were planned in this time."""
        first = max(0, round((from_s - self.start_s) / self.interval_s))
        last = max(first, round((to_s - self.start_s) / self.interval_s))
        start_s = self.start_s + first * self.interval_s
        return Probed(start_s, self.interval_s, self.times_s[first:last], self.lateness_s[first:last])

    def figures(self) -> dict[str, float]:
        """The p99 and the worst of all lines, and how late the prober itself was at worst.

        `worst net` is the worst time from the send itself. Where it lies well below the worst, the prober
        did not get its core in time, and the run says little about the hub.
        """
        if not self.times_s:
            raise SystemExit("no line of the prober falls into the time that is to be judged")
        net = [time - late for time, late in zip(self.times_s, self.lateness_s, strict=True)]
        return {
            "p99 ms": 1000 * quantile(sorted(self.times_s), 0.99),
            "worst ms": 1000 * max(self.times_s),
            "worst net ms": 1000 * max(net),
            "prober late ms": 1000 * max(self.lateness_s),
        }


def probe(address: str, interval_s: float, seconds: float) -> Probed:
    """Join a room of its own (other modes than chat take that for a line), and probe. Raises OSError."""
    with socket.create_connection(split(address)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(f"{ROOM}\n".encode())
        prober = Prober(sock, interval_s, max(1, round(seconds / interval_s)), time.monotonic)
        print("ready", flush=True)
        start_s = time.monotonic() + SETTLE_S
        prober.run()
    return Probed(start_s, interval_s, list(prober.times_s), list(prober.lateness_s))


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.bounds.probe", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1:9000")
    parser.add_argument("--interval-ms", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args(arguments)
    keep_quiet()
    try:
        probed = probe(options.address, options.interval_ms / 1000, options.seconds)
    except OSError as lost:
        sys.exit(f"the prober lost the hub: {lost}")
    print(json.dumps(asdict(probed)))


if __name__ == "__main__":
    main(sys.argv[1:])
