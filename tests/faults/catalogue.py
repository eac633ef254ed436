"""All faults by id, and what of them no longer fits the sources."""

import ast
from collections.abc import Iterator
from functools import cache
from typing import Final

from tests.faults import cluster, famous, lifecycle, lines, turns
from tests.faults.edit import DoesNotApply, Fault, edited_sources
from tests.support import ROOT

FAULTS: Final[dict[str, Fault]] = {
    fault.id: fault
    for fault in (*famous.FAULTS, *lines.FAULTS, *lifecycle.FAULTS, *turns.FAULTS, *cluster.FAULTS)
}
PLANTED: Final = [fault for fault in FAULTS.values() if fault.tests]
"""Those that `make planted` plants in a copy of the sources."""


def misfits(fault: Fault) -> Iterator[str]:
    """What to repair in a fault: edits that do not apply, tests that do not exist or are long."""
    try:
        edited_sources(fault)
    except DoesNotApply as error:
        yield str(error)
    for test in fault.tests:
        path, _, name = test.partition("::")
        marks = _marks(path)
        if not marks or (name and name not in marks):
            yield f"{fault.id}: there is no {test}"
        elif "pytest.mark.long" in marks.get(name, ""):
            yield f"{fault.id}: not a quick test: {test}"


def listing() -> str:
    """The catalogue for people."""
    text = ""
    for fault in FAULTS.values():
        links = "".join(f"\n    https://github.com/{link}" for link in fault.links)
        text += f"{fault.id}: {fault.bug}{f' {fault.seen}' if fault.seen else ''}{links}\n"
    return text


@cache
def _marks(path: str) -> dict[str, str]:
    """The decorators of every test function in a file; empty where there is no such file."""
    file = ROOT / path
    body = ast.parse(file.read_text()).body if file.is_file() else []
    return {
        node.name: " ".join(map(ast.unparse, node.decorator_list))
        for node in body
        if isinstance(node, ast.FunctionDef)
    }
