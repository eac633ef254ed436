"""Patch files: what each says of its bug, and how it is applied.

A patch is a unified diff behind a few `Key: text` lines. It is applied by what it says, not by where: the
lines that a hunk takes away, with the context around them, have to stand in the file exactly once. So the
numbers in a hunk's header never go stale, and an edit somewhere else in the file disturbs nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
_KEYS = ("Bug", "Mistake", "Famous", "Seen", "Tests")
_HUNK = re.compile(r"^@@ .*$", re.MULTILINE)


class DoesNotApply(Exception):
    """The sources have changed under a patch."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines of one file, and what they become."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Patch:
    """One planted bug. `famous` are links; `tests` are test files or node ids of the quick set."""

    name: str
    bug: str
    mistake: str
    famous: tuple[str, ...]
    seen: str
    tests: tuple[str, ...]
    hunks: tuple[Hunk, ...]

    def apply(self, root: Path) -> None:
        """Change the files under `root`. Raises DoesNotApply."""
        for hunk in self.hunks:
            path = root / hunk.path
            text = path.read_text()
            count = text.count(hunk.old)
            if count != 1:
                raise DoesNotApply(f"{self.name}: found {count} times in {hunk.path}:\n{hunk.old}")
            path.write_text(text.replace(hunk.old, hunk.new))


def load(path: Path) -> Patch:
    """Read one patch file. Raises ValueError where it is not written as it should be."""
    head, _, diff = path.read_text().partition("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    if tuple(fields) != _KEYS:
        raise ValueError(f"{path.name}: has to begin with {', '.join(_KEYS)}")
    hunks = tuple(hunk for part in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:] for hunk in _hunks(part))
    famous, tests = tuple(fields["Famous"].split()), tuple(fields["Tests"].split())
    return Patch(path.stem, fields["Bug"], fields["Mistake"], famous, fields["Seen"], tests, hunks)


def load_all(folder: Path = HERE) -> list[Patch]:
    """All of them, in order."""
    return [load(path) for path in sorted(folder.glob("*.patch"))]


def _hunks(part: str) -> list[Hunk]:
    """What one file's part of a diff, behind its `--- `, comes to."""
    head, *bodies = _HUNK.split(part)
    path = head.split("\n+++ b/", 1)[1].strip()
    return [Hunk(path, _side(body, "-"), _side(body, "+")) for body in bodies]


def _side(body: str, sign: str) -> str:
    lines = body.removesuffix("\n").split("\n")[1:]
    lines = [line or " " for line in lines]  # Editors take the blank off an empty line of context.
    return "".join(f"{line[1:]}\n" for line in lines if line[0] in (" ", sign))
