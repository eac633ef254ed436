"""The contests: what is loaded how, who takes part, and what is wanted of hubbub."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from bench.contest.contestants import Build, Contestant, Others
from bench.contest.results import Goal

Kind = Literal["echo", "fanout"]

FEWER, MORE = 5, 9
"""Rounds. In the fan-outs the C hub and hubbub have more, because the C hub's rate scatters; in the echo all
have, because from one start of a process to the next its lines cost up to a sixth more or less."""
AGAINST = {100: (2.5, 3.0), 1000: (4.0, 6.0), 5000: (4.0, 15.0)}
"""At least so many times Redis and NATS, by the number of readers."""
NEAR_C = 0.95
NCAT_READERS = 100
CHAT = ("--line-rate", "0")
"""Without the limit of 50 lines a second that chat has for each client."""


class Entry(NamedTuple):
    """A contestant, and in how many rounds it takes part."""

    contestant: Contestant
    rounds: int = FEWER


class Contest(NamedTuple):
    """`parameters` are fields of the load's options; the entries run in their order in each round."""

    name: str
    title: str
    kind: Kind
    base: str
    parameters: Mapping[str, int]
    entries: Sequence[Entry]
    goals: Sequence[Goal]
    longer: int = 1
    """How many times longer than others each run takes."""

    @property
    def unit(self) -> str:
        """What is counted."""
        return "line" if self.kind == "echo" else "delivery"


def contests(builds: Sequence[Build], others: Others) -> list[Contest]:
    """All of them, in the order they run in."""
    fanouts = (fanout(readers, builds, others) for readers in AGAINST)
    return [echo(builds, others), pipelined(builds, others), *fanouts, single(builds, others), chat(builds)]


def echo(builds: Sequence[Build], others: Others) -> Contest:
    """A line there and back, everybody's next one only then."""
    servers = [
        others.c("echo"),
        *(
            others.python(library, form)
            for library in ("uvloop", "asyncio")
            for form in ("protocol", "streams")
        ),
        *(build.serve("echo") for build in builds),
        *(build.serve("echo", "--trigger", "edge", called=" edge") for build in builds),
    ]
    goals = [goal for build in builds for goal in echo_goals(build)]
    parameters = {"clients": 100, "depth": 1, "size": 64}
    title = "Echo, one line at a time"
    return Contest("echo-1", title, "echo", "uvloop protocol", parameters, entries(servers, MORE), goals)


def echo_goals(build: Build) -> Iterator[Goal]:
    """Processor time a line against uvloop, and one trigger against the other."""
    ours = f"hubbub {build.name}"
    if build.name == "pure":
        yield Goal(ours, "uvloop protocol", "cpu", most=1.9)
    else:
        yield Goal(ours, "uvloop protocol", "cpu", most=1.2)
        yield Goal(ours, "uvloop streams", "cpu", most=0.85)
    yield Goal(f"{ours} edge", ours, "cpu", least=0.9, most=1.1)


def pipelined(builds: Sequence[Build], others: Others) -> Contest:
    """Sixteen lines in one segment, and back."""
    servers = [
        others.c("echo"),
        others.python("uvloop", "protocol"),
        others.python("uvloop", "streams"),
        others.python("asyncio", "streams"),
        *(build.serve("echo") for build in builds),
    ]
    goals = [
        Goal(f"hubbub {build.name}", "uvloop streams", "rate", least=13)
        for build in builds
        if build.name != "pure"
    ]
    parameters = {"clients": 100, "depth": 16, "size": 64}
    title = "Echo, 16 lines a segment"
    return Contest("echo-16", title, "echo", "uvloop streams", parameters, entries(servers), goals)


def fanout(readers: int, builds: Sequence[Build], others: Others) -> Contest:
    """Ten writers, each with a hundred lines under way, whose lines go to all readers."""
    rounds = [Entry(others.c("broadcast"), MORE)]
    rounds += entries([others.redis(), others.nats(), others.mosquitto()])
    if readers <= NCAT_READERS:
        rounds += entries([others.ncat()])
    rounds += [Entry(broadcast(build), FEWER if build.name == "pure" else MORE) for build in builds]
    rounds += entries([edge(build) for build in builds if build.name != "pure" and readers == 1000])
    goals = [goal for build in builds for goal in fanout_goals(build, readers)]
    parameters = {"readers": readers, "writers": 10, "window": 100, "size": 64}
    title = f"Fan-out to {readers:,} readers"
    # Redis and NATS take seconds to come through one window to 5,000 readers, and deliver in such bursts.
    longer = 2 if readers == 5000 else 1
    return Contest(f"fanout-{readers}", title, "fanout", "C broadcast", parameters, rounds, goals, longer)


def fanout_goals(build: Build, readers: int) -> Iterator[Goal]:
    """Against the C hub and two brokers. The pure build is only shown."""
    if build.name == "pure":
        return
    ours = f"hubbub {build.name}"
    redis, nats = AGAINST[readers]
    yield Goal(ours, "C broadcast", "best", least=NEAR_C)
    yield Goal(ours, "Redis", "best", least=redis)
    yield Goal(ours, "NATS", "best", least=nats)
    if readers == 1000:
        yield Goal(f"{ours} edge", ours, "cpu", least=0.9, most=1.1)


def single(builds: Sequence[Build], others: Others) -> Contest:
    """The fan-out without anything to join: the next line is sent when all readers have the last one."""
    servers = [others.c("broadcast"), others.redis(), others.nats(), *map(broadcast, builds)]
    ours = [build for build in builds if build.name != "pure"]
    goals = [Goal(f"hubbub {build.name}", "Redis", "best", least=0.95) for build in ours]
    parameters = {"readers": 1000, "writers": 1, "window": 1, "size": 64}
    title = "Fan-out of single lines"
    return Contest("fanout-single", title, "fanout", "Redis", parameters, entries(servers), goals)


def chat(builds: Sequence[Build]) -> Contest:
    """Chat cleans each line and names its sender; broadcast passes it as it is."""
    servers = [
        server
        for build in builds
        for server in (broadcast(build), build.serve("chat", *CHAT, called=" chat"))
    ]
    ours = [f"hubbub {build.name}" for build in builds if build.name != "pure"]
    goals = [Goal(f"{name} chat", name, "best", least=0.8) for name in ours]
    parameters = {"readers": 1000, "writers": 10, "window": 100, "size": 64}
    base = servers[0].name
    return Contest("chat", "Chat against broadcast", "fanout", base, parameters, entries(servers), goals)


def broadcast(build: Build) -> Contestant:
    """The mode that compares with brokers; senders receive their own lines, as the C hub's do."""
    return build.serve("broadcast", "--self-echo")


def edge(build: Build) -> Contestant:
    """The same, edge-triggered."""
    return build.serve("broadcast", "--self-echo", "--trigger", "edge", called=" edge")


def entries(servers: Sequence[Contestant], rounds: int = FEWER) -> list[Entry]:
    """Each in so many rounds."""
    return [Entry(server, rounds) for server in servers]
