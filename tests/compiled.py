"""Runs tests on the files of a wheel: `python -m tests.compiled dist/hubbub-*.whl [pytest's arguments]`.

A checkout never holds a binary, so the tests get a folder of their own: the files of the wheel as they stand
side by side in a checkout, with a copy of the tests beside them. The run fails where the hub that it imports
is not the compiled one (tests/conftest.py).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
APP: Final = "hubbub/_app"
BESIDE: Final = ("tests", "docs", "deploy", "pyproject.toml", "README.md")
"""What the tests need of a checkout besides the packages."""


def lay_out(wheel: Path, folder: Path) -> None:
    """Make a checkout of a wheel, in this folder."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    for path in (folder / APP).iterdir():
        path.rename(folder / path.name)
    (folder / APP).rmdir()
    for name in BESIDE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def main(arguments: Sequence[str]) -> int:
    """The command line; the exit code is pytest's."""
    wheel, *options = arguments
    with tempfile.TemporaryDirectory(prefix="hubbub-compiled-") as folder:
        lay_out(Path(wheel), Path(folder))
        environment = os.environ | {"TESTED_BUILD": "compiled", "TESTED_WHEEL": str(Path(wheel).resolve())}
        command = [sys.executable, "-P", "-m", "pytest", *options]
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
