"""The load of one run, as a process of its own on its own core: `python -m bench.contest.worker`.

A JSON object on stdin says what to do, `{"kind": ..., "wire": ..., "options": {...}}`; the result goes to
stdout as JSON, with `waited_s`, for which others had this core.
"""

import json
import os
import sys
from typing import Any

from bench.contest.process import waited_s_of
from bench.contest.wires import wire_of
from bench.load.echo import run_echo
from bench.load.fanout import run_fanout
from bench.load.options import EchoOptions, FanoutOptions
from bench.load.result import LoadError, Result


def run(order: dict[str, Any]) -> Result:
    """Do one order. Raises LoadError, and TypeError for options that the load does not have."""
    options = {**order["options"], "pid": tuple(order["options"]["pid"])}
    if order["kind"] == "echo":
        return run_echo(EchoOptions(**options))
    chat = order["wire"] == "chat"
    return run_fanout(FanoutOptions(chat=chat, **options), wire_of(order["wire"]))


def main() -> None:
    """Print the result of the order on stdin; exits with the reason where there is none."""
    try:
        result = run(json.load(sys.stdin))
        print(json.dumps({**result.as_dict(), "waited_s": waited_s_of(os.getpid())}))
    except LoadError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
