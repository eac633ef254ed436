"""The command `hubbub`: flags, environment and file in, one hub out. Knows both threads, and wires them.

A value comes from a flag, from a variable HUBBUB_* or from hubbub.toml, the first of them that has it.
Whatever is wrong is one line on stderr, `hubbub: source: value: what is allowed`, and exit code 2. cyclopts
reads the flags; `Sources` is the hook by which it gets the two other layers, so that all three meet the same
kinds of value (hub/settings.py), and a wrong one is named even where a stronger source hides it.
"""

import difflib
import errno
import gc
import io
import os
import resource
import signal
import sys
import time
import tomllib
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Annotated, NoReturn, TypeVar

import cyclopts
from cyclopts import Argument, CycloptsError, Parameter, Token
from cyclopts.help import DefaultFormatter, PanelSpec
from rich.box import SIMPLE
from rich.console import Console

from hub import __version__
from hub.logs import Forward, LogThread, fill_standard_descriptors, own_line, say, write
from hub.loop import Loop
from hub.mailbox import Mailbox, Stop
from hub.poller import Poller
from hub.settings import FILE, HOST, Conflict, Kind, Settings, affordable, number, refuse_conflicts, running
from hub.sockets import Sockets
from hub.terminal import run as run_terminal

Bound = TypeVar("Bound")

EX_USAGE = 2  # What shells use; sysexits.h has 64.
CONFIG_FILE = "hubbub.toml"

_FILE_BYTES, _BOUNDLESS = 1 << 20, 1 << 30
_PAGE_STOP_S, _LOG_STOP_S = 2.0, 1.0
_DEFAULTS = Settings()
_EPILOGUE = """\
Every flag of serve is a variable as well, HUBBUB_IDLE_TIMEOUT=5m, and a line of
hubbub.toml, idle-timeout = "5m". Flags beat variables, variables beat the file.
Times: 500ms 30s 5m 2h, sizes: 64KiB 1MiB (KB and MB are 1000s).

Exit codes: 0 ended as asked, 2 wrong usage, 69 address not available,
70 internal error, 128+N left at once on a second signal N."""
_CLIENT_CODES = """\
Exit codes: 0 ended in order, 1 connection lost or closed with input unsent,
2 wrong usage, 69 no connection, 74 input or output failed, 130 Ctrl-C."""


def main() -> NoReturn:
    """The entry point of `hubbub` and of `python -m hub`."""
    fill_standard_descriptors()
    sys.exit(run(sys.argv[1:], os.environ))


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Do what a command line says; the exit code."""
    screen = io.StringIO()
    app = _app(Sources(environment), Console(file=screen, width=80, color_system=None))
    try:
        command, bound, _ = app.parse_args(arguments, print_error=False, exit_on_error=False)
    except CycloptsError as error:
        write(2, own_line(_explain(error)))
        return EX_USAGE
    code: int | None = command(*bound.args, **bound.kwargs)
    write(1, "".join(f"{line.rstrip()}\n" for line in screen.getvalue().splitlines()))
    return code or os.EX_OK


def serve(
    settings: Annotated[Settings, Parameter(name="*", validator=refuse_conflicts)] = _DEFAULTS,
    *,
    config: Annotated[
        str, running("--config", FILE), Parameter(help="One that is named must exist.")
    ] = CONFIG_FILE,
) -> int:
    """Run the hub. The command that is meant when none is given."""
    log = LogThread(settings.log)
    log.start()
    try:
        _run_hub(settings, log)
    except Unavailable as error:
        say(2, own_line(str(error)))
        return os.EX_UNAVAILABLE
    except Exception:
        log.log("crashed", trace=traceback.format_exc())
        return os.EX_SOFTWARE
    finally:
        log.stop(_LOG_STOP_S)
    return os.EX_OK


def client(
    host: Annotated[str, Parameter(converter=HOST, help="Name or address of the hub.")],
    port: Annotated[int, Parameter(converter=number(1, 65535), help="Port of its lines.")],
    /,
) -> int:
    """Talk to a hub: keyboard and socket in one loop. Works in pipes."""
    return run_terminal(host, port)


class Unavailable(Exception):
    """An address cannot be listened on; the text is the line for the user."""


class Stopper:
    """The handler of SIGTERM and SIGINT: the first asks the hub to drain, the second leaves at once."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Called by the interpreter in the main thread, between two of its instructions."""
        if self._asked:
            os._exit(128 + number)
        self._asked = True
        self._mailbox.post(Stop(number))


def _run_hub(settings: Settings, log: LogThread) -> None:
    descriptors = raise_descriptor_limit()
    wanted, settings = settings.max_clients, affordable(settings, descriptors)
    mailbox = Mailbox()
    page = None
    if settings.web:  # aiohttp takes 0.3 s to import, so only a hub with a page does it.
        from web.thread import WebThread

        page = WebThread(settings, mailbox, log=Forward(log))
    publish = page.feed.publish if page else lambda summary: None
    sockets, poller = Sockets(), Poller(settings.trigger)
    dropped = partial(getattr, log, "dropped")
    loop = Loop(settings, sockets, poller, time.monotonic, mailbox, log.log, publish, log_dropped=dropped)
    stopper = Stopper(mailbox)
    signal.set_wakeup_fd(mailbox.signal_fd, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, stopper)
    signal.signal(signal.SIGINT, stopper)
    said = [f"lines on {address}" for address in _bind(loop.listen)]
    if page:
        said.append(f"page on {_bind(page.start, f'{settings.web_host}:{settings.web_port}')}")
    said.append(f"at most {settings.max_clients} clients ({descriptors} descriptors)")
    if settings.max_clients < wanted:
        say(2, own_line(f"--max-clients: {wanted}: lowered to what {descriptors} descriptors allow"))
    say(1, "".join(map(own_line, said)))
    _tune_interpreter()
    try:
        loop.run()
    finally:
        if page:
            page.stop(_PAGE_STOP_S)


def _bind(listen: Callable[[], Bound], address: str = "") -> Bound:
    try:
        return listen()
    except OSError as error:
        why = "address in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error)).lower()
        raise Unavailable(f"cannot listen on {address}: {why}" if address else str(error.strerror)) from error


def raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors to the hard one, getrlimit(2); what is allowed now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # A sandbox may forbid even what the limit allows.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return _BOUNDLESS if soft == resource.RLIM_INFINITY else soft


def _tune_interpreter() -> None:
    sys.setswitchinterval(0.0005)  # How long the page may keep the interpreter from the loop.
    gc.collect()
    gc.freeze()  # What exists now stays; no collection looks at it again.
    gc.set_threshold(50_000, 20, 100)


def _app(sources: "Sources", console: Console) -> cyclopts.App:
    app = cyclopts.App(
        name="hubbub",
        help="A TCP line hub you can see inside.",
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
        help_formatter=DefaultFormatter(panel_spec=PanelSpec(box=SIMPLE, padding=0)),
        version=f"hubbub {__version__}",
        version_format="plaintext",
        config=sources,
        console=console,
        default_command=serve,
    )
    app.command(serve)
    app.command(client, help_epilogue=_CLIENT_CODES)
    return app


@dataclass(frozen=True, slots=True)
class Sources:
    """Environment and file, given to cyclopts after the flags. Raises CycloptsError with the whole line."""

    environment: Mapping[str, str]

    def __call__(
        self, app: cyclopts.App, commands: tuple[str, ...], arguments: cyclopts.ArgumentCollection
    ) -> None:
        """Fill in what the flags left open, and check all of it."""
        by_key = {a.name.removeprefix("--"): a for a in arguments if isinstance(a.parameter.converter, Kind)}
        config = by_key.pop("config", None)
        if config is not None:  # Only serve has settings.
            self._from_environment(by_key)
            self._from_file(by_key, config)

    def _from_environment(self, by_key: Mapping[str, Argument]) -> None:
        variables = {_variable(key): argument for key, argument in by_key.items()}
        for name in sorted(self.environment):
            if name.startswith("HUBBUB_") and name != _variable("config"):
                if name not in variables:
                    raise CycloptsError(_unknown(name, "variable", name, variables))
                _offer(variables[name], name, self.environment[name])

    def _from_file(self, by_key: Mapping[str, Argument], config: Argument) -> None:
        path, source = CONFIG_FILE, ""
        if config.tokens:
            path, source = config.tokens[0].value, "--config"
        elif _variable("config") in self.environment:
            path, source = self.environment[_variable("config")], _variable("config")
        given = set[str]()
        for name, value in _read_file(path, source).items():
            key = name.replace("_", "-")
            if key not in by_key:
                raise CycloptsError(_unknown(f"{path}: {name}", "key", key, by_key))
            if key in given:
                raise CycloptsError(_wrong(f"{path}: {name}", value, "each key once"))
            given.add(key)
            _offer(by_key[key], f"{path}: {name}", value)


def _variable(key: str) -> str:
    return "HUBBUB_" + key.upper().replace("-", "_")


def _kind(argument: Argument) -> Kind:
    kind = argument.parameter.converter
    assert isinstance(kind, Kind)
    return kind


def _offer(argument: Argument, source: str, value: object) -> None:
    """Check a value, and take it unless a stronger source has one."""
    kind, culprit = _kind(argument), value
    try:
        texts = kind.texts(value)
        for culprit in texts:
            kind.read(culprit)
    except ValueError:
        raise CycloptsError(_wrong(source, culprit, kind.allowed)) from None
    if not argument.tokens:
        for index, text in enumerate(texts):
            argument.append(Token(keyword=source, value=text, index=index))


def _read_file(path: str, source: str) -> dict[str, object]:
    """The keys of a TOML file. With no `source`, nobody named it and it may be absent."""
    try:
        with open(path, "rb") as file:
            return tomllib.loads(file.read(_FILE_BYTES).decode())
    except OSError as error:
        if not source and isinstance(error, FileNotFoundError):
            return {}
        allowed = f"a file that can be read ({error.strerror})"
        raise CycloptsError(_wrong(source or path, path, allowed)) from None
    except (ValueError, RecursionError) as error:
        raise CycloptsError(f"{path}: not a TOML file: {error}") from None


def _explain(error: CycloptsError) -> str:
    """What cyclopts found wrong, as `source: value: what is allowed`."""
    match error:
        case cyclopts.ValidationError(argument=Argument() as root, __cause__=Conflict() as conflict):
            token = next(a.tokens[0] for a in root.children if a.name == conflict.flag)
            return _wrong(token.keyword, token.value, conflict.allowed)
        case cyclopts.CoercionError(argument=Argument() as argument, token=Token() as token):
            return _wrong(token.keyword or argument.name, token.value, _kind(argument).allowed)
        case cyclopts.MissingArgumentError(argument=Argument() as argument):
            return f"{argument.name}: no value: {_kind(argument).allowed}"
        case cyclopts.RepeatArgumentError(token=token):
            return f"{token.keyword}: given more than once: one value"
        case cyclopts.UnknownOptionError(token=token, argument_collection=arguments):
            flag = token.keyword or token.value
            known = [name for a in arguments for name in (*a.names, *a.negatives)]
            return _unknown(flag, "flag", flag, known)
        case cyclopts.UnusedCliTokensError(unused_tokens=[first, *_]):
            after = " ".join(error.command_chain or ())
            return _wrong(
                after or "command", first, "nothing more" if after else "serve or client, as the first word"
            )
    return str(error)


def _wrong(source: str | None, value: object, allowed: object) -> str:
    return f"{source}: {value!r:.100}: {allowed}"


def _unknown(source: str, what: str, name: str, known: Iterable[str]) -> str:
    bare = {one.removeprefix("HUBBUB_").lower(): one for one in known}
    close = difflib.get_close_matches(name.removeprefix("HUBBUB_").lower(), bare, n=1)
    advice = f"did you mean {bare[close[0]]}?" if close else "see hubbub --help"
    return f"{source:.100}: no such {what}: {advice}"
