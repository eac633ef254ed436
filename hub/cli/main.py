"""The command `hubbub`: flags, environment and file in, one hub out. Knows both threads, and wires them.

A value comes from a flag, from a variable HUBBUB_* or from hubbub.toml, the first of them that has it.
Whatever is wrong is one line on stderr, `hubbub: source: value: what is allowed`, and exit code 2. cyclopts
reads the flags; hub/config/sources.py gives it the two other layers.
"""

import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from types import FrameType
from typing import Annotated, NoReturn
from urllib.parse import urlsplit

import cyclopts
from cyclopts import CycloptsError, Parameter
from cyclopts.help import DefaultFormatter, PanelSpec
from rich.box import SIMPLE
from rich.console import Console

from hub import BUILD, __version__
from hub.cli import bench
from hub.cli.demo import Company, DemoSettings
from hub.cli.health import URL, Page, ask, page_of
from hub.cli.interpreter import BOUNDLESS, grow_descriptor_table, raise_descriptor_limit, tune_interpreter
from hub.cli.logs import Forward, LogThread, fill_standard_descriptors, own_line, say, write
from hub.cli.orders import announce, drain
from hub.cli.start_record import start_record
from hub.cli.terminal import run as run_terminal
from hub.cli.unavailable import Unavailable, bind_lines, bind_page
from hub.config.service_links import in_short, service_links
from hub.config.settings import (
    DESCRIPTOR_RESERVE,
    Settings,
    affordable,
    page_connections,
    refuse_conflicts,
    running,
)
from hub.config.sources import CONFIG_FILE, Sources, explain
from hub.config.values import FILE, FLAG, HOST, number
from hub.control.mailbox import Mailbox, Stop

_FILE = "TOML file of settings; hubbub.toml if present. A file that is named must exist."
Config = Annotated[str, running("--config", FILE), Parameter(help=_FILE)]

EX_USAGE = 2  # What shells use; sysexits.h has 64.

_PORTS = {"line": "lines", "websocket": "websockets"} | {k: f"{k} lines" for k in ("read-only", "write-only")}
_PAGE_STOP_S, _LOG_STOP_S, _LOG_STUCK_S, _COMPANY_STOP_S, _CLUSTER_STOP_S = 2.0, 10.0, 1.0, 1.0, 2.0
_DEFAULTS, _FOR_DEMO = Settings(), DemoSettings()
_CHECKED = Parameter(name="*", validator=refuse_conflicts)
_HELP = """\
A TCP line hub you can see inside.

The flags below are those of serve, which is meant when no command is given."""
_EPILOGUE = """\
Every flag of serve is a variable as well, HUBBUB_IDLE_TIMEOUT=5m, and a line of
hubbub.toml, idle-timeout = "5m". Flags beat variables, variables beat the file.
--no-web is HUBBUB_WEB=false, web = false; --config is no line of the file.
An empty variable is as if it were not set.
Times: 500ms 30s 5m 2h, sizes: 64KiB 1MiB (KB and MB are 1000s).

Exit codes: 0 ended as asked, 2 wrong usage, 69 address not available or in use,
70 internal error, 128+N left at once on a second signal N."""
_THIS_PAGE = Parameter(help="Ask this page instead.", show_default=False)
_READY = "Be well only while new clients are welcome: not while the hub drains."


def main() -> NoReturn:
    """Run what the command line of this process says, to its end; hubbub/__main__.py calls this."""
    fill_standard_descriptors()
    # Else a line of ours stops a background job, and with it everybody, after `stty tostop` (termios(3)). The
    # child of a demo inherits this.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    sys.exit(run(sys.argv[1:], os.environ))


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Do what a command line says; the exit code."""
    screen = io.StringIO()
    app = _app(Sources(environment), Console(file=screen, width=80, color_system=None))
    try:
        command, bound, _ = app.parse_args(arguments, print_error=False, exit_on_error=False)
        if command in (serve, demo) and (links := service_links(environment)):
            say(2, own_line(f"ignored, as service links of Kubernetes: {in_short(links)}"))
        code: int | None = command(*bound.args, **bound.kwargs)
    except CycloptsError as error:
        write(2, own_line(explain(error)))
        return EX_USAGE
    write(1, "".join(f"{line.rstrip()}\n" for line in screen.getvalue().splitlines()))
    return code or os.EX_OK


def serve(settings: Annotated[Settings, _CHECKED] = _DEFAULTS, *, config: Config = CONFIG_FILE) -> int:
    """Run the hub: the command that is meant when none is given."""
    return _serve(settings, None)


def demo(settings: Annotated[DemoSettings, _CHECKED] = _FOR_DEMO, *, config: Config = CONFIG_FILE) -> int:
    """Run the hub with made-up clients, to look at it and to talk to.

    The hub of serve, with all its flags; only clients that do nothing are closed
    sooner. The made-up ones chat, come and go, flood a room, fall asleep and break
    rules. They come over real sockets, from a child process that ends with the hub.
    Watch them on the page, talk to them with telnet. Ctrl-C ends all of it.
    """
    return _serve(settings, Company(settings))


def _serve(settings: Settings, company: Company | None) -> int:
    log = LogThread(settings.log, level=settings.log_level)
    log.start()
    try:
        _run_hub(settings, log, company)
    except Unavailable as error:
        say(2, own_line(str(error)))
        return os.EX_UNAVAILABLE
    except CycloptsError:
        raise
    except Exception:
        log.log("crashed", level="error", trace=traceback.format_exc())
        return os.EX_SOFTWARE
    finally:
        log.stop(_LOG_STUCK_S, _LOG_STOP_S)
    return os.EX_OK


def client(
    host: Annotated[str, Parameter(converter=HOST, help="Name or address of the hub.")],
    port: Annotated[int, Parameter(converter=number(1, 65535), help="Port of its lines.")],
    /,
) -> int:
    """Talk to a hub: send what you type, show what comes.

    In pipes it changes no byte. Neither variables nor hubbub.toml apply to it.

    Exit codes: 0 ended in order, 1 connection lost or closed with input unsent,
    2 wrong usage, 69 no connection, 74 input or output failed, 130 Ctrl-C.
    """
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)  # A program for people stops, as they set it.
    return run_terminal(host, port)


def health(
    settings: Annotated[Settings, Parameter(name="*", show=False)] = _DEFAULTS,
    *,
    url: Annotated[Page | None, running("--url", URL), _THIS_PAGE] = None,
    ready: Annotated[bool, running("--ready", FLAG), Parameter(help=_READY, negative=())] = False,
    config: Annotated[str, running("--config", FILE), Parameter(show=False)] = CONFIG_FILE,
) -> int:
    """Ask a running hub whether its loop turns, in at most 3 s.

    The page is looked for where serve would have it: the flags of serve are taken
    here too, and so are its variables and its file. A page on all addresses,
    --web-host '*', is asked on 127.0.0.1.

    Exit codes: 0 well, also while it drains; 1 not well: the loop hangs, nobody
    listens, no answer or a wrong one; 2 wrong usage, or no page to ask (--no-web).
    """
    verdict = ask(url or page_of(settings), ready=ready)
    write(1, own_line(verdict.text))
    return verdict.code


def _run_hub(settings: Settings, log: LogThread, company: Company | None) -> None:
    from hub.cli.clustered import enter, joined
    from hub.loop.assembly import Hub, intake_of, limits_of
    from hub.loop.event_loop import EventLoop  # Not above, so that `hubbub health` starts in half the time.
    from hub.net.poller import Poller
    from hub.net.sockets import Sockets
    from hub.session.commons import Commons

    settings, descriptors = _afforded(settings)
    mailbox = Mailbox()
    part, page = joined(settings, mailbox, log), None
    if settings.web:  # aiohttp takes 0.3 s to import, so only a hub with a page does it.
        from web.thread import WebThread

        most = page_connections(settings, descriptors)
        page = WebThread(settings, mailbox, connections=most, log=Forward(log))
    hub = Hub(
        settings, limits=limits_of(settings), intake=intake_of(settings), sockets=Sockets(),
        poller=Poller(settings.trigger), clock=time.monotonic, log=log.log, log_dropped=log.lost,
        on_summary=page.gateway.publish if page else lambda summary: None,
        make_commons=part.make_commons if part else Commons,
    )  # fmt: skip
    loop = EventLoop(hub, mailbox)
    _handle_signals(mailbox)
    entered = [enter(part, settings)] if part else []
    addresses = bind_lines(loop.listen)
    listening = hub.status.addresses
    url = bind_page(page.start, settings) if page else ""
    hub.status.page_port = urlsplit(url).port or 0  # Browsers that come from there are let in.
    most_clients = f"{settings.max_clients} clients ({descriptors} descriptors)"
    said = entered + _start_lines(listening.items(), url, most_clients)
    if company:
        said += company.invitation(addresses, url)
    say(1, "".join(map(own_line, said)))
    log.log("started", **start_record(settings, listening.items(), url))
    tune_interpreter()
    with ExitStack() as ends:
        if page:
            ends.callback(page.stop, _PAGE_STOP_S, loop.answer)
        if part:
            ends.callback(part.stop, _CLUSTER_STOP_S)
        if company:
            ends.callback(company.stop, _COMPANY_STOP_S)
            company.start(addresses, listening.get("websocket", ()))
        loop.run()


def _afforded(settings: Settings) -> tuple[Settings, int]:
    """What the descriptors allow of these settings, and how many those are."""
    descriptors, wanted = raise_descriptor_limit(), settings.max_clients
    settings = affordable(settings, descriptors)
    grow_descriptor_table(min(descriptors, (settings.max_clients or BOUNDLESS) + DESCRIPTOR_RESERVE))
    if settings.max_clients < wanted:
        say(2, own_line(f"--max-clients: {wanted}: lowered to what {descriptors} descriptors allow"))
    return settings, descriptors


def _start_lines(listening: Iterable[tuple[str, Sequence[str]]], url: str, most: str) -> list[str]:
    lines = [f"{_PORTS[kind]} on {address}" for kind, found in listening for address in found]
    return [*lines, *([f"page on {url}"] if url else []), f"at most {most}"]


def _handle_signals(mailbox: Mailbox) -> None:
    """The first of SIGTERM, SIGINT and SIGHUP asks the hub to drain, a second leaves at once.

    But a SIGHUP is nobody's impatience: a terminal that closes may send it twice, through the kernel and
    through the shell. So it asks, and never hurries.
    """
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number != signal.SIGHUP:
            os._exit(128 + number)
        if not asked:
            asked = True
            mailbox.post(Stop(number))

    signal.set_wakeup_fd(mailbox.signal_fd, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup(1)
        signal.signal(signal.SIGHUP, stop)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # They mean nothing here, and would end everybody.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _app(sources: Sources, console: Console) -> cyclopts.App:
    app = cyclopts.App(
        name="hubbub",
        usage="Usage: hubbub [COMMAND] [OPTIONS]",
        help=_HELP,
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
        help_formatter=DefaultFormatter(panel_spec=PanelSpec(box=SIMPLE, padding=0)),
        version=f"hubbub {__version__} ({BUILD})",
        version_format="plaintext",
        config=sources,
        console=console,
        default_command=serve,
    )
    app.command(serve)
    app.command(demo)
    # The epilogue tells of the variables and exit codes of a hub.
    app.command(client, help_epilogue="")
    app.command(health, help_epilogue="")
    app.command(announce, help_epilogue="")
    app.command(drain, help_epilogue="")
    app.command(bench.app())
    return app
