"""The handlers, a function for each address. They read the hub gateway and never reach into the hub."""

from collections.abc import Mapping
from typing import NamedTuple

import jinja2
from aiohttp import web

from hub import BUILD, __version__
from hub.control.snapshots import ClusterState, Summary
from web.guard import PUBLIC_WS, Handler, names_us
from web.hub_gateway import HUB_GATEWAY, HubGateway, HubSilent
from web.schema import (
    BadValue,
    clients_page,
    encode_each,
    json_response,
    problem,
    read_clients_query,
    read_id,
    read_parameters,
    read_window,
)

ALIVE_WITHIN_S = 3.0
"""The hub publishes once a second; a hub that missed three publications is not turning."""
STREAM_SILENT_S = 1.0
"""A cluster's stream that takes no line for so long does not answer; the hub tells senders then, too."""
FOR_EVER = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """A static file. `version` changes with its bytes."""

    content_type: str
    body: bytes
    version: str


Assets = Mapping[str, Asset]
"""Every static file, by name."""

PAGE = web.AppKey("page", jinja2.Template)
ASSETS: web.AppKey[Assets] = web.AppKey("assets")


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into a JSON answer, and log each that no handler foresaw."""
    try:
        return await handler(request)
    except BadValue as error:
        return problem(400, str(error))
    except HubSilent as error:
        return problem(503, str(error))
    except web.HTTPException as error:
        return problem(error.status, error.reason)
    except Exception:
        request.app.logger.exception("no answer to %s %s", request.method, request.raw_path)
        return problem(500, "internal error")


async def summary(request: web.Request) -> web.Response:
    """GET /api/summary: the newest totals, at most about a second old; 503 before the first."""
    return json_response(newest(request))


async def cluster(request: web.Request) -> web.Response:
    """GET /api/cluster: the part of the newest totals about the cluster; 404 for a hub alone."""
    state = newest(request).cluster
    return json_response(state) if state else problem(404, "this hub is alone; --cluster joins it to others")


def newest(request: web.Request) -> Summary:
    """The newest totals, where no parameter is given; raises BadValue, and HubSilent before the first."""
    read_parameters(request.query)
    latest = request.app[HUB_GATEWAY].latest
    if latest is None:
        raise HubSilent("the hub has not published anything yet")
    return latest


async def clients(request: web.Request) -> web.Response:
    """GET /api/clients: open clients, filtered, sorted, and then a page of them."""
    view = read_clients_query(request.query)
    return json_response(clients_page(await request.app[HUB_GATEWAY].rows(), view))


async def client(request: web.Request) -> web.Response:
    """GET /api/clients/{id}: one open client; 404 when it is closed or never was."""
    read_parameters(request.query)
    client_id = read_id(request.match_info["id"])
    row = await request.app[HUB_GATEWAY].client(client_id)
    return json_response(row) if row else problem(404, f"no open client has the id {client_id}")


async def closed(request: web.Request) -> web.Response:
    """GET /api/closed: some of the `kept` entries of the close log, newest first."""
    entries, kept = await request.app[HUB_GATEWAY].closed(*read_window(request.query))
    return json_response({"kept": kept, "closed": encode_each(entries)})


async def rooms(request: web.Request) -> web.Response:
    """GET /api/rooms: some of the `total` rooms, largest first."""
    rows, total = await request.app[HUB_GATEWAY].rooms(*read_window(request.query))
    return json_response({"total": total, "rooms": encode_each(rows)})


async def livez(request: web.Request) -> web.Response:
    """GET /livez: 200 while the hub's loop turns, else 503; how many turns, as published `age_s` ago.

    A foreign name may be another site's, which is not told how busy the hub is. Probes carry queries of their
    own, `?verbose`: here as at /readyz the query changes nothing.
    """
    gateway = request.app[HUB_GATEWAY]
    alive = is_alive(gateway)
    told: dict[str, object] = {"alive": alive, "age_s": gateway.age_s}
    if names_us(request):
        told["turns"] = gateway.latest.turns if gateway.latest else 0
    return json_response(told, 200 if alive else 503)


async def readyz(request: web.Request) -> web.Response:
    """GET /readyz: 200 while new clients are welcome, else 503.

    A hub whose cluster does not answer is `degraded` and still ready: lines wait, new clients are welcome. A
    broker that is away is away for all hubs, and 503 would take every one of them out of service for that.
    A hub alone says nothing of this.
    """
    gateway = request.app[HUB_GATEWAY]
    latest = gateway.latest
    alive, draining = is_alive(gateway), latest is not None and latest.draining
    ready = alive and not draining
    told: dict[str, object] = {"ready": ready, "alive": alive, "draining": draining}
    if latest is not None and latest.cluster is not None:
        told |= degradation(latest.cluster)
    return json_response(told, 200 if ready else 503)


def degradation(state: ClusterState) -> dict[str, object]:
    """Whether the cluster does not answer, and why; without numbers, because a foreign name may ask."""
    if not state.is_linked:
        return {"degraded": True, "reason": "no link to the cluster"}
    if state.unheard_s >= STREAM_SILENT_S:
        return {"degraded": True, "reason": "the stream of the cluster does not answer"}
    return {"degraded": False}


def is_alive(gateway: HubGateway) -> bool:
    """Whether the hub published lately. The loop publishes from its turn, so a stuck loop falls silent."""
    return gateway.age_s < ALIVE_WITHIN_S


async def page(request: web.Request) -> web.Response:
    """GET /: the shell of the live page. The shell holds no figures, so the hub may do what it will."""
    app = request.app
    ports = {"ws_port": app[HUB_GATEWAY].ws_port, "ws_url": app[PUBLIC_WS]}
    text = app[PAGE].render(version=__version__, build=BUILD, **ports)
    return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-cache"})


async def asset(request: web.Request) -> web.Response:
    """GET /static/{name}: a file that was read at start. A name is only a key here, never a path.

    Under the address that the page gives it, with its version, a browser need never ask again.
    """
    found = request.app[ASSETS].get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    headers = {"Cache-Control": FOR_EVER} if request.query.get("v") == found.version else None
    return web.Response(body=found.body, content_type=found.content_type, charset="utf-8", headers=headers)


async def unknown(_request: web.Request) -> web.Response:
    """Answer 404 to every other address."""
    return problem(
        404,
        "no such page; try /, /api/summary, /api/clients, /api/closed, /api/rooms, /api/cluster, "
        "/livez, /readyz",
    )
