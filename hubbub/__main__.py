"""The command `hubbub`, `python -m hubbub` and, run by its path, the start of the programs in bench.

The wheel carries the packages hub, web, cluster and bench in the private folder `_app`, because others have
packages of these names in site-packages. In a checkout they stand beside this package. Only `main` puts
that folder on sys.path, so that `import hubbub; import web` in another program gives the other's web.
"""

import runpy
import sys
from pathlib import Path
from typing import Final, NoReturn

HERE: Final = Path(__file__).absolute().parent
APP: Final = HERE / "_app" if (HERE / "_app").is_dir() else HERE.parent
PACKAGES: Final = ("hub", "web", "cluster", "bench")
PROGRAMS: Final = {"made-up-clients": "bench.demo", "measured-load": "bench.load"}
"""The first arguments with which `hubbub demo` starts its child and `hubbub bench` goes on."""


def main() -> NoReturn:
    """Run the command line of this process to its end."""
    claim(PACKAGES)
    if program := PROGRAMS.get("".join(sys.argv[1:2])):
        del sys.argv[1]
        runpy.run_module(program, run_name="__main__")
        sys.exit()
    from hub.cli.main import main

    main()


def claim(packages: tuple[str, ...]) -> None:
    """Make these names mean the packages in APP, whatever stands elsewhere on the path.

    A sitecustomize or a .pth file may have imported another `web` before. Its importer keeps it; the name
    is ours from here on, for this process is a program and no library.
    """
    sys.path.insert(0, str(APP))
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]


if __name__ == "__main__":
    main()
