"""An operator's orders to hubs: sent over a connection of its own, and answered by those that heard them."""

import asyncio
from typing import Final

from nats.aio.client import Client
from nats.errors import Error, TimeoutError

from cluster.beside import ALL
from cluster.fold import Origin
from cluster.join import CLUSTER, options_of
from cluster.link import CONNECT_S
from cluster.presence import Order, packed
from cluster.stream import Place, reason_of
from hub.config.settings import Settings

ANSWERS_S: Final = 1.0


class NoLink(Exception):
    """Why there is no connection."""


def order(settings: Settings, what: str, text: str, hub: str) -> list[str]:
    """Send an order to a hub, or to all where no name is given; the names of those that heard it.

    Raises NoLink, and BadCredentials for a file that cannot be used.
    """
    return asyncio.run(_order(settings, Order(what, text), hub or ALL))


async def _order(settings: Settings, wanted: Order, whom: str) -> list[str]:
    client, place = Client(), Place(f"{CLUSTER}-{settings.mode}", Origin("", ""))

    async def quiet(error: Exception) -> None:
        """What is wrong is raised as well."""

    try:
        await client.connect(
            list(settings.cluster), name="hubbub operator", allow_reconnect=False, max_reconnect_attempts=1,
            reconnect_time_wait=0, connect_timeout=CONNECT_S, error_cb=quiet, **options_of(settings),
        )  # fmt: skip
    except (Error, OSError) as error:
        raise NoLink(reason_of(error)) from None
    try:
        inbox = client.new_inbox()
        answers = await client.subscribe(inbox)
        await client.publish(place.subject("ctl", whom), packed(wanted), reply=inbox)
        return await _heard_by(answers, 1 if whom != ALL else None)
    finally:
        await client.close()


async def _heard_by(answers: object, most: int | None) -> list[str]:
    names: list[str] = []
    loop = asyncio.get_running_loop()
    by = loop.time() + ANSWERS_S
    while most is None or len(names) < most:
        try:
            answer = await answers.next_msg(timeout=max(0.01, by - loop.time()))  # type: ignore[attr-defined]
        except TimeoutError:
            break
        if not answer.data:  # The server says that nobody listens.
            break
        names.append(answer.data.decode(errors="replace")[:32])
        if loop.time() >= by:
            break
    return sorted(names)
