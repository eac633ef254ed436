"""Plant every bug, each in a copy of its own, and see which test catches it: `python -m tests.planted`.

Exit code 1 when one is not caught or its patch does not apply, or when a test fails without any.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tests.planted.patches import DoesNotApply, Patch, load_all
from tests.planted.trial import TRIAL_S, Verdict, attempt, copy_of_the_sources, run
from tests.support import ROOT

PAGE = ROOT / "docs" / "planted.md"
_HEAD = """# Planted bugs

Famous bugs of event-loop servers, each made on purpose in this one (`tests/planted/`), and the quick test
that catches it. `make planted` plants each in a copy of its own; `python -m tests.planted --write` makes this
page.

| | the bug | what a user would see | caught by |
|---|---|---|---|
"""


def unpatched(patches: Sequence[Patch]) -> Verdict:
    """All the named tests with no bug planted."""
    tests = sorted({test for patch in patches for test in patch.tests})
    with copy_of_the_sources() as root:
        return run(root, tests, 2 * TRIAL_S)


def try_one(patch: Patch) -> Verdict:
    """The verdict, told as soon as it is there."""
    try:
        verdict = attempt(patch)
    except DoesNotApply as error:
        verdict = Verdict("", 0.0, f"does not apply: {error}")
    caught = f"caught by {verdict.test}" if verdict.test else f"NOT CAUGHT {verdict.trouble}"
    print(f"{patch.name:34} {verdict.seconds:5.1f} s  {caught}", flush=True)
    return verdict


def page(patches: Sequence[Patch], verdicts: Sequence[Verdict], last_line: str) -> str:
    """docs/planted.md. Only its last line changes when nothing else does."""
    rows = ""
    for patch, verdict in zip(patches, verdicts, strict=True):
        links = " ".join(f"[{number}]({link})" for number, link in enumerate(patch.famous, 1))
        what = f"**{patch.bug}.** {patch.mistake} {links}"
        test = f"`{verdict.test.partition('[')[0]}`" if verdict.test else "nothing"
        rows += f"| {patch.name[:2]} | {what} | {patch.seen} | {test} |\n"
    return f"{_HEAD}{rows}\n{last_line}\n"


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=str(__doc__).split("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    parser.add_argument("--at-once", type=int, default=2, help="how many at a time")
    parser.add_argument("only", nargs="*", help="numbers or names of patches; all of them without")
    options = parser.parse_args(arguments)
    patches = [patch for patch in load_all() if _is_meant(patch, options.only)]
    started_s = time.monotonic()
    with ThreadPoolExecutor(options.at_once) as pool:
        sound = pool.submit(unpatched, patches)
        verdicts = list(pool.map(try_one, patches))
    without = sound.result()
    if without.test or without.trouble:
        print(f"fails with no bug planted: {without.test} {without.trouble}")
    caught, seconds = sum(bool(verdict.test) for verdict in verdicts), time.monotonic() - started_s
    print(f"{caught} of {len(patches)} caught, in {seconds:.0f} s")
    if options.write and not options.only:
        day = datetime.now(UTC).date()
        PAGE.write_text(page(patches, verdicts, f"Last run: {day}, {caught} of {len(patches)} caught."))
    return 0 if caught == len(patches) and not (without.test or without.trouble) else 1


def _is_meant(patch: Patch, only: Sequence[str]) -> bool:
    return not only or any(patch.name.startswith(name) for name in only)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
