"""The promises and the tests that hold them: `python -m tests.promises` writes docs/guarantees.md.

A promise is an id and a sentence in promises.toml. A test holds it with `@pytest.mark.promise("id")`; a
command holds it where [commands] says so. The markers are read from the syntax trees, so no test runs.
"""

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PAGE = ROOT / "docs" / "guarantees.md"
HEAD = """\
# What is promised, and the tests that hold it

`make guarantees` writes this page from `tests/promises.toml` and from the tests marked
`@pytest.mark.promise`. What a user may rely on stands in full in
[reference](reference/line-protocol.md) and [operate](operate/limits.md).
"""


@dataclass(frozen=True)
class Promises:
    """`areas`: title, id and sentence, in the order of the page; `commands`: an id and the command."""

    areas: Mapping[str, Mapping[str, str]]
    commands: Mapping[str, str]

    def ids(self) -> list[str]:
        return [id for sentences in self.areas.values() for id in sentences]


def load(file: Path = HERE / "promises.toml") -> Promises:
    areas = tomllib.loads(file.read_text())
    return Promises(commands=areas.pop("commands", {}), areas=areas)


def marks(source: str) -> Iterator[str]:
    """The ids of the markers in the source of a test module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.promise":
            yield ast.literal_eval(node.args[0])


@cache
def marked(folder: Path = HERE) -> Mapping[str, Set[Path]]:
    """The test modules that carry a marker, by id."""
    found: dict[str, set[Path]] = defaultdict(set)
    for path in folder.rglob("*.py"):
        for id in marks(path.read_text()):
            found[id].add(path)
    return found


def page(promises: Promises, modules: Mapping[str, Set[Path]]) -> str:
    """docs/guarantees.md as Markdown."""
    text = HEAD
    for title, sentences in promises.areas.items():
        text += f"\n## {title}\n\n| promise | tests |\n|---|---|\n"
        for id, sentence in sentences.items():
            held = [_link(path) for path in sorted(modules.get(id, set()))]
            held += [f"`{promises.commands[id]}`"] if id in promises.commands else []
            text += f"| {sentence} | {' '.join(held)} |\n"
    return text


def _link(path: Path) -> str:
    name = path.relative_to(HERE)
    return f"[{name.parent / name.stem.removeprefix('test_')}](../tests/{name})"


if __name__ == "__main__":
    PAGE.write_text(page(load(), marked()))
