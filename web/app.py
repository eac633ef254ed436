"""The application put together: routes, templates, static files. All of it is read and compiled once."""

import mimetypes
from datetime import UTC, datetime
from pathlib import Path

import jinja2
from aiohttp import web

from hub.names import Hosts
from hub.settings import Settings
from web import guard, handlers
from web.feed import Feed


def build_app(settings: Settings, feed: Feed) -> web.Application:
    """An application that serves this feed; raises OSError or jinja2.TemplateError over its own files."""
    app = web.Application(middlewares=[guard.check_request, handlers.errors_as_json])
    app.on_response_prepare.append(guard.add_security_headers)
    app[guard.HOSTS] = Hosts(settings.web_host, settings.allowed_hosts)
    app[handlers.FEED] = feed
    app[handlers.PAGE] = templates().get_template("summary.html")
    app[handlers.ASSETS] = read_assets(find_files("static"))
    app.add_routes(routes())
    return app


def routes() -> list[web.RouteDef]:
    """Every path. The last one takes what is left, so that no request falls to a route of aiohttp's own."""
    found = [
        ("/", handlers.page),
        ("/static/{name}", handlers.asset),
        ("/api/summary", handlers.summary),
        ("/api/clients", handlers.clients),
        ("/api/clients/{id}", handlers.client),
        ("/api/closed", handlers.closed),
        ("/api/rooms", handlers.rooms),
        ("/livez", handlers.livez),
        ("/readyz", handlers.readyz),
    ]
    gets = [web.get(path, handler, expect_handler=guard.expect_nothing) for path, handler in found]
    return [*gets, web.route("*", "/{rest:.*}", handlers.unknown, expect_handler=guard.expect_nothing)]


def find_files(name: str) -> Path:
    """`static` or `templates`: beside this file in an installed wheel, one floor up in a checkout."""
    package = Path(__file__).resolve().parent
    for directory in (package / name, package.parent / name):
        if directory.is_dir():
            return directory
    raise FileNotFoundError(f"the directory {name} is missing from {package} and {package.parent}")


def read_assets(directory: Path) -> handlers.Assets:
    """All static files, in memory: they are few and small, and no request touches the file system."""
    return {
        path.name: (mimetypes.guess_type(path.name)[0] or "application/octet-stream", path.read_bytes())
        for path in directory.iterdir()
        if path.is_file()
    }


def templates() -> jinja2.Environment:
    """The templates: everything escaped, a misspelt name an error, nothing looked up again after start."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(find_files("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, duration=duration, utc=utc)
    return environment


def number(value: float) -> str:
    """12345 as 12 345, in the way of ISO 80000-1: no reader takes a space for a decimal sign."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def duration(seconds: float) -> str:
    """Seconds in the two largest units that say something: 5.2 s, 3 min 20 s, 2 h 5 min, 4 d 1 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= length:
            return f"{whole // length} {unit} {whole % length // part} {smaller}"
    return f"{whole // 60} min {whole % 60} s"


def utc(wall_s: float) -> str:
    """Seconds since 1970 as date and time."""
    return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
