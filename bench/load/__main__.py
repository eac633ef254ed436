"""The program behind `hubbub bench`: `python -m bench.load JSON`, run by the launcher.

The one argument is an object with the name of the workload, whether JSON is wanted, and the fields of its
options, all checked by hub/cli/bench.py. Exit codes: 0 measured, 1 not, 2 wrong argument.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bench.load.echo import run_echo
from bench.load.fanout import run_fanout
from bench.load.idle import run_idle
from bench.load.mixed import run_mixed
from bench.load.options import (
    EchoOptions,
    FanoutOptions,
    IdleOptions,
    MixedOptions,
    Options,
    StalledOptions,
    StormOptions,
)
from bench.load.result import LoadError, Result
from bench.load.stalled import run_stalled
from bench.load.stopwatch import to_stderr
from bench.load.storm import run_storm
from bench.load.table import setting, table

WORKLOADS: Final[Mapping[str, tuple[type[Options], Callable[[Any], Result]]]] = {
    "echo": (EchoOptions, run_echo),
    "fanout": (FanoutOptions, run_fanout),
    "stalled": (StalledOptions, run_stalled),
    "mixed": (MixedOptions, run_mixed),
    "storm": (StormOptions, run_storm),
    "idle": (IdleOptions, run_idle),
}


def main(arguments: Sequence[str]) -> int:
    """Run a workload and print what came out; the exit code."""
    told: dict[str, Any] = json.loads(arguments[0])
    kind, run = WORKLOADS[told.pop("workload")]
    as_json = told.pop("json")
    told["pid"] = tuple(told["pid"])
    options = kind(**told)
    try:
        result = run(options)
    except LoadError as error:
        to_stderr(str(error))
        return 1
    except KeyboardInterrupt:
        to_stderr("ended by a signal, before anything was measured")
        return 1
    if as_json:
        where = {"host": options.host, "port": options.port, "setting": setting(options)}
        print(json.dumps(where | result.as_dict()))
    else:
        print(table(options, result), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
