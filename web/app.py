"""The application's assembly: routes, templates, static files, each read and compiled once at start."""

import hashlib
from pathlib import Path

import jinja2
from aiohttp import web

from hub.config.allowed_hosts import Hosts
from hub.config.settings import Settings
from web import guard, handlers
from web.hub_gateway import HUB_GATEWAY, HubGateway
from web.live import LIVE, Live, live

CONTENT_TYPES = {".css": "text/css", ".js": "text/javascript"}
"""For each kind of file in static: what the machine's own table says could stop the page."""


def build_app(settings: Settings, gateway: HubGateway) -> web.Application:
    """An application that serves this gateway; raises OSError or jinja2.TemplateError over its own files."""
    app = web.Application(middlewares=[guard.check_request, handlers.errors_as_json])
    app.on_response_prepare.append(guard.add_security_headers)
    app[guard.HOSTS] = Hosts(settings.web_host, settings.allowed_hosts)
    app[guard.PUBLIC_WS] = settings.public_ws
    app[HUB_GATEWAY] = gateway
    app[handlers.ASSETS] = read_assets(find_files("static"))
    files = files_version(app[handlers.ASSETS], find_files("templates"))
    app[handlers.PAGE] = templates(app[handlers.ASSETS], files).get_template("page.html")
    app[LIVE] = Live(gateway, files, settings.public_ws)
    app.on_startup.append(app[LIVE].start)
    app.on_shutdown.append(app[LIVE].stop)
    app.add_routes(routes())
    return app


def routes() -> list[web.RouteDef]:
    """Every path, by whatever method: guard.py refuses all that it does not allow.

    The last one takes what is left, so that no request falls to a route of aiohttp's own.
    """
    found = [
        ("/", handlers.page),
        ("/static/{name}", handlers.asset),
        ("/live", live),
        ("/api/summary", handlers.summary),
        ("/api/clients", handlers.clients),
        ("/api/clients/{id}", handlers.client),
        ("/api/closed", handlers.closed),
        ("/api/rooms", handlers.rooms),
        ("/api/cluster", handlers.cluster),
        ("/livez", handlers.livez),
        ("/readyz", handlers.readyz),
        ("/{rest:.*}", handlers.unknown),
    ]
    return [web.route("*", path, handler, expect_handler=guard.expect_nothing) for path, handler in found]


def find_files(name: str) -> Path:
    """`static` or `templates`, beside the package web: in a checkout and in the wheel's `_app`."""
    return Path(__file__).absolute().parent.parent / name


def read_assets(directory: Path) -> handlers.Assets:
    """All static files, in memory: they are few and small, and no request touches the file system."""
    return {path.name: read_asset(path) for path in directory.iterdir() if path.is_file()}


def read_asset(path: Path) -> handlers.Asset:
    """A static file, with the version that its bytes give it."""
    content_type = CONTENT_TYPES.get(path.suffix, "application/octet-stream")
    body = path.read_bytes()
    return handlers.Asset(content_type, body, hashlib.sha256(body).hexdigest()[:16])


def files_version(assets: handlers.Assets, directory: Path) -> str:
    """Changes with every byte that the page is made of: modules import each other without a version."""
    made_of = {f"static/{name}": asset.body for name, asset in assets.items()}
    made_of |= {f"templates/{path.name}": path.read_bytes() for path in directory.iterdir()}
    digests = [f"{name} {hashlib.sha256(body).hexdigest()}\n" for name, body in sorted(made_of.items())]
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


def templates(assets: handlers.Assets, files: str = "") -> jinja2.Environment:
    """The templates: everything escaped, a misspelt name an error, nothing looked up again after start.

    In a template `asset("app.js")` is the address of a static file, with its version, and `files` the
    version of all of them.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(find_files("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["files"] = files
    environment.globals["asset"] = lambda name: f"static/{name}?v={assets[name].version}"
    return environment
