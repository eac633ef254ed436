"""The wheel: what it adds to site-packages, and that it runs there beside others with names like ours."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import urllib.request
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from hub import BUILD, __version__
from tests.e2e.test_demo import wait_for_clients
from tests.support import PATIENCE_S, ROOT, HubProcess, interpreted_only

LAUNCHES = (
    ("bin/hubbub",),
    ("bin/python", "-m", "hubbub"),
    ("bin/python", "-I", "-m", "hubbub"),
    ("bin/python", "-P", "-m", "hubbub"),
)
each_launch = pytest.mark.parametrize("launch", LAUNCHES, ids=" ".join)
FOLDERS = ("hub", "web", "cluster", "bench", "static", "templates")
from_a_checkout = interpreted_only("what is built are the sources of a checkout")
OURS = "import sys; from hubbub.__main__ import main; sys.argv[1:] = ['--version']; "


class Home(NamedTuple):
    """A virtual environment."""

    root: Path

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        return next(self.root.glob("lib/*/site-packages"))

    def command(self, launch: Sequence[str]) -> list[str]:
        """A launch out of LAUNCHES, by its path."""
        return [str(self.root / launch[0]), *launch[1:]]

    def run(self, *launch: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        """What a command of this environment prints, on both streams; AssertionError where it fails."""
        done = subprocess.run(
            self.command(launch), cwd=cwd or self.root, env=env or {}, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    def pip(self, *arguments: str) -> None:
        """Run our pip for this environment."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.root / "bin/python"), "--quiet"]
        subprocess.run([*pip, *arguments], check=True, timeout=4 * PATIENCE_S)

    def files(self) -> set[str]:
        """Everything that lies in it, folders too, but for what an interpreter wrote of others' files."""
        found = {path.relative_to(self.root) for path in self.root.rglob("*")}
        return {str(path) for path in found if "__pycache__" not in path.parts or "hubbub" in path.parts}


def empty_home(root: Path) -> Home:
    """An environment that finds what hubbub depends on by a path, and so nothing of this checkout."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root)], check=True)
    home = Home(root)
    (home.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return home


def build(kind: str, source: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build the wheel or the sdist of the sources there into this folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    return subprocess.run(
        command, cwd=source, check=False, capture_output=True, text=True, timeout=6 * PATIENCE_S,
        env=os.environ | environment,
    )  # fmt: skip


def built(kind: str, source: Path, folder: Path, **environment: str) -> Path:
    """What was built: a wheel without compiled modules, or the sdist. AssertionError where it fails."""
    done = build(kind, source, folder, **{"HUBBUB_PURE": "1"} | environment)
    assert done.returncode == 0, done.stderr
    (archive,) = folder.iterdir()
    return archive


def tag_of(wheel: Path) -> str:
    """For which Pythons it is, by its name."""
    return wheel.stem.split("-", 2)[2]


def others(folder: Path) -> Path:
    """A module and packages of other projects with the names of ours, in this folder."""
    for name in ("hub", "bench"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"owner = 'the {name} of others'\n")
    (folder / "web.py").write_text("owner = 'the web of others'\n")
    return folder


def recorded(wheel: Path) -> list[str]:
    """Every path that a wheel's RECORD names."""
    with zipfile.ZipFile(wheel) as opened:
        (record,) = (name for name in opened.namelist() if name.endswith("/RECORD"))
        return [row.rsplit(",", 2)[0] for row in opened.read(record).decode().splitlines()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of the build that is tested; compiling it again would take as long as all else here."""
    if BUILD == "compiled":
        return Path(os.environ["TESTED_WHEEL"])
    return built("wheel", ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Sources with hubbub's own build, and a single short module to compile."""
    root = tmp_path / "small"
    for name in FOLDERS:
        (root / name).mkdir(parents=True)
    shutil.copytree(ROOT / "hubbub", root / "hubbub")
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "hub/__init__.py"):
        shutil.copy(ROOT / name, root / name)
    (root / "hub/net").mkdir()
    (root / "hub/net/__init__.py").touch()
    (root / "hub/net/short.py").write_text("def double(number: int) -> int:\n    return 2 * number\n")
    return root


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """An environment with the wheel beside the packages of others."""
    home = empty_home(tmp_path_factory.mktemp("home"))
    others(home.packages)
    home.pip("install", "--no-index", "--no-deps", str(wheel))
    return home


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A working directory with files of these names as well."""
    return others(tmp_path)


@pytest.mark.promise("wheel-one-name")
def test_the_wheel_adds_one_name_to_site_packages(wheel: Path) -> None:
    names = {path.partition("/")[0] for path in recorded(wheel)}
    assert names == {"hubbub", f"hubbub-{__version__}.dist-info"}


def test_the_name_of_the_wheel_and_the_hub_say_which_build(wheel: Path, home: Home) -> None:
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    names = {"pure": "py3-none-any", "compiled": f"{python}-{python}-linux_{os.uname().machine}"}
    assert tag_of(wheel) == names[BUILD]
    assert home.run("bin/hubbub", "--version") == f"hubbub {__version__} ({BUILD})\n"


@from_a_checkout
@pytest.mark.parametrize(
    "environment", [{"HUBBUB_PURE": "1"}, {"HUBBUB_PURE": "", "CC": "/nonexistent/cc -pthread"}], ids=str
)
def test_without_a_compiler_or_on_request_the_wheel_is_pure(
    small: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    wheel = built("wheel", small, tmp_path / "dist", **environment)
    assert tag_of(wheel) == "py3-none-any"
    assert [name for name in recorded(wheel) if name.endswith(".so")] == []


@from_a_checkout
def test_a_compiler_that_fails_fails_the_build(small: Path, tmp_path: Path) -> None:
    done = build("wheel", small, tmp_path / "dist", HUBBUB_PURE="", CC="false")
    assert done.returncode != 0 and "CompileError" in done.stderr, done.stderr
    assert not (tmp_path / "dist").exists() or [*(tmp_path / "dist").iterdir()] == []


@from_a_checkout
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_a_wheel_has_each_compiled_module_beside_its_source(small: Path, tmp_path: Path) -> None:
    wheel = built("wheel", small, tmp_path / "dist", HUBBUB_PURE="")
    assert tag_of(wheel).startswith("cp3")
    binaries = {name.partition(".")[0] for name in recorded(wheel) if name.endswith(".so")}
    assert binaries == {"hubbub/_app/hub/net/short", "hubbub/_app/hub__mypyc"}
    assert "hubbub/_app/hub/net/short.py" in recorded(wheel)


@from_a_checkout
def test_the_sdist_makes_a_wheel_of_all_its_folders(tmp_path: Path) -> None:
    with tarfile.open(built("sdist", ROOT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    sources = tmp_path / f"hubbub-{__version__}"
    files = [path.relative_to(sources) for path in sources.rglob("*") if path.is_file()]
    ours = {f"hubbub/_app/{path}" for path in files if path.parts[0] in FOLDERS}
    packed = {path for path in recorded(built("wheel", sources, tmp_path / "dist")) if "_app" in path}
    assert packed == ours
    assert {"deploy", "tests", "docs"} <= {path.parts[0] for path in files}


@each_launch
@pytest.mark.parametrize("safe_path", ["", "1"], ids=["path", "safe path"])
def test_an_installed_hubbub_runs_among_files_of_its_names(
    home: Home, elsewhere: Path, launch: Sequence[str], safe_path: str
) -> None:
    env = {"PYTHONSAFEPATH": safe_path, "PYTHONPATH": str(elsewhere)}
    assert home.run(*launch, "--version", cwd=elsewhere, env=env) == f"hubbub {__version__} ({BUILD})\n"


@pytest.mark.promise("wheel-one-name")
def test_an_import_of_hubbub_leaves_the_names_to_others(home: Home) -> None:
    program = "import hubbub, hubbub.__main__, web, hub, bench; print(web.owner, hub.owner, bench.owner)"
    assert (
        home.run("bin/python", "-c", program) == "the web of others the hub of others the bench of others\n"
    )


def test_names_imported_before_the_command_starts_do_no_harm(home: Home) -> None:
    """As a .pth file and a sitecustomize may do."""
    program = f"import web, hub, bench; {OURS}main()"
    assert home.run("bin/python", "-c", program) == f"hubbub {__version__} ({BUILD})\n"


@pytest.mark.promise("wheel-one-name")
@pytest.mark.parametrize("launch", [LAUNCHES[0], LAUNCHES[2]], ids=" ".join)
def test_an_installed_demo_has_its_page_and_clients(
    home: Home, elsewhere: Path, launch: Sequence[str]
) -> None:
    options = {"program": home.command(launch), "cwd": elsewhere, "env": {"PYTHONSAFEPATH": "1"}}
    with HubProcess(command="demo", stderr=subprocess.PIPE, **options) as hub:
        wait_for_clients(hub)
        with urllib.request.urlopen(hub.url, timeout=PATIENCE_S) as page:
            assert b"hubbub.css" in page.read()
        assert home.run(*launch, "health", "--url", hub.url).startswith("hubbub: well")
        assert hub.stop() == 0
        assert "hubbub: demo:" not in hub.log()


def test_a_folder_named_by_a_relative_path_has_its_demo(wheel: Path, tmp_path: Path) -> None:
    """As after `pip install --target lib`: the child gets by though its parent was found from here."""
    home = empty_home(tmp_path / "home")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "lib")
    launch = home.command(LAUNCHES[1])
    with HubProcess(program=launch, command="demo", cwd=tmp_path, env={"PYTHONPATH": "lib"}) as hub:
        wait_for_clients(hub)


@pytest.mark.promise("wheel-one-name")
def test_an_uninstall_leaves_nothing_and_others_unharmed(wheel: Path, tmp_path: Path) -> None:
    home = empty_home(tmp_path)
    others(home.packages)
    before = home.files()
    home.pip("install", "--no-index", "--no-deps", str(wheel))
    home.run("bin/hubbub", "--version")
    home.pip("uninstall", "--yes", "hubbub")
    assert home.files() == before


@pytest.mark.long
@pytest.mark.parametrize("first", ["hubbub", "others"])
@pytest.mark.parametrize("gone", ["hubbub", "others"])
def test_web_py_and_the_package_hub_share_an_environment(
    wheel: Path, published: Sequence[str], first: str, gone: str, tmp_path: Path
) -> None:
    home, other = empty_home(tmp_path / "both"), empty_home(tmp_path / "one")
    parts = {"hubbub": [str(wheel)], "others": published}
    for name in sorted(parts, reverse=first == "others"):
        home.pip("install", "--no-index", "--no-deps", *parts[name])
    assert home.run("bin/hubbub", "--version") == f"hubbub {__version__} ({BUILD})\n"
    stays = "others" if gone == "hubbub" else "hubbub"
    home.pip("uninstall", "--yes", *({"hubbub": ["hubbub"], "others": ["web.py", "hub"]}[gone]))
    other.pip("install", "--no-index", "--no-deps", *parts[stays])
    assert home.files() == other.files()
    if stays == "hubbub":
        assert home.run("bin/hubbub", "--version") == f"hubbub {__version__} ({BUILD})\n"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Sequence[str]:
    """The wheels of the two projects whose names ours were; skipped where the index cannot be reached."""
    folder = tmp_path_factory.mktemp("published")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(folder)]
    if subprocess.run([*command, "web.py", "hub"], check=False).returncode:
        pytest.skip("web.py and hub cannot be had")
    return [str(path) for path in sorted(folder.iterdir())]
