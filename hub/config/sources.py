"""Where a value comes from besides the flags: a variable HUBBUB_* or a line of hubbub.toml.

`Sources` is the hook by which cyclopts gets these two layers, so that all three meet the same kinds of
value (hub/config/settings.py), and a wrong one is named even where a stronger source hides it. Whatever is
wrong is one line, `source: value: what is allowed`.
"""

import difflib
import errno
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cyclopts
from cyclopts import Argument, CycloptsError, Token

from hub.config.not_included import meant, not_included
from hub.config.service_links import is_service_link
from hub.config.settings import Conflict
from hub.config.values import Kind

CONFIG_FILE = "hubbub.toml"
_SECRET = re.compile(r"//[^/@]*@")
FLAGS_ONLY = ("url", "ready")
"""No settings of a hub: what one question of `hubbub health` is about."""

_FILE_BYTES = 1 << 20
_FIRST_WORD = "serve, demo, client, health or bench, as the first word; see hubbub --help"


@dataclass(frozen=True, slots=True)
class Sources:
    """Environment and file, given to cyclopts after the flags. Raises CycloptsError with the whole line.

    A variable that is empty, or blank, is as if it were not set: a template or a container that passes
    variables on sets them all. What Kubernetes sets is none of ours (hub/config/service_links.py).
    """

    environment: Mapping[str, str]

    def __call__(self, app: object, commands: object, arguments: cyclopts.ArgumentCollection) -> None:
        """Fill in what the flags left open, and check all of it."""
        by_key = {a.name.removeprefix("--"): a for a in arguments if isinstance(a.parameter.converter, Kind)}
        for key in FLAGS_ONLY:
            by_key.pop(key, None)
        if "config" in by_key:  # Only serve has settings, and health looks for the page of such a hub.
            self._from_environment(by_key)
            _from_file(by_key, by_key.pop("config"))

    def _from_environment(self, by_key: Mapping[str, Argument]) -> None:
        variables = {"HUBBUB_" + key.upper().replace("-", "_"): argument for key, argument in by_key.items()}
        for name, value in sorted(self.environment.items()):
            if name.startswith("HUBBUB_") and value.strip() and not is_service_link(name, value):
                if name not in variables:
                    raise CycloptsError(_unknown(name, "variable", variables))
                _offer(variables[name], name, value)


def _from_file(by_key: Mapping[str, Argument], config: Argument) -> None:
    path, source = CONFIG_FILE, None
    if config.tokens:
        path, source = config.tokens[0].value, config.tokens[0].keyword
    given = set[str]()
    for name, value in _read_file(path, source).items():
        key = name.replace("_", "-")
        if key not in by_key:
            raise CycloptsError(f"{path}: {_unknown(name, 'key', by_key)}")
        if key in given:
            raise CycloptsError(_wrong(f"{path}: {name}", value, "each key once"))
        given.add(key)
        _offer(by_key[key], f"{path}: {name}", value)


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


def _read_file(path: str, source: str | None) -> dict[str, object]:
    """The keys of a TOML file. With no `source`, nobody named it and it may be absent."""
    try:
        with open(path, "rb") as file:
            data = file.read(_FILE_BYTES + 1)
        if len(data) > _FILE_BYTES:
            raise OSError(errno.EFBIG, "larger than 1MiB")
        return tomllib.loads(_text(data))
    except OSError as error:
        if not source and isinstance(error, FileNotFoundError):
            return {}
        allowed = f"a file that can be read ({error.strerror})"
        if not source:  # A working directory that may not be entered may hold one.
            allowed += "; --config names another, --config /dev/null none"
        raise CycloptsError(_wrong(source or path, path, allowed)) from None
    except (ValueError, RecursionError) as error:
        raise CycloptsError(f"{path}: not a TOML file: {error}") from None


def _text(data: bytes) -> str:
    """UTF-8, with the byte order mark that editors on Windows put before it or without. Raises ValueError.

    Some write UTF-16, of which every other byte of a letter, and so some byte of any TOML, is 0.
    """
    if b"\0" in data:
        raise ValueError("not UTF-8 but UTF-16, or no text at all: save it as UTF-8")
    return data.decode("utf-8-sig")


def explain(error: CycloptsError) -> str:
    """What cyclopts found wrong, as `source: value: what is allowed`."""
    match error:
        case cyclopts.ValidationError(argument=Argument() as root, __cause__=Conflict() as conflict):
            token = next(a.tokens[0] for a in root.children if a.name == conflict.flag)
            if not token.value:  # --no-self-echo is its own value.
                return f"{token.keyword}: {conflict.allowed}"
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
            return _unknown(flag, "flag", known)
        case cyclopts.UnusedCliTokensError(unused_tokens=[first, *_]) if first.startswith("-"):
            return _unknown(first, "flag", ())  # -6 might have been a number.
        case cyclopts.UnusedCliTokensError(unused_tokens=[first, *_]):
            after = " ".join(error.command_chain or ())
            allowed = "nothing more" if after else _FIRST_WORD
            return _wrong(after or "command", first, allowed)
    return str(error)


def _wrong(source: str | None, value: object, allowed: object) -> str:
    return f"{source}: {_shown(value)}: {allowed}"


def _shown(value: object) -> str:
    """A value of the file may be a number of more digits, or be nested deeper, than Python shows."""
    try:
        return _SECRET.sub("//...@", f"{value!r:.100}")
    except (ValueError, RecursionError):
        return "too much to show"


def _unknown(name: str, what: str, known: Iterable[str]) -> str:
    """What every name begins with is left out of the comparison, or it would make all names look alike."""
    bare = {_bare(one): one for one in known}
    same = meant(_bare(name))
    close = [same] if same in bare else difflib.get_close_matches(_bare(name), bare, n=1)
    advice = f"did you mean {bare[close[0]]}?" if close else "see hubbub --help"
    return f"{name:.100}: no such {what}: {not_included(_bare(name)) or advice}"


def _bare(name: str) -> str:
    return name.removeprefix("HUBBUB_").removeprefix("--").lower().replace("_", "-")
