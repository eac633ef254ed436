"""A planted bug and the tests that have to catch it, on a copy of the sources in a directory of its own."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT

TEST_S, TRIAL_S = 30, 150
"""A hub that spins or hangs is a failed test after the former; the latter is for what not even that ends."""
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".wheel", "dist", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info"
)
_FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/\S+\.py::.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it: the test that failed first, or none; `trouble` is why there is no answer."""

    test: str
    seconds: float
    trouble: str = ""


@contextmanager
def copy_of_the_sources() -> Iterator[Path]:
    """A directory with all that the tests need, and nothing of what they left behind."""
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        root = Path(folder) / "hubbub"
        shutil.copytree(ROOT, root, ignore=_LEFT_OUT)
        yield root


def compile_the_loop(root: Path) -> None:
    """Put the extensions that a wheel would have beside the sources there. Raises CalledProcessError.

    The build is a process of its own, because it changes its working directory.
    """
    work = root.with_name("build")
    shutil.copytree(root / "hub", work / "hub")
    code = "import pathlib, sys, hatch_build; hatch_build.compiled(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, work], cwd=root, check=True, capture_output=True, text=True)
    shutil.copytree(work / "out", root, dirs_exist_ok=True)


def run(root: Path, tests: Sequence[str], limit_s: float) -> Verdict:
    """The first of these tests that fails there. An order of chance would tell another one each time."""
    order = ["-p", "no:randomly", "-p", "no:cacheprovider", "-m", "not long", "--maxfail=1"]
    options = ["-q", "-rfE", "--tb=no", f"--timeout={TEST_S}", *order]
    started_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=root,
        env=os.environ
        | {
            "PYTHONPATH": str(root),
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "400",
            "TESTED_BUILD": "compiled" if list(root.glob("hub__mypyc*")) else "pure",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # Its own children are of its session.
        said, _ = process.communicate()
        return Verdict("", time.monotonic() - started_s, f"still running after {limit_s:g} s")
    return verdict_of(process.returncode, said, time.monotonic() - started_s)


def verdict_of(code: int, said: str, seconds: float) -> Verdict:
    """pytest ends with 0 when all passed, 1 when some failed, another number when it could not run them."""
    failed = _FAILED.search(said)
    if code == 1 and failed:
        return Verdict(failed[1], seconds)
    return Verdict("", seconds, "" if code == 0 else f"pytest ended with {code}: {said[-800:]}")
