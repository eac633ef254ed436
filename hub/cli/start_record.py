"""The first record of the log: which hub this is, where it listens, and how it is set."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, cast, get_type_hints

from cyclopts import Parameter

from hub import BUILD, __version__
from hub.config.settings import Settings
from hub.config.values import Kind


def start_record(
    settings: Settings, listeners: Iterable[tuple[str, Sequence[str]]], page_url: str
) -> dict[str, Any]:
    """The fields of `started`: every port with its addresses, every setting that is not the default one."""
    ports = {f"{kind.replace('-', '_')}_port_on": ",".join(found) for kind, found in listeners}
    page = {"page_on": page_url} if page_url else {}
    which = {"version": __version__, "build": BUILD, "pid": os.getpid()}
    return {**which, **ports, **page, **changed(settings)}


def changed(settings: Settings) -> dict[str, str]:
    """What differs from the default, by the name of the flag and as a user types it."""
    usual, hints = type(settings)(), get_type_hints(type(settings), include_extras=True)
    told: dict[str, str] = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if value != getattr(usual, field.name):
            parameter: Parameter = hints[field.name].__metadata__[0]
            kind = cast(Kind, parameter.converter)
            [name] = parameter.name or ()
            told[name.removeprefix("--").replace("-", "_")] = kind.show(value)
    return told
