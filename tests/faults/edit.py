"""A fault: edits of functions that are found by name, and the two ways to apply them.

`write` changes a copy of the source tree. `put_in_place` changes the running process for the time of a test:
the edited module is compiled, and each edited function gets its new code object. The function stays the same
object, so every import, property and bound method of it changes too. Functions of compiled extensions have no
code object; only `write` reaches them.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import NamedTuple

import pytest

from tests.support import ROOT


class DoesNotApply(Exception):
    """The sources have changed under a fault; the message names the fault, the function and the snippet."""


class Edit(NamedTuple):
    """One change of one function.

    `old` occurs exactly once in the function's source and has no blank lines; the further lines of `old` and
    `new` are indented relative to the line on which `old` begins. Where `old` is empty, `new` becomes the
    first statement of the function.
    """

    module: str
    function: str
    """The qualified name, as `Class.method`."""
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One bug. `tests` are node ids of quick tests that fail with it; `violation` is for the simulator."""

    id: str
    bug: str
    edits: tuple[Edit, ...]
    seen: str = ""
    """What a user would notice."""
    links: tuple[str, ...] = ()
    """Paths on github.com: where other projects had the same bug."""
    tests: tuple[str, ...] = ()
    violation: str | None = None
    """A pattern of what the simulator's checks say; "" matches anything; None: the simulator is not asked."""


def simulated(id: str, bug: str, *edits: Edit, violation: str = "") -> Fault:
    """A fault that the simulator's checks have to find."""
    return Fault(id=id, bug=bug, edits=edits, violation=violation)


def edited_sources(fault: Fault, root: Path = ROOT) -> dict[str, str]:
    """The edited source text of each module that the fault changes. Raises DoesNotApply."""
    sources: dict[str, str] = {}
    for edit in fault.edits:
        try:
            source = sources.get(edit.module) or path_of(edit.module, root).read_text()
            sources[edit.module] = _edited(edit, source)
            compile(sources[edit.module], edit.module, "exec", dont_inherit=True)
        except (OSError, SyntaxError, DoesNotApply) as error:
            message = f"{fault.id}: {edit.module}:{edit.function}: {error}\n    {edit.old or edit.new}"
            raise DoesNotApply(message) from None
    return sources


def write(fault: Fault, root: Path) -> None:
    """Apply a fault to the files under `root`. Raises DoesNotApply."""
    for module, source in edited_sources(fault, root).items():
        path_of(module, root).write_text(source)


def put_in_place(fault: Fault, patch: pytest.MonkeyPatch, root: Path = ROOT) -> None:
    """Apply a fault to this process until `patch` is undone. Raises DoesNotApply."""
    for name, source in edited_sources(fault, root).items():
        module = importlib.import_module(name)
        edited = _codes(compile(source, str(module.__file__), "exec", dont_inherit=True))
        for function in {edit.function for edit in fault.edits if edit.module == name}:
            live = _live(module, function)
            if not isinstance(live, FunctionType):
                raise DoesNotApply(f"{fault.id}: {name}:{function} has no code object")
            patch.setattr(live, "__code__", edited[function])


def path_of(module: str, root: Path = ROOT) -> Path:
    """The file of a module."""
    return root / f"{module.replace('.', '/')}.py"


def _edited(edit: Edit, source: str) -> str:
    nodes = [node for name, node in _functions(ast.parse(source)) if name == edit.function]
    if not nodes:
        raise DoesNotApply("there is no such function")
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    if not edit.old:
        body = nodes[0].body
        first = body[ast.get_docstring(nodes[0]) is not None and len(body) > 1]
        at, indent = starts[first.lineno - 1], " " * first.col_offset
        return f"{source[:at]}{indent}{_indented(edit.new, indent)}\n{source[at:]}"
    bounds = [(starts[node.lineno - 1], starts[node.end_lineno or 0]) for node in nodes]
    places = [place for start, stop in bounds for place in _places(edit.old, source, start, stop)]
    if len(places) != 1:
        raise DoesNotApply(f"the snippet occurs {len(places)} times")
    at, indent = places[0]
    return source[:at] + _indented(edit.new, indent) + source[at + len(_indented(edit.old, indent)) :]


def _functions(of: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(of):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node


def _places(old: str, source: str, start: int, stop: int) -> Iterator[tuple[int, str]]:
    """Each offset at which the snippet stands, with the indentation of the line on which it begins."""
    begin = re.compile(rf"(?<![\w.]){re.escape(old.partition(chr(10))[0])}")
    for found in begin.finditer(source, start, stop):
        line = source[source.rfind("\n", 0, found.start()) + 1 : found.start()]
        indent = line[: len(line) - len(line.lstrip())]
        if source.startswith(_indented(old, indent), found.start()):
            yield found.start(), indent


def _indented(snippet: str, indent: str) -> str:
    return snippet.replace("\n", f"\n{indent}")


def _codes(of: CodeType) -> dict[str, CodeType]:
    """The code of every function by qualified name; of a property that of its getter, which comes first."""
    found: dict[str, CodeType] = {}
    for code in of.co_consts:
        if isinstance(code, CodeType):
            for name, inner in {code.co_qualname: code, **_codes(code)}.items():
                found.setdefault(name, inner)
    return found


def _live(module: ModuleType, function: str) -> object:
    found: object = module
    for name in function.split("."):
        found = inspect.getattr_static(found, name)
    return found.fget if isinstance(found, property) else found
