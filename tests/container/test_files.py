"""Dockerfile, the compose files and what they are built from, read and held against each other.

No engine is needed here; test_compose.py and test_cluster.py beside this run what these files describe.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from hub.cli.health import LIMIT_S
from hub.config.settings import DESCRIPTOR_RESERVE, Settings
from hub.config.sources import CONFIG_FILE
from hub.config.values import TIMEOUT
from tests.docs import flags
from tests.support import ROOT

DEFAULTS = Settings()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE_FILE = ROOT / "docker-compose.yml"
CLUSTER_FILE = ROOT / "compose.cluster.yml"
FILES = [
    "Dockerfile", "docker-compose.yml", ".dockerignore", "constraints.txt",
    "compose.cluster.yml", "deploy/compose/Dockerfile",
]  # fmt: skip


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    services = YAML(typ="safe", pure=True).load(as_composed(COMPOSE_FILE.read_text()))["services"]
    assert list(services) == ["hub"]
    found: dict[str, Any] = services["hub"]
    return found


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    """The services of compose.cluster.yml."""
    text = as_composed(CLUSTER_FILE.read_text())
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(text)["services"]
    return found


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def as_composed(text: str) -> str:
    """What compose makes of ${NAME:-default} where no such variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def instructions(name: str) -> list[str]:
    """The arguments of every such instruction of the Dockerfile, continued lines joined."""
    text = DOCKERFILE.replace("\\\n", " ")
    return [" ".join(line.split()[1:]) for line in text.splitlines() if line.startswith(f"{name} ")]


def requirements(text: str) -> list[Requirement]:
    return [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]


# docker-compose.yml


@pytest.mark.parametrize("file", [COMPOSE_FILE, CLUSTER_FILE], ids=lambda file: file.name)
def test_a_compose_file_keeps_to_the_compose_specification(file: Path) -> None:
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    result = subprocess.run([*checker, str(file)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.promise("container-rights")
def test_every_default_port_is_published_and_only_on_loopback(service: dict[str, Any]) -> None:
    ports = (DEFAULTS.port, DEFAULTS.ws_port, DEFAULTS.web_port)
    assert service["ports"] == [f"127.0.0.1:{port}:{port}" for port in ports]


@pytest.mark.parametrize("name", ["HUBBUB_PORT", "HUBBUB_WS_PORT", "HUBBUB_WEB_PORT"])
def test_one_variable_moves_a_port_on_both_sides_and_in_the_hub(name: str) -> None:
    moved = COMPOSE_FILE.read_text().replace(f"${{{name}:-", "${_:-1")
    service = YAML(typ="safe", pure=True).load(as_composed(moved))["services"]["hub"]
    default = getattr(DEFAULTS, name.removeprefix("HUBBUB_").lower())
    assert f"127.0.0.1:1{default}:1{default}" in service["ports"]
    assert service["environment"][name] == int(f"1{default}")


@pytest.mark.promise("container-settings")
def test_every_setting_reaches_the_container(service: dict[str, Any]) -> None:
    """By its variable: compose passes on none that it does not name. A null is the value outside, if any."""
    variables = {"HUBBUB" + flag.name[1:].replace("-", "_").upper() for flag in flags()}
    assert set(service["environment"]) == variables
    fixed = {name for name in variables if f"${{{name}" not in COMPOSE_FILE.read_text()}
    passed_on = {name for name, value in service["environment"].items() if value is None}
    assert fixed - passed_on == {"HUBBUB_HOST", "HUBBUB_WEB_HOST"}


def test_the_hub_listens_on_all_addresses_of_the_container(service: dict[str, Any]) -> None:
    own = {name: value for name, value in service["environment"].items() if value is not None}
    assert own == {
        "HUBBUB_PORT": DEFAULTS.port,
        "HUBBUB_WS_PORT": DEFAULTS.ws_port,
        "HUBBUB_WEB_PORT": DEFAULTS.web_port,
        "HUBBUB_HOST": "0.0.0.0",
        "HUBBUB_WEB_HOST": "0.0.0.0",
        "HUBBUB_MAX_PER_IP": 0,
    }


def test_the_engine_gives_time_to_drain_and_enough_descriptors(service: dict[str, Any]) -> None:
    assert TIMEOUT.read(service["stop_grace_period"]) >= DEFAULTS.drain_s + 5
    assert service["ulimits"]["nofile"] >= DEFAULTS.max_clients + DESCRIPTOR_RESERVE


@pytest.mark.promise("container-rights")
def test_the_container_may_nothing_that_it_does_not_need(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "user", "volumes", "network_mode", "pid", "devices"} & set(service)


def test_a_check_has_more_time_than_the_question_takes(service: dict[str, Any]) -> None:
    check = service["healthcheck"]
    assert check["test"] == ["CMD", "hubbub", "health"]
    assert TIMEOUT.read(check["timeout"]) > LIMIT_S
    names = ("interval", "timeout", "start_period", "retries")
    flags = " ".join(f"--{name.replace('_', '-')}={check[name]}" for name in names)
    assert instructions("HEALTHCHECK") == [f'{flags} CMD ["hubbub", "health"]']


@pytest.mark.promise("container-restart")
def test_the_engine_asks_every_ten_seconds_and_restarts_failures(service: dict[str, Any]) -> None:
    check = service["healthcheck"]
    assert (check["interval"], check["start_interval"], check["retries"]) == ("10s", "1s", 3)
    assert service["stop_grace_period"] == "15s"
    assert service["restart"] == "unless-stopped"  # An end is what it starts anew, not an unhealthy state.


# compose.cluster.yml


def hubs_of(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [service for name, service in cluster.items() if name.startswith("hub-")]


def test_of_a_cluster_only_haproxy_is_published_on_loopback(cluster: dict[str, Any]) -> None:
    ports = (DEFAULTS.port, DEFAULTS.ws_port, DEFAULTS.web_port)
    published = {name: service["ports"] for name, service in cluster.items() if "ports" in service}
    assert published == {"haproxy": [f"127.0.0.1:{port}:{port}" for port in ports]}


def test_hubs_of_a_cluster_differ_in_their_name_alone(cluster: dict[str, Any]) -> None:
    names = [hub["environment"].pop("HUBBUB_HUB_NAME") for hub in hubs_of(cluster)]
    assert names == ["a", "b", "c"]
    first, *others = hubs_of(cluster)
    assert first.pop("build") == "."  # Built once: three builds of one image would run side by side.
    assert all(hub == first for hub in others)
    known = {"HUBBUB" + flag.name[1:].replace("-", "_").upper() for flag in flags()}
    assert set(first["environment"]) <= known


@pytest.mark.parametrize(
    "key", ["image", "ulimits", "read_only", "cap_drop", "security_opt", "restart", "healthcheck"]
)
def test_a_hub_of_a_cluster_runs_as_a_hub_alone(
    key: str, service: dict[str, Any], cluster: dict[str, Any]
) -> None:
    assert [hub[key] for hub in hubs_of(cluster)] == [service[key]] * 3


def test_what_is_around_the_hubs_is_no_root_and_writes_little(cluster: dict[str, Any]) -> None:
    text = (ROOT / "deploy/compose/Dockerfile").read_text()
    assert re.findall(r"^FROM (.*)", text, re.MULTILINE) == [
        "python:3.13-slim AS nats",
        "python:3.13-slim AS haproxy",
    ]
    assert re.findall(r"^USER (.*)", text, re.MULTILINE) == ["10001:10001"] * 2
    for name in ("nats", "haproxy"):
        assert cluster[name]["read_only"] is True
        assert cluster[name]["cap_drop"] == ["ALL"]
    assert cluster["nats"]["volumes"] == ["record:/var/lib/nats"]


# Dockerfile


@pytest.mark.promise("cli-precedence")
def test_the_hub_looks_for_a_file_mounted_at_etc_hubbub(service: dict[str, Any]) -> None:
    assert str(PurePosixPath(instructions("WORKDIR")[-1], CONFIG_FILE)) == "/etc/hubbub/hubbub.toml"
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "WORKDIR /etc/hubbub" in last, "it is that of the stage that runs"
    assert "working_dir" not in service and "HUBBUB_CONFIG" not in {*service["environment"], *last.split()}
    told = (ROOT / "docs/operate/run.md").read_text()
    assert "A hubbub.toml mounted at /etc/hubbub/hubbub.toml is read" in told


def test_the_image_runs_the_hub_itself_and_as_no_root() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert instructions("ENTRYPOINT") == ['["hubbub"]']
    assert instructions("CMD") == ['["serve"]']
    assert instructions("EXPOSE") == [f"{DEFAULTS.port} {DEFAULTS.ws_port} {DEFAULTS.web_port}"]


def test_what_builds_stays_in_the_first_stage() -> None:
    assert instructions("FROM") == ["python:3.13-slim AS build", "python:3.13-slim"]
    last = DOCKERFILE.partition("FROM python:3.13-slim\n")[2]
    assert "RUN" not in re.findall(r"^[A-Z]+", last, re.MULTILINE)
    assert re.findall(r"^COPY (.*)", last, re.MULTILINE) == ["--from=build /opt/hubbub /opt/hubbub"]


def test_everything_that_the_wheel_needs_reaches_the_builder(project: dict[str, Any]) -> None:
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    wanted = {*wheel["only-include"], "pyproject.toml", "constraints.txt", "hatch_build.py"}
    wanted |= {project["project"]["readme"], *project["project"]["license-files"]}
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == wanted


def test_the_builder_has_a_c_compiler_before_it_builds() -> None:
    first = instructions("RUN")[0]
    assert first.startswith("apt-get update && apt-get install --yes --no-install-recommends ")
    assert {"gcc", "libc6-dev"} <= {*first.split()}


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_a_registry_or_a_secret(name: str) -> None:
    text = (ROOT / name).read_text().lower()
    assert not re.search(
        r"index-url|find-links|trusted-host|https?://(?!localhost)|password|token|secret", text
    )


# constraints.txt


@pytest.mark.promise("container-builds")
def test_every_dependency_has_one_exact_allowed_version(project: dict[str, Any]) -> None:
    exact = requirements((ROOT / "constraints.txt").read_text())
    versions = {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in exact}
    assert len(versions) == len(exact)
    assert all(re.fullmatch(r"==[0-9.]+", str(one.specifier)) for one in exact)
    extra = project["project"]["optional-dependencies"]["cluster"]
    for wanted in map(Requirement, [*project["project"]["dependencies"], *extra]):
        assert versions[canonicalize_name(wanted.name)] in wanted.specifier, wanted


@pytest.mark.promise("container-builds")
def test_only_the_image_is_built_with_the_exact_versions() -> None:
    (install,) = (line for line in instructions("RUN") if "pip" in line and "install" in line)
    assert install.endswith("--constraint constraints.txt '.[cluster]'")
    assert "constraint" not in (ROOT / "Makefile").read_text()  # `make run` takes the newest that is allowed.
