"""The contest: hubbub and other servers in turns, one on one core, the load on another.

    python -m bench.contest                everything, under 25 minutes
    python -m bench.contest --quick        one short round of everything, which proves nothing
    python -m bench.contest --only echo    the contests with `echo` in their names
    python -m bench.contest --hubbub old=/old/bin/hubbub --hubbub new=.venv/bin/hubbub

With --docs the results go into docs/benchmarks.json, and the page and its plots are written from them;
--render does that again from what is kept. Ctrl-C ends every process and shows what there is by then.
"""

import argparse
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType

from bench.contest import calls, machine, page, tables
from bench.contest.contestants import Build, Contestant, Others, builds, version_of, wrong_build
from bench.contest.contests import Contest, contests
from bench.contest.results import Results
from bench.contest.rounds import Stage

DEFAULT = ("compiled=.wheel/bin/hubbub", "pure=.venv/bin/python -m hubbub")
CALLS = "calls"
TRACED = ("echo-1", "fanout-1000")
"""The contests in which system calls are counted."""
SECONDS, QUICK_S, WARMUP_SHARE = 2.0, 0.6, 0.3


class WrongBuild(Exception):
    """A hubbub is not the build that it is called."""


def main(arguments: Sequence[str]) -> int:
    """The command line; exit code 0, 1 where a build is not the one asked for, 130 after Ctrl-C."""
    options = parse(arguments)
    if options.render:
        tell_written(page.write(Results.load(options.render)))
        return 0
    signal.signal(signal.SIGTERM, interrupt)
    code = 0
    with tempfile.TemporaryDirectory(prefix="contest-") as folder:
        stage = stage_of(options, Path(folder))
        results = Results(machine.facts(), settings(stage, arguments), {}, {})
        try:
            play(stage, options, results)
        except WrongBuild as wrong:
            say(str(wrong))
            return 1
        except KeyboardInterrupt:
            say("interrupted; what there is by now:")
            code = 130
    print("".join(tables.report(results)), flush=True)
    if options.json:
        results.save(options.json)
        tell_written([options.json])
    if options.docs and code == 0:
        tell_written(page.write(results))
    return code


def play(stage: Stage, options: argparse.Namespace, results: Results) -> None:
    """Every contest that is wanted, then the system calls; `results` grows. Raises WrongBuild."""
    began_s = time.monotonic()
    compared = builds(options.hubbub or DEFAULT)
    every = contests(compared, Others(stage.folder))
    wanted = [contest for contest in every if is_wanted(contest.name, options.only)]
    note(stage, results, wanted)
    check(results, compared, all_of_them=options.docs)
    minutes = sum(map(stage.planned_s, wanted)) / 60
    say(f"{', '.join(contest.name for contest in wanted)}: about {minutes:.0f} minutes")
    for contest in wanted:
        stage.play(contest, results.outcomes, say)
        say(f"{(time.monotonic() - began_s) / 60:.1f} minutes")
    if is_wanted(CALLS, options.only):
        for contest in every:
            if contest.name in TRACED:
                results.calls.extend(calls.count(stage, contest, traced(contest, compared[0]), say))


def note(stage: Stage, results: Results, wanted: Sequence[Contest]) -> None:
    """Write down versions, and commands without what differs from run to run."""
    passing = {f"{Path.cwd()}/": "", f"{stage.folder}/": "", "'{port}'": "PORT"}
    answers: dict[str | tuple[str, ...], str] = {}
    for contestant in (entry.contestant for contest in wanted for entry in contest.entries):
        if contestant.missing:
            continue
        environment = "".join(f"{variable}={value} " for variable, value in contestant.extra.items())
        command = environment + shlex.join(contestant.command)
        for text, instead in passing.items():
            command = command.replace(text, instead)
        commands = results.commands.setdefault(contestant.name, [])
        if command not in commands:
            commands.append(command)
        if contestant.version not in answers:
            answers[contestant.version] = version_of(contestant)
        results.versions[contestant.name] = answers[contestant.version]


def check(results: Results, compared: Sequence[Build], *, all_of_them: bool) -> None:
    """Raise WrongBuild where a hubbub is another build than it is called, or one of all is not installed."""
    for build in compared:
        version = results.versions.get(f"hubbub {build.name}")
        if version is None and all_of_them:
            raise WrongBuild(f"hubbub {build.name} is not installed: {shlex.join(build.command)}")
        if version is not None and wrong_build(build, version):
            raise WrongBuild(f"hubbub {build.name} says that it is another build: {version}")


def traced(contest: Contest, build: Build) -> list[Contestant]:
    """Level and edge of a build."""
    names = (f"hubbub {build.name}", f"hubbub {build.name} edge")
    return [entry.contestant for entry in contest.entries if entry.contestant.name in names]


def is_wanted(name: str, only: Sequence[str]) -> bool:
    """Whether one of the words is in the name; without words everything is wanted."""
    return not only or any(word in name for word in only)


def stage_of(options: argparse.Namespace, folder: Path) -> Stage:
    """Two cores, and the times that were asked for."""
    server_cpu, load_cpu = machine.cores()
    rounds = options.rounds or (1 if options.quick else None)
    seconds = options.seconds or (QUICK_S if options.quick else SECONDS)
    return Stage(
        server_cpu, load_cpu, folder, seconds, WARMUP_SHARE * seconds, rounds, first=options.priority
    )


def settings(stage: Stage, arguments: Sequence[str]) -> dict[str, str]:
    """How this was measured."""
    return {
        "command": shlex.join(["python", "-m", "bench.contest", *arguments]),
        "cores": f"contestant {stage.server_cpu}, load {stage.load_cpu}",
        "each run": f"{stage.seconds:g} s measured after {stage.warmup_s:g} s of warm-up",
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the flags; exits where they make no sense."""
    parser = argparse.ArgumentParser(prog="python -m bench.contest", description=str(__doc__).split("\n")[0])
    parser.add_argument(
        "--hubbub", metavar="NAME=COMMAND", action="append", help="what `serve` follows; repeatable"
    )
    parser.add_argument(
        "--only", metavar="WORD", action="append", default=[], help="contests with it in their name"
    )
    parser.add_argument("--rounds", metavar="N", type=int, help="instead of 5, and 9 for some")
    parser.add_argument("--seconds", type=float, help=f"of each run, {SECONDS:g} by default")
    parser.add_argument("--quick", action="store_true", help="one short round, under 3 minutes")
    parser.add_argument("--priority", action="store_true", help="before all other programs; needs root")
    parser.add_argument("--json", metavar="FILE", type=Path, help="keep the results there")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md and its plots")
    parser.add_argument(
        "--render", metavar="FILE", type=Path, help="write the docs from kept results, and no more"
    )
    options = parser.parse_args(arguments)
    if options.docs and (options.only or options.quick):
        parser.error("--docs takes a whole run, without --only and --quick")
    try:
        builds(options.hubbub or DEFAULT)
    except ValueError as error:
        parser.error(str(error))
    return options


def interrupt(number: int, frame: FrameType | None) -> None:
    """Let SIGTERM end the contestants as Ctrl-C does."""
    raise KeyboardInterrupt


def tell_written(paths: Iterable[Path]) -> None:
    """Name the files."""
    say("written: " + " ".join(map(str, paths)))


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
