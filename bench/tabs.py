"""Open pages without a browser: `python -m bench.tabs --page http://127.0.0.1:8080/ --tabs 5`.

Each page is a WebSocket to /live that asks for a view of its own, as a tab does whose user sorted the table
in another way, and reads and decodes every update. The program prints `ready N` once each page had an
update, stays until its stdin ends, and then prints what came.
"""

import argparse
import asyncio
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Origin

SORTS = ("lag_bytes", "idle_s", "bytes_out", "lines_in", "age_s", "peer", "bytes_in", "nick", "id")
LIMIT = 50


@dataclass(slots=True)
class Seen:
    """What all tabs together got."""

    updates: int = 0
    largest_bytes: int = 0
    troubles: int = 0
    errors: int = 0
    ended: int = 0

    def take(self, message: str | bytes) -> bool:
        """Count one message; whether it was an update."""
        decoded: dict[str, Any] = json.loads(message)
        if decoded["kind"] == "update":
            self.updates += 1
            self.largest_bytes = max(
                self.largest_bytes, len(message.encode() if isinstance(message, str) else message)
            )
            self.troubles += bool(decoded["trouble"])
        self.errors += decoded["kind"] == "error"
        return bool(decoded["kind"] == "update")


def views() -> Iterator[dict[str, object]]:
    """Views without end, each sorted otherwise, some from the other end, some of a part only."""
    for number in itertools.count():
        order = "asc" if number % 3 == 2 else "desc"
        yield {"sort": SORTS[number % len(SORTS)], "order": order, "q": "", "offset": 0, "limit": LIMIT}


async def tab(page: str, view: dict[str, object], seen: Seen, alive: asyncio.Event) -> None:
    """Keep a tab open until the hub closes it."""
    address = urlsplit(page).netloc
    with suppress(OSError, WebSocketException):
        async with connect(f"ws://{address}/live", origin=Origin(f"http://{address}"), proxy=None) as socket:
            await socket.send(json.dumps(view))
            async for message in socket:
                if seen.take(message):
                    alive.set()
    seen.ended += 1
    alive.set()


async def run(options: argparse.Namespace) -> None:
    """Be open until stdin ends."""
    seen, alive = Seen(), [asyncio.Event() for _ in range(options.tabs)]
    tasks = [
        asyncio.create_task(tab(options.page, view, seen, event))
        for view, event in zip(views(), alive, strict=False)
    ]
    for event in alive:
        await event.wait()
    print("ready", options.tabs - seen.ended, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(asdict(seen)), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.tabs", description=str(__doc__).split("\n")[0])
    parser.add_argument("--page", metavar="URL", default="http://127.0.0.1:8080/")
    parser.add_argument("--tabs", type=int, default=5)
    asyncio.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main(sys.argv[1:])
