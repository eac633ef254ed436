"""The Kubernetes manifest: its schema, and a hub started with its arguments, asked as a kubelet asks."""

import subprocess
import sys
import urllib.request
from typing import Any

import pytest
from ruamel.yaml import YAML

from hub import __version__
from hub.config.settings import Settings
from hub.config.values import TIMEOUT
from tests.deploy.support import DEPLOY, listens
from tests.e2e.namespaces import Namespace, require_namespaces
from tests.support import HUBBUB, PATIENCE_S, ROOT, Peer, until

MANIFEST = DEPLOY / "kubernetes.yaml"
DEFAULTS = Settings()


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    loaded = YAML(typ="safe", pure=True).load_all(MANIFEST.read_text())
    return {document["kind"]: document["spec"] for document in loaded}


@pytest.fixture(scope="module")
def pod(documents: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = documents["Deployment"]["template"]["spec"]
    return found


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.promise("deploy-kubernetes")
def test_the_manifest_keeps_to_the_schema_of_kubernetes() -> None:
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", str(MANIFEST)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pod_may_nothing_that_it_does_not_need(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["enableServiceLinks"] is pod["automountServiceAccountToken"] is False


def test_the_pod_has_time_to_drain_and_the_image_of_now(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    drain = TIMEOUT.read(container["args"][container["args"].index("--drain") + 1])
    assert pod["terminationGracePeriodSeconds"] >= drain + 5
    assert container["image"] == f"hubbub:{__version__}"


def test_one_hub_is_replaced_and_its_ports_are_served(
    documents: dict[str, Any], container: dict[str, Any]
) -> None:
    assert documents["Deployment"]["replicas"] == 1
    assert documents["Deployment"]["strategy"] == {"type": "Recreate"}
    inside = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert inside == {"lines": DEFAULTS.port, "websockets": DEFAULTS.ws_port, "page": DEFAULTS.web_port}
    served = {port["targetPort"]: port["port"] for port in documents["Service"]["ports"]}
    assert served == inside
    labels = documents["Deployment"]["template"]["metadata"]["labels"]
    assert documents["Service"]["selector"] == labels == documents["Deployment"]["selector"]["matchLabels"]


@pytest.mark.promise("deploy-kubernetes")
def test_the_arguments_start_a_hub_that_its_probes_find_well(container: dict[str, Any]) -> None:
    """On all addresses of a network of its own, asked by an address that no setting names."""
    require_namespaces(["ip"])
    network = Namespace()
    network.run("ip", "address", "add", "10.99.0.7/32", "dev", "lo")
    with network.inside():
        process = subprocess.Popen([*HUBBUB, *container["args"]], cwd=ROOT, stdout=subprocess.DEVNULL, env={})
    try:
        with network.inside():
            until(lambda: listens(DEFAULTS.web_port))
            for probe in ("livenessProbe", "readinessProbe"):
                url = f"http://10.99.0.7:{DEFAULTS.web_port}{container[probe]['httpGet']['path']}"
                with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                    assert answer.status == 200
                assert container[probe]["httpGet"]["port"] == "page"
            for host in ("10.99.0.7", "::1"):
                with Peer(DEFAULTS.port, host) as peer:
                    peer.send(b"hello\n")
                    peer.read_until(b"> hello\n")
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        network.close()
