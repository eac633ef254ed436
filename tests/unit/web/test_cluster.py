"""What the page's port tells of a cluster: /api/cluster, /readyz, and the summary of an update."""

import json
from typing import Any

import pytest

from cluster.commons import SILENT_S
from hub.control.snapshots import ClusterState, HubRow
from tests.docs import DOCS, names
from tests.unit.web.support import LiveTab, Served, ask, make_cluster, make_hub
from web.handlers import STREAM_SILENT_S

READY = {"ready": True, "alive": True, "draining": False}


def ready(served: Served, **changed: Any) -> tuple[int, Any]:
    """What /readyz answers of a hub whose cluster is in this state."""
    served.publish(cluster=make_cluster(**changed))
    answer = ask(served.url, "/readyz")
    return answer.status, answer.json()


def test_the_cluster_comes_as_it_was_published(served: Served) -> None:
    served.publish(cluster=make_cluster(make_hub("a", is_this=True), make_hub("b", behind=7), head=77))
    answer = ask(served.url, "/api/cluster")
    assert answer.status == 200
    state = answer.json()
    assert state.keys() == set(ClusterState.__struct_fields__)
    assert (state["hub"], state["applied"], state["head"]) == ("a", 70, 77)
    assert [row.keys() for row in state["hubs"]] == [set(HubRow.__struct_fields__)] * 2
    assert [(row["hub"], row["is_this"], row["behind"]) for row in state["hubs"]] == [
        ("a", True, 0),
        ("b", False, 7),
    ]
    assert ask(served.url, "/api/summary").json()["cluster"] == state


def test_a_hub_alone_has_no_cluster_to_tell_of(url: str) -> None:
    answer = ask(url, "/api/cluster")
    assert answer.status == 404
    assert answer.json() == {"error": "this hub is alone; --cluster joins it to others"}
    assert ask(url, "/api/summary").json()["cluster"] is None


@pytest.mark.promise("health-states")
def test_readyz_of_a_hub_alone_is_silent_about_clusters(url: str) -> None:
    assert ask(url, "/readyz").json() == READY


@pytest.mark.promise("health-states")
@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({}, None),
        ({"unheard_s": 0.99, "waiting_bytes": 10}, None),
        ({"unheard_s": 1.0, "waiting_bytes": 10}, "the stream of the cluster does not answer"),
        ({"is_linked": False}, "no link to the cluster"),
        ({"is_linked": False, "unheard_s": 9.0, "waiting_bytes": 10}, "no link to the cluster"),
    ],
)
def test_readyz_is_degraded_without_the_stream_and_still_200(
    served: Served, state: dict[str, Any], reason: str | None
) -> None:
    told = {"degraded": True, "reason": reason} if reason else {"degraded": False}
    assert ready(served, **state) == (200, READY | told)
    assert ready(served) == (200, READY | {"degraded": False})


@pytest.mark.promise("health-states")
def test_readyz_of_a_degraded_hub_that_drains_is_503(served: Served) -> None:
    served.publish(draining=True, cluster=make_cluster(is_linked=False))
    answer = ask(served.url, "/readyz")
    assert answer.status == 503
    told = {"ready": False, "draining": True, "degraded": True, "reason": "no link to the cluster"}
    assert answer.json() == READY | told


def test_readyz_and_senders_learn_of_a_silent_stream_alike() -> None:
    assert STREAM_SILENT_S == SILENT_S


def test_an_update_has_the_cluster_in_its_summary(fresh: Served, tab: LiveTab) -> None:
    assert tab.until(lambda update: True)["summary"]["cluster"] is None
    rows = [make_hub(f"{number:016}", lines_in=10**10, lines_out=10**12) for number in range(16)]
    fresh.publish(cluster=make_cluster(*rows))
    seen = tab.until(lambda update: update["summary"]["cluster"])["summary"]["cluster"]
    assert [row["hub"] for row in seen["hubs"]] == [row.hub for row in rows]
    assert len(json.dumps(seen)) < 5_000


@pytest.mark.parametrize("of", [ClusterState, HubRow])
def test_the_reference_has_each_field_of_the_cluster(of: type[ClusterState] | type[HubRow]) -> None:
    told = ", ".join(f"`{name}`" for name in names(of))
    assert f"| {told} |" in (DOCS / "reference/http-api.md").read_text()
