"""The table at the end of a run: one row for each figure, with its unit."""

from collections.abc import Iterator

from bench.load.options import EchoOptions, FanoutOptions, IdleOptions, MixedOptions, Options, StormOptions
from bench.load.result import Latency, Result

WAITED_SHARE = 0.1
"""Whatever waits for a core longer than this is not alone on it, and rates say little."""
MIB = 1 << 20
_WIDTH = 20
_KEPT = "neither: other processes had their cores"
_WHO = {
    "load": "the load, so the server can do more",
    "server": "the server",
    "none": "neither the server nor the load: both had idle time",
}
_UNKNOWN = "maybe the load, which is busy; --pid tells more"
_UNTIL = {"echo": "back", "storm": "answered"}
_UNITS = {"storm": ("connections", "connection"), "echo": ("lines", "line")}


def table(options: Options, result: Result) -> str:
    """All of it, with a line end behind each row."""
    rows = [*_head(options, result), *_rates(result), *_times(result), *_details(result), *_costs(result)]
    rows += _troubles(result)
    return "".join(f"{name:<{_WIDTH}}{text}\n" for name, text in rows)


def setting(options: Options) -> str:
    """What was asked for, in short."""
    parts = [f"{options.size} B a line"]
    match options:
        case EchoOptions():
            parts = [f"{options.clients:,} clients", f"depth {options.depth}", *parts, _loop(options.rate)]
        case FanoutOptions():
            parts = [f"{options.readers:,} readers", f"{options.writers:,} writers", *parts]
            parts.append(_loop(options.rate) if options.rate else f"window {options.window}")
            if isinstance(options, MixedOptions):
                parts.append(f"{options.churn:g} clients/s come and go")
        case StormOptions():
            parts = [f"{options.clients:,} clients", f"{options.at_once} at once"]
            if options.rate:
                parts[1] = _loop(options.rate)
        case IdleOptions():
            parts = [f"{options.clients:,} clients"]
    return ", ".join(parts)


def _loop(rate: float) -> str:
    return f"{rate:,g}/s on schedule" if rate else "closed loop"


def _head(options: Options, result: Result) -> Iterator[tuple[str, str]]:
    yield result.workload, f"{options.host}:{options.port}: {setting(options)}"
    ended = ", ended by a signal" if result.interrupted else ""
    yield "measured", f"{result.seconds:.1f} s{ended}"


def _rates(result: Result) -> Iterator[tuple[str, str]]:
    many, _ = _UNITS.get(result.workload, ("lines", "line"))
    if result.lines:
        yield many, f"{result.lines_per_s:,.0f} a second, {result.lines:,} in all"
    if result.deliveries:
        yield "deliveries", f"{result.deliveries_per_s:,.0f} a second"


def _times(result: Result) -> Iterator[tuple[str, str]]:
    if result.latency:
        moment = "  (from the planned moment)" if result.open_loop else ""
        yield f"ms until {_UNTIL.get(result.workload, 'received')}", _quantiles(result.latency) + moment


def _quantiles(of: Latency) -> str:
    named = {"p50": of.p50_ms, "p90": of.p90_ms, "p99": of.p99_ms, "p99.9": of.p999_ms, "max": of.max_ms}
    return "  ".join(f"{name} {_short(value_ms)}" for name, value_ms in named.items())


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _details(result: Result) -> Iterator[tuple[str, str]]:
    of = result.details
    if "connected_p50_ms" in of:
        named = {name: of[f"connected_{name}_ms"] for name in ("p50", "p99", "max")}
        quantiles = (f"{name} {_short(value_ms)}" for name, value_ms in named.items())
        yield "ms until connected", "  ".join(quantiles)
    if "rss_bytes_per_client" in of:
        yield "memory of a client", f"{of['rss_bytes_per_client']:,.0f} B of RSS (slope)"
    if "rate_kept" in of:
        yield (
            "rate kept",
            f"{of['rate_kept']:.1%} of {of['lines_per_s_before']:,.0f} lines/s before the stall",
        )
    if "stalled_readers" in of:
        stalled = (
            f"{of['stalled_readers']:,.0f} readers, {of['stalled_closed']:,.0f} of them closed by the server"
        )
        yield "stalled", stalled
    if "rss_growth_by_stall_bytes" in of:
        yield "memory since", f"{of['rss_growth_by_stall_bytes'] / MIB:+.1f} MiB of RSS since all read"
    if "came_and_went" in of:
        yield (
            "came and went",
            f"{of['came_and_went']:,.0f} clients, {of['failed_to_come']:,.0f} failed to come",
        )


def _costs(result: Result) -> Iterator[tuple[str, str]]:
    _, one = _UNITS.get(result.workload, ("lines", "line"))
    share = result.server_cpu_share
    if share is not None:
        costs = [f"{share:.1%} of a core"]
        if result.cpu_us_per_line is not None:
            costs.insert(0, f"{result.cpu_us_per_line:.3g} us a {one}")
        if result.cpu_us_per_delivery is not None:
            costs.insert(1, f"{result.cpu_us_per_delivery:.3g} us a delivery")
        yield "server CPU", ", ".join(costs)
    if result.rss_bytes is not None and result.rss_growth_bytes is not None:
        growth = result.rss_growth_bytes / MIB
        yield "server memory", f"{result.rss_bytes / MIB:.1f} MiB of RSS, {growth:+.1f} MiB while measured"
    yield "load CPU", f"{result.own_cpu_share:.1%} of a core"
    if result.seconds:
        who = _WHO[result.bottleneck]
        if result.bottleneck == "load" and share is None:
            who = _UNKNOWN
        elif result.bottleneck == "none" and max(_waits(result).values()) > WAITED_SHARE:
            who = _KEPT
        yield "the bottleneck was", who


def _troubles(result: Result) -> Iterator[tuple[str, str]]:
    for who, waited in _waits(result).items():
        if waited > WAITED_SHARE:
            yield "note", f"{who} waited for a core {waited:.0%} of the time: rates and times say little"
    if result.lost_clients:
        failed = "refused or closed" if result.workload == "storm" else "closed by the server"
        yield "note", f"{result.lost_clients:,} clients were {failed}"
    if result.missing:
        what = {"echo": "lines never came back", "storm": "clients got no answer"}
        yield "note", f"{result.missing:,} {what.get(result.workload, 'deliveries never came')}"
    if not result.seconds:
        yield "note", "ended before anything was measured"
    yield from (("note", note) for note in result.notes)


def _waits(result: Result) -> dict[str, float]:
    """How long each waited for a core; at most all the time, whatever the server's threads did together."""
    return {"the load": result.own_wait_share, "the server": min(1.0, result.server_wait_share or 0.0)}
