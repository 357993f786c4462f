"""One command: how soon it starts, what one promotion takes beside other tools, what it asks of the registry."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.speed.rounds import Bench

from benchmarks import peers
from benchmarks.data import Yard
from benchmarks.lag import lagging
from benchmarks.measure import Job, Sample, in_turns, ratio, seconds
from benchmarks.report import Report, ms, times
from benchmarks.work import Place

STARTS, RUNS = 20, 5
_BARE = "`python -c pass`"
DELAYS = (0, 20, 50, 100)
_ENVIRONMENTS = "environments:\n  dev: {}\n  test: {}\n  prod: {}\n"


def start_up(place: Place, report: Report) -> None:
    """Commands that ask no registry."""
    yard = Yard(place.server, "start", ("app",), place.path / "start")
    yard.write_policy()
    commands = {
        _BARE: "exec python -c pass",
        "`tagflow --version`": "exec tagflow --version",
        "`tagflow --help`": "exec tagflow --help",
        "`tagflow promote --help`": "exec tagflow promote --help",
        "`tagflow tags v1.0 --env test`": "exec tagflow tags v1.0 --env test",
        "completing a command": "_TAGFLOW_COMPLETE=complete_bash COMP_WORDS='tagflow pro' COMP_CWORD=1 exec tagflow",
    }

    def job(line: str, _: int) -> Job:
        return place.job(line, yard)

    found = in_turns({name: partial(job, line) for name, line in commands.items()}, STARTS)
    rows = [(name, ms(seconds(it)), times(ratio(it, found[_BARE]))) for name, it in found.items()]
    report.add("Start-up", ("whole process", "time", "as long as Python alone"), rows)


def one_promotion(place: Place, report: Report) -> None:
    """With checks, record, combined tag and environment tag, beside tools that write a tag and no more."""
    rows: list[tuple[str, str, str, str]] = []
    for delay in DELAYS:
        found = _promotions(place, delay)
        mine = found["tagflow"]
        rows += [(f"{delay} ms", name, ms(seconds(it)), times(ratio(it, mine))) for name, it in found.items()]
    note = (
        "tagflow writes three tags: its record, the combined tag, the environment tag. Its cache is empty. Where"
        " requests take no time, what is left is its start."
    )
    report.add("One promotion", ("each request takes", "whole process", "time", "as long as tagflow"), rows, note)


def _promotions(place: Place, delay: int) -> dict[str, list[Sample]]:
    yard = Yard(place.server, f"one-{delay}", ("app",), place.path / f"one-{delay}")
    versions = [f"v1.{number}.0" for number in range(RUNS + 1)]
    yard.write_policy()
    yard.build(versions)
    for version in versions:
        place.job(f"tagflow promote {version} --to dev", yard).run()
    with lagging(place.server.host, delay) as host:
        yard.write_policy(host)
        place.job(f"tagflow promote {versions.pop()} --to test", yard).run()

        def promote(number: int) -> Job:
            return place.job(f"tagflow promote v1.{number}.0 --to test", yard)

        def tag(tool: str, count: int, number: int) -> Job:
            source = yard.repository("app", host) + f":v1.{number}.0"
            return place.job(" && ".join(peers.tag(tool, source, f"{tool}-{it}") for it in range(count)), yard)

        contestants: dict[str, Callable[[int], Job]] = {"tagflow": promote}
        for tool in peers.movers():
            contestants[f"{tool}, one tag"] = partial(tag, tool, 1)
            contestants[f"{tool}, three tags"] = partial(tag, tool, 3)
        return in_turns(contestants, RUNS)


def requests_and_rounds(place: Place, report: Report) -> None:
    """The same on every machine."""
    bench = Bench(place.path / "rounds", place.server, ["app"], _ENVIRONMENTS)
    bench.build("v1.0.0", "v1.1.0")
    costs = {}
    costs["the first promotion in a repository"] = bench.run("promote", "v1.0.0", "--to", "dev")
    costs["promotion to an environment without history"] = bench.run("promote", "v1.0.0", "--to", "test")
    bench.done("promote", "v1.0.0", "--to", "prod")
    bench.done("promote", "v1.1.0", "--to", "dev")
    bench.done("promote", "v1.1.0", "--to", "test")
    costs["promotion where another version runs"] = bench.run("promote", "v1.1.0", "--to", "prod")
    costs["promotion of what runs there already"] = bench.run("promote", "v1.1.0", "--to", "prod")
    costs["status of three environments"] = bench.run("status")
    costs["rollback"] = bench.run("rollback", "prod")
    costs["verify"] = bench.run("verify")
    rows = [(name, len(cost.requests), cost.rounds) for name, cost in costs.items()]
    note = (
        "Of one image of two platforms, with an empty cache; `crane tag` makes 4 requests in 4 rounds. Where another"
        " version runs, three requests come in that take no round of their own, and each keeps a promise: the head of"
        " the environment's history, the combined tag of what runs (else it would need a pin), and a second look at the"
        " environment tag right before it moves. The first promotion in a repository brings in the empty blob that"
        " records name."
    )
    report.add("Requests and rounds", ("command", "requests", "rounds"), rows, note)
