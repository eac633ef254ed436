"""Run the tests that hold the promises, and write docs/guarantees.md.

python -m tests.guarantees --run quick            the quick ones, with two workers; --run long: the others
python -m tests.guarantees --report junit.xml     take the results of a run made in another way
python -m tests.guarantees --report 1.xml --report 2.xml    of one made in slices, all of them at once
python -m tests.guarantees --figures "make soak" soak.json    what a command printed: an object of figures
python -m tests.guarantees                        write the page anew from what is known

What was not run keeps its last result and date (tests/guarantees/results.json).
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.guarantees.page import page
from tests.guarantees.promises import ROOT, areas, named_tests
from tests.guarantees.results import Result, load, read, save

PAGE = ROOT / "docs" / "guarantees.md"
MARKERS = {
    "quick": ["-m", "not long and not docker", "-n", "2"],
    "long": ["-m", "long and not docker"],
    "docker": ["-m", "docker"],
}


def main() -> int:
    """Exit code 1 when a test of these failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.guarantees", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--run", choices=MARKERS)
    parser.add_argument("--report", type=Path, action="append", default=[])
    parser.add_argument("--figures", nargs=2, metavar=("COMMAND", "FILE"), action="append", default=[])
    parser.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat())
    given = parser.parse_args()
    known, promised = load(), areas()
    wanted = set(named_tests(promised))
    with tempfile.TemporaryDirectory() as folder:
        reports = list(given.report)
        if given.run:
            reports.append(Path(folder) / "report.xml")
            _run(sorted(wanted), given.run, reports[-1])
        known |= {name: result for name, result in read(reports, given.date).items() if name in wanted}
    for command, file in given.figures:
        figures = {name: str(value) for name, value in json.loads(Path(file).read_text()).items()}
        known[command] = Result(figures.pop("passed", "True") == "True", given.date, figures=figures)
    commands = {command for area in promised for promise in area.promise for command in promise.commands}
    known = {name: result for name, result in known.items() if name in wanted | commands}
    save(known)
    PAGE.write_text(page(promised, known))
    failed = [name for name, result in known.items() if not result.passed]
    missing = sorted((wanted | commands) - known.keys())
    print(f"{PAGE.relative_to(ROOT)}: {len(known)} results, {len(missing)} not run yet, {len(failed)} failed")
    for name in failed:
        print("failed:", name)
    for name in missing[:10]:
        print("not run:", name)
    return bool(failed)


def _run(tests: list[str], kind: str, report: Path) -> None:
    """These, with pytest; its exit code is not looked at, as the report says more."""
    command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", *MARKERS[kind], *tests]
    subprocess.run(command, cwd=ROOT, check=False)


if __name__ == "__main__":
    sys.exit(main())
