"""The build hook of the wheel: the packages of the loop are compiled by mypyc, from the same source.

A checkout and an editable install stay interpreted. Only HUBBUB_PURE=1, or a machine without a C compiler,
gives a pure wheel; any other failure fails the build. mypycify is called here and not by way of a plugin,
because the plugin for hatch was last released in 2023.
"""

import os
import shlex
import shutil
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from itertools import chain
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution
from setuptools.command.build_ext import build_ext

PACKAGES = ("net", "protocol", "rooms", "session", "modes", "loop")
IN_WHEEL = "hubbub/_app"


class CompileHook(BuildHookInterface[Any]):
    """What hatchling calls before it packs a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the compiled modules to the wheel, beside the source that tracebacks quote."""
        if version == "editable" or os.environ.get("HUBBUB_PURE") == "1":
            return
        if not has_compiler():
            print("hubbub: no C compiler is here, so the wheel is pure: the hub is slower", file=sys.stderr)
            return
        require_headers()
        self._work = tempfile.TemporaryDirectory(prefix="hubbub-build-")
        folder = Path(self._work.name)
        shutil.copytree(Path(self.root) / "hub", folder / "hub", ignore=shutil.ignore_patterns("__pycache__"))
        for binary in compiled(folder):
            build_data["force_include"][str(binary)] = f"{IN_WHEEL}/{binary.relative_to(folder / 'out')}"
        build_data["pure_python"], build_data["infer_tag"] = False, True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel is packed."""
        if hasattr(self, "_work"):
            self._work.cleanup()


def has_compiler() -> bool:
    """Whether the compiler that extensions of this Python are built with can be run."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "")
    return bool(command) and shutil.which(command[0]) is not None


def require_headers() -> None:
    """FileNotFoundError where extensions of this Python cannot be compiled though a compiler is here."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        hint = "install them (Debian: python3-dev), or set HUBBUB_PURE=1 for a slower hub"
        raise FileNotFoundError(f"{header}: the headers of Python are missing; {hint}")


def compiled(folder: Path) -> list[Path]:
    """Compile the source in `folder`; the shared libraries, under `out` as they stand below the source."""
    from mypyc.build import mypycify

    with chdir(folder):
        # The interpreter's own flags ask for debug information, which takes a third of the time.
        os.environ["CFLAGS"] = f"{os.environ.get('CFLAGS', '')} -g0"
        modules = [str(path) for name in PACKAGES for path in sorted(Path("hub", name).glob("[!_]*.py"))]
        # What only the pure packages import need not be installed to build.
        options = ["--ignore-missing-imports", *modules]
        command = Build(
            Distribution(
                {
                    "name": "hub",
                    "ext_modules": mypycify(options, opt_level="1", multi_file=True, group_name="hub"),
                }
            )
        )
        command.build_lib, command.build_temp = "out", "objects"
        command.ensure_finalized()
        command.run()
    return sorted((folder / "out").rglob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"))


class Build(build_ext):
    """Compiles as many files at once as there are processors: nearly all are of one extension."""

    def build_extensions(self) -> None:
        """As inherited, but for how the files of one extension are compiled."""
        one_by_one = self.compiler.compile

        def at_once(sources: list[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                return list(chain(*pool.map(lambda source: one_by_one([source], **options), sources)))

        self.compiler.compile = at_once
        super().build_extensions()
