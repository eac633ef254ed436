"""The project's own compose files, as they are, on a real engine. Other projects on it are left alone."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.support import ROOT

PROJECT = f"hubbub-test-{os.getpid()}"
"""Of this run alone: two at a time get into each other's way over the ports, and not over the containers."""
BUILD_S, COMMAND_S = 600.0, 60.0
CHECKED_S = 90.0
"""Three failed checks in a row, 10 s apart, of at most 10 s each, and then some."""

_run = partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, check=False)


def reason_for_none() -> str:
    """Why there is no engine here, or nothing when there is one."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    for needed in (["info"], ["compose", "version"]):
        result = _run(["docker", *needed], timeout=COMMAND_S)
        if result.returncode:
            return f"docker {' '.join(needed)}: {(result.stderr or result.stdout).strip()[-300:]}"
    return ""


def docker(*arguments: str, timeout_s: float = COMMAND_S, **variables: str) -> str:
    """What `docker` prints, without blanks around it; AssertionError with everything it said if it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
    environment |= variables
    if _run(["docker", "buildx", "version"], timeout=COMMAND_S).returncode:
        environment["DOCKER_BUILDKIT"] = "0"  # The engine's own builder, where BuildKit's client is missing.
    result = _run(["docker", *arguments], timeout=timeout_s, env=environment)
    assert result.returncode == 0, f"docker {arguments}: {result.stdout[-4000:]}{result.stderr[-4000:]}"
    return str(result.stdout).strip()


def compose(*arguments: str, timeout_s: float = COMMAND_S, **variables: str) -> str:
    """What `docker compose` prints for this project."""
    return docker("compose", "-p", PROJECT, *arguments, timeout_s=timeout_s, **variables)


def cluster(*arguments: str, timeout_s: float = COMMAND_S) -> str:
    """What `docker compose` prints for the project of compose.cluster.yml."""
    file = ("-f", "compose.cluster.yml", "-p", f"{PROJECT}-cluster")
    return docker("compose", *file, *arguments, timeout_s=timeout_s)


def patiently(look: Callable[[], bool], patience_s: float) -> None:
    """Look again twice a second until it is so: each look is a process, too dear for `until`."""
    end_s = time.monotonic() + patience_s
    while not look():
        assert time.monotonic() < end_s, f"still not so after {patience_s} s: {look}"
        time.sleep(0.5)


class Container:
    """The hub's container, running or not."""

    def __init__(self) -> None:
        self.id = compose("ps", "--all", "--quiet", "hub")

    def inspect(self, key: str) -> Any:
        """One part of what the engine knows: `State.Pid`."""
        return json.loads(docker("inspect", self.id, "--format", f"{{{{json .{key}}}}}"))

    def wait_until(self, health: str) -> None:
        """Wait for the engine to call it this: healthy or unhealthy."""
        patiently(lambda: bool(self.inspect("State.Health.Status") == health), CHECKED_S)

    def last_check(self) -> tuple[int, str]:
        """Exit code and output of the newest check."""
        newest = self.inspect("State.Health.Log")[-1]
        return newest["ExitCode"], newest["Output"]

    def run(self, *command: str) -> str:
        """What a command prints inside, as the hub's own user."""
        return compose("exec", "--no-TTY", "hub", *command)

    def status_of_the_hub(self) -> dict[str, str]:
        """Lines of /proc/PID/status of its process 1, proc(5)."""
        lines = self.run("cat", "/proc/1/status").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
