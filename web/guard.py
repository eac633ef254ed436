"""The checks that every request passes first, and the headers that every answer carries.

The page has no login: it listens on loopback and only shows. That is no protection from the user's own
browser, because of DNS rebinding: a foreign site gives its own name the address 127.0.0.1, and then its
scripts may read our answers as same-origin. Such a GET carries no Origin, nothing in it is wrong except
the name in Host, so the name in Host is what is checked, on every request (hub/config/allowed_hosts.py).

Only /livez and /readyz answer whatever the Host: an orchestrator asks by address, or in HTTP/1.0 without one.
What they tell a foreign name is whether the hub lives, and nothing that its clients do.

Refusals are 421 Misdirected Request (RFC 9110, 15.5.20). A request that aiohttp's parser rejects never
becomes a request: two Host lines, or none in HTTP/1.1, are its 400, as RFC 9112, 3.2 demands.
`HttpConnection` replaces those answers, too, by ours.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from types import MappingProxyType
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_websocket import WebSocketReader

from hub.config.allowed_hosts import Hosts, split_port
from web.hub_gateway import HUB_GATEWAY
from web.schema import problem

METHODS = ("GET", "HEAD")
PROBES = ("/livez", "/readyz")
HOST_IN_POLICY = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*(:\d+)?", re.ASCII | re.IGNORECASE)
KEEPALIVE_S = 60.0
LINGER_S = 1.0

SECURITY_HEADERS = MappingProxyType(
    {
        "Server": "hubbub",  # aiohttp would tell its own and Python's version.
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "connect-src 'self'",  # The last, because more may be added to it.
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",  # Where the handler has not said otherwise.
    }
)
SAME_SITE = (None, "same-origin", "none")
"""What Sec-Fetch-Site says of a page of ours, of the user's own hand, and of a browser without it."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


HOSTS = web.AppKey("hosts", Hosts)
PUBLIC_WS = web.AppKey("public_ws", str)
"""Where browsers find the hub's WebSocket port behind a proxy; empty: at the page's own host."""


@web.middleware
async def check_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse foreign names (421), then methods that could change something (405)."""
    if not (names_us(request) or is_probe(request)):
        return problem(421, "this name is not served here; --allowed-host adds names to localhost")
    if request.method not in METHODS:
        return problem(405, f"allowed are {' and '.join(METHODS)}", {"Allow": ", ".join(METHODS)})
    return await handler(request)


def names_us(request: web.Request) -> bool:
    """Whether all hosts that the request names are allowed: the one Host line, and one in its target."""
    named = request.headers.getall("Host", [])
    arrived_at = request.get_extra_info("sockname")
    if len(named) != 1 or arrived_at is None:
        return False
    try:  # Absolute form wins over Host (RFC 9112, 3.2.2).
        in_target = urlsplit(request.raw_path).netloc
    except ValueError:  # Half an IPv6 address, as in `//[`, which the parser takes for a path.
        return False
    hosts, port = request.app[HOSTS], arrived_at[1]
    return hosts.allow(named[0], port) and (not in_target or hosts.allow(in_target, port))


def is_probe(request: web.Request) -> bool:
    """Whether the router took this for a question after the hub's health, however the target is written."""
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical in PROBES


def is_from_own_page(request: web.Request) -> bool:
    """Whether a page of ours asks, by its Origin; a browser's own word on the way it came has to agree."""
    origins = request.headers.getall("Origin", [])
    arrived_at = request.get_extra_info("sockname")
    if len(origins) != 1 or arrived_at is None or request.headers.get("Sec-Fetch-Site") not in SAME_SITE:
        return False
    return request.app[HOSTS].allow_origin(origins[0], arrived_at[1])


async def add_security_headers(request: web.Request, response: web.StreamResponse) -> None:
    """A response-prepare signal: reaches every answer of the application, errors included."""
    chosen = response.headers.get("Cache-Control")
    response.headers.update(SECURITY_HEADERS)
    response.headers["Content-Security-Policy"] += chat_source(request)
    if chosen is not None:
        response.headers["Cache-Control"] = chosen


def chat_source(request: web.Request) -> str:
    """What the policy has to add so that the page may connect to the hub's own WebSocket port.

    That port is another origin: the one of --public-ws, or the host in Host, which the guard has compared
    whole, so that nothing of a name that is not ours gets into a header. Whether the browser came by https is
    known to the proxy in front alone, so both schemes are named; a page by https can use only the second.
    """
    port, public = request.app[HUB_GATEWAY].ws_port, request.app[PUBLIC_WS]
    if not port or not names_us(request):
        return ""
    if public:
        scheme, _, rest = public.partition("://")
        return source(scheme, rest.partition("/")[0])
    host = f"{split_port(request.headers['Host'])[0]}:{port}"
    return source("ws", host) + source("wss", host)


def source(scheme: str, host: str) -> str:
    """A source of the policy. Its grammar has letters, digits, hyphens and dots between them (CSP 3, 2.3.1).

    For any other host, such as an IPv6 address, only the scheme is left to name.
    """
    return f" {scheme}://{host}" if HOST_IN_POLICY.fullmatch(host) else f" {scheme}:"


async def expect_nothing(_request: web.Request) -> None:
    """An Expect handler that does nothing: a GET has no body that could be waited for (RFC 9110, 10.1.1).

    aiohttp's own would answer 100 or 417 before the guard has looked at the Host.
    """


class HttpConnection(web.RequestHandler):
    """aiohttp's HTTP connection, limited in number; it answers what is no HTTP, and half-closes."""

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop, most: int) -> None:
        # No body is ever read; to decode one while throwing it away would only bring faults of the sender's.
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
            auto_decompress=False,
        )
        self._server = server
        self._most = most
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Descriptors are shared with the hub's clients, so the page may not take them all."""
        if len(self._server.connections) >= self._most:
            transport.close()
            return
        super().connection_made(transport)

    # aiohttp's own says None, by which asyncio closes at once, with what was asked unanswered.
    def eof_received(self) -> bool:  # type: ignore[override]
        """The peer has ended its side. Whether the connection stays: until all that it asked is answered."""
        waits_for_more = self._waiter is not None and not self._messages
        if waits_for_more or self._payload_parser is not None:
            return False
        self._ended, self._lingering_time = True, 0.0  # The rest of a body does not come any more.
        self._close_behind_last()
        return True

    def _close_behind_last(self) -> None:
        """Close behind the answer under way, if it is the last. Behind an upgrade requests wait unparsed."""
        if self._ended and not self._messages and not self._message_tail:
            self.close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the rest of an answer, and look whether it is the last."""
        finished = await super().finish_response(request, resp, start_time)
        self._close_behind_last()
        return finished

    def set_parser(self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None) -> None:
        """Become a WebSocket, which ends when the peer ends its side (RFC 6455, 7.1.4), here as later."""
        super().set_parser(parser, data_received_cb)
        if self._ended and self.transport is not None:
            self.transport.close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp answers outside of the application: mostly 400 to bytes that are no HTTP.

        Its own text repeats those bytes and tells versions; and a log record for each would let anybody
        fill the log. Raises ConnectionError when an answer has begun already.
        """
        if status != 400:
            self.log_exception("error while handling a request", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        response = problem(status, "not a valid HTTP request" if status == 400 else "internal error")
        response.headers.update(SECURITY_HEADERS)
        response.force_close()
        return response
