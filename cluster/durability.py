"""Whether the servers keep what they acknowledge: `sync_interval: always`.

Without it a power cut takes what was acknowledged in up to two minutes, and the record goes back. A server
tells its settings to its system account alone, unless that exports the question (deploy/nats/accounts.conf);
where nobody answers, nothing is known, and nothing is refused.
"""

import json
from contextlib import suppress
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error, TimeoutError

from cluster.stream import StreamGone

QUESTION: Final = "$SYS.REQ.SERVER.PING.JSZ"
ANSWER_S: Final = 0.3
MOST_SERVERS: Final = 64


async def refuse_unsynced(nats: Client) -> None:
    """Ask all servers. Raises StreamGone where one says that it does not write at once."""
    inbox = nats.new_inbox()
    answers = await nats.subscribe(inbox)
    try:
        await nats.publish(QUESTION, b"", reply=inbox)
        for _ in range(MOST_SERVERS):
            answer = await answers.next_msg(timeout=ANSWER_S)
            if not answer.data:  # Nobody is asked here.
                return
            found = _settings(answer.data)
            if found and not found.get("sync_always"):
                raise StreamGone("a server acknowledges before it has written: set sync_interval: always")
    except TimeoutError:
        return
    finally:
        with suppress(Error):
            await answers.unsubscribe()


def _settings(answer: bytes) -> dict[str, Any]:
    """JetStream's settings in an answer; empty where it is none."""
    try:
        told = json.loads(answer)
    except ValueError:
        return {}
    data = told.get("data") if isinstance(told, dict) else None
    config = data.get("config") if isinstance(data, dict) else None
    return config if isinstance(config, dict) else {}
