"""The parts of the docs that the code holds already: `python -m tests.docs` writes them into the pages.

Each part stands between `<!-- generated: NAME -->` and `<!-- end -->`. A quick test (tests/test_docs.py)
compares every page with what would be written, so that a page cannot fall behind the code.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple, get_args, get_type_hints

from cyclopts import Parameter

from hub.cli import bench
from hub.config.settings import Settings
from hub.config.values import AUTO_FLAG, FLAG, Kind
from hub.control.snapshots import ClientRow, ClosedClient, Record, RoomRow, Summary
from hub.modes.commands import TABLE

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
ANSWERS: Mapping[str, type[Record]] = {
    "/api/summary": Summary,
    "/api/clients": ClientRow,
    "/api/closed": ClosedClient,
    "/api/rooms": RoomRow,
}
WORKLOADS: Mapping[str, type] = {
    "echo": bench.EchoFlags,
    "fanout": bench.FanoutFlags,
    "stalled": bench.StalledFlags,
    "mixed": bench.MixedFlags,
    "storm": bench.StormFlags,
    "idle": bench.IdleFlags,
}


class Flag(NamedTuple):
    """One setting as a user meets it: its flag, what it takes, its default and its help."""

    name: str
    kind: Kind
    default: object
    help: str


def flags(of: type = Settings) -> Iterator[Flag]:
    """Every field of Settings, or of what a workload takes; the help is the text below the field."""
    hints = get_type_hints(of, include_extras=True)
    source = "".join(inspect.getsource(part) for part in reversed(of.__mro__) if part is not object)
    found = re.findall(r'^    (\w+): .*?"""(.*?)"""', source, re.DOTALL | re.MULTILINE)
    helps = {name: " ".join(text.split()) for name, text in found}
    for field in fields(of):
        parameter = get_args(hints[field.name])[1]
        assert isinstance(parameter, Parameter)
        assert parameter.name is not None and isinstance(parameter.converter, Kind)
        yield Flag(parameter.name[0], parameter.converter, field.default, helps[field.name])


def flag_table() -> str:
    """One row for each setting."""
    return "| flag | default | |\n|---|---|---|\n" + "".join(map(_flag_row, flags()))


def _flag_row(flag: Flag) -> str:
    shown = (
        f"`{flag.name}`, `--no-{flag.name[2:]}`"
        if flag.kind in (AUTO_FLAG, FLAG)
        else f"`{flag.name} {flag.kind.metavar}`"
    )
    return f"| {_code(shown)} | {_text(flag.kind.show(flag.default))} | {_text(flag.help)} |\n"


def workload_table() -> str:
    """A row for each flag of the workloads; several where its default differs."""
    workloads: dict[Flag, list[str]] = {}
    for name, of in WORKLOADS.items():
        for flag in flags(of):
            workloads.setdefault(flag, []).append(name)
    rows = (_workload_row(flag, names) for flag, names in workloads.items())
    return "| flag | default | workloads | |\n|---|---|---|---|\n" + "".join(rows)


def _workload_row(flag: Flag, workloads: list[str]) -> str:
    shown = f"{flag.name} {flag.kind.metavar}".rstrip()
    where = "all" if workloads == [*WORKLOADS] else ", ".join(workloads)
    return f"| `{shown}` | {_text(flag.kind.show(flag.default))} | {where} | {_text(flag.help)} |\n"


def command_table() -> str:
    """One row for each command of chat."""
    rows = (f"| {_code(f'`/{row.name} {row.arguments}'.rstrip())}` | {_text(row.help)} |\n" for row in TABLE)
    return "| command | |\n|---|---|\n" + "".join(rows)


def field_table() -> str:
    """The names in each JSON answer. `in` is a keyword, so its field has another name in the code."""
    rows = (
        f"| `{path}` | {', '.join(f'`{name}`' for name in names(of))} |\n" for path, of in ANSWERS.items()
    )
    return "| answer | fields |\n|---|---|\n" + "".join(rows)


def names(record: type[Record]) -> tuple[str, ...]:
    """The names of a record's fields as they stand in JSON."""
    return record.__struct_encode_fields__


def _code(text: str) -> str:
    """What stands between backquotes in a cell of a table."""
    return text.replace("|", "\\|")


def _text(text: str) -> str:
    """What stands in a cell as it is: no tag, no emphasis."""
    return _code(text.replace("<", "&lt;").replace("*", "\\*"))


PARTS: Mapping[str, Callable[[], str]] = {
    "flags": flag_table,
    "workloads": workload_table,
    "commands": command_table,
    "fields": field_table,
}


def written(text: str) -> str:
    """A page with its generated parts as the code has them now. KeyError names a part that nobody makes."""
    return PART.sub(lambda found: found[1] + PARTS[found[2]]() + found[3], text)


def pages() -> list[Path]:
    """Every page that has such a part."""
    return [path for path in sorted(DOCS.rglob("*.md")) if PART.search(path.read_text())]


if __name__ == "__main__":
    for page in pages():
        page.write_text(written(page.read_text()))
        print(page.relative_to(ROOT))
