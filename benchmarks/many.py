"""Many images at once, and many tags in one repository."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from tests.servers import Request
from tests.speed.crowd import crowd

from benchmarks import peers, replay
from benchmarks.data import Yard, open_store
from benchmarks.lag import lagging
from benchmarks.measure import Job, Sample, in_turns, processor_of, ratio, seconds
from benchmarks.report import Report, ms, times
from benchmarks.work import Place
from tagflow.stores.port import OCI_INDEX
from tagflow.stores.registry.http.pace import MOST

IMAGES, RUNS = 200, 3
PER_IMAGE = 3
"""Tags that a promotion writes: record, combined tag, environment tag."""
TAGS, MANY_TAGS, RECORDS = 10_000, 50_000, 2_000
THOUSANDS = {
    1000: ("promote v1.0.0 --to dev", "promote v1.0.0 --to test", "status"),
    5000: ("promote v1.0.0 --to dev",),
}
FAR, MILLISECONDS = 100, 50
VERIFIED, VERSIONS = 50, 37
ROOT = Path(__file__).parents[1]


def two_hundred_images(place: Place, report: Report) -> None:
    """Against the registry's own rate, and against a tool that is started once for each tag."""
    yard = Yard(place.server, "many", tuple(f"svc-{number}" for number in range(IMAGES)), place.path / "many")
    versions = [f"v1.{number}.0" for number in range(RUNS + 2)]
    yard.write_policy()
    yard.build(versions)
    for version in versions:
        place.job(f"tagflow promote {version} --to dev", yard).run()
    place.job(f"tagflow promote {versions[-1]} --to test", yard).run()
    asked_before = len(place.server.requests())
    place.job(f"tagflow promote {versions[-2]} --to test", yard).run()
    asked = place.server.requests()[asked_before:]
    contestants: dict[str, Callable[[int], Job]] = {
        "tagflow": lambda n: place.job(f"tagflow promote v1.{n}.0 --to test", yard)
    }
    stores = {f"{yard.namespace}/{it}": open_store(place.server, f"{yard.namespace}/{it}") for it in yard.names}
    replayed = place.path / "requests.json"
    count = replay.write_down(asked, replayed, stores)
    again = f"{sys.executable} -m benchmarks.replay {place.server.host} {replayed}"
    alone = f"the same {count} requests by a minimal client"
    contestants[alone] = lambda _: place.job(again, yard, PYTHONPATH=str(ROOT))
    if peers.has("crane"):
        listed = place.path / "images.txt"
        listed.write_text("".join(f"{yard.repository(name)}\n" for name in yard.names))
        line = "xargs -P 8 -I@ sh -c 'crane tag @:v1.{0}.0 v1.{0}.0-crane && crane tag @:v1.{0}.0 crane' < {1}"
        contestants["crane tag, xargs -P 8"] = lambda n: place.job(line.format(n, listed), yard)
    rates = [_rates(yard, place) for _ in range(RUNS)] if peers.has("ab") else []
    found = in_turns(contestants, RUNS)
    rates += [_rates(yard, place) for _ in range(RUNS - 1)] if rates else []
    limit = median(it["PUT"] for it in rates) if rates else 0.0
    writes = {"tagflow": PER_IMAGE * IMAGES, "crane tag, xargs -P 8": 2 * IMAGES, alone: PER_IMAGE * IMAGES}
    rows = [
        (
            name,
            writes[name],
            ms(seconds(samples)),
            f"{writes[name] / seconds(samples):.0f}",
            f"{writes[name] / seconds(samples) / limit:.0%}" if limit else "–",
            ms(median(it.processor for it in samples)),
        )
        for name, samples in found.items()
    ]
    if limit:
        rows.append(("`ab -k -c 16`, one tag again and again", 600, ms(600 / limit), f"{limit:.0f}", "100%", "–"))
    note = _compared(found) + (_alone(asked, rates, seconds(found["tagflow"])) if rates else "")
    report.add(
        f"{IMAGES} images at once",
        ("", "tags written", "time", "tags a second", "of the limit", "processor"),
        rows,
        note,
    )


def _compared(found: dict[str, list[Sample]]) -> str:
    note = (
        "tagflow's time has everything in it: tag lists, records, checks, looks afterwards. Registry and client share"
        " the processors here, and the registry needs most of them. Three requests of each image write; the others"
        " see to it that nothing is overwritten, and that it is known what ran before."
    )
    if "crane tag, xargs -P 8" in found:
        other = [Sample(it.seconds / 2, 0, 0) for it in found["crane tag, xargs -P 8"]]
        mine = [Sample(it.seconds / PER_IMAGE, 0, 0) for it in found["tagflow"]]
        note += f" For each tag, crane takes {times(ratio(other, mine))} as long."
    return note


def _alone(asked: Sequence[Request], rates: Sequence[Mapping[str, float]], mine: float) -> str:
    """What the requests would take if the registry had no others, and a client that costs nothing."""
    counted = Counter(_kind(it.method, it.path) for it in asked)
    least = sum(count / median(it[kind] for it in rates) for kind, count in counted.items())
    told = ", ".join(f"{count} {kind}" for kind, count in counted.most_common())
    return (
        f" It sends {len(asked)} requests ({told}). At the rates at which `ab -k -c 16` gets each kind answered, they"
        f" take {ms(least)}: {least / mine:.0%} of tagflow's time."
    )


def _kind(method: str, path: str) -> str:
    return f"{method} of tag lists" if path.partition("?")[0].endswith("/tags/list") else method


def _rates(yard: Yard, place: Place) -> dict[str, float]:
    """Requests of each kind a second that the registry takes of one client with 16 connections."""
    body = place.path / "manifest.json"
    if not body.exists():
        body.write_bytes(_manifest(yard))
    base = f"http://{yard.server.host}/v2/{yard.namespace}/{yard.names[0]}"
    accept = ["-H", f"Accept: {OCI_INDEX}"]
    return {
        "GET of tag lists": _rate([f"{base}/tags/list"]),
        "GET": _rate([*accept, f"{base}/manifests/v1.0.0"]),
        "HEAD": _rate(["-i", *accept, f"{base}/manifests/v1.0.0"]),
        "PUT": _rate(["-u", str(body), "-T", OCI_INDEX, f"{base}/manifests/ab"]),
    }


def _rate(arguments: Sequence[str]) -> float:
    command = ["ab", "-q", "-k", "-c", "16", "-n", "600", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"Requests per second:\s+([0-9.]+)", done.stdout)
    assert found, done.stdout
    assert "Non-2xx" not in done.stdout, done.stdout
    return float(found[1])


def _manifest(yard: Yard) -> bytes:
    return open_store(yard.server, f"{yard.namespace}/{yard.names[0]}").get("v1.0.0").content


def a_hundred_images_at_a_distance(place: Place, report: Report) -> None:
    """Where each request takes 50 ms."""
    yard = Yard(place.server, "far", tuple(f"svc-{number}" for number in range(FAR)), place.path / "far")
    versions = [f"v1.{number}.0" for number in range(RUNS + 1)]
    yard.write_policy()
    yard.build(versions)
    for version in versions:
        place.job(f"tagflow promote {version} --to dev", yard).run()
    with lagging(place.server.host, MILLISECONDS) as host:
        yard.write_policy(host)
        contestants: dict[str, Callable[[int], Job]] = {
            "tagflow": lambda n: place.job(f"tagflow promote v1.{n}.0 --to test", yard)
        }
        if peers.has("crane"):
            listed = place.path / "far.txt"
            listed.write_text("".join(f"{yard.repository(name, host)}\n" for name in yard.names))
            line = "xargs -P 8 -I@ sh -c 'crane tag @:v1.{0}.0 v1.{0}.0-crane && crane tag @:v1.{0}.0 crane' < {1}"
            contestants["crane tag, xargs -P 8, two tags"] = lambda n: place.job(line.format(n, listed), yard)
        found = in_turns(contestants, RUNS)
        note = _bounds(place, contestants["tagflow"](RUNS))
    rows = [
        (name, ms(seconds(it)), times(ratio(it, found["tagflow"])), ms(median(one.processor for one in it)))
        for name, it in found.items()
    ]
    head = ("", "time", "as long as tagflow", "processor")
    report.add(f"{FAR} images, where each request takes {MILLISECONDS} ms", head, rows, note)


def _bounds(place: Place, job: Job) -> str:
    """What a promotion cannot take less than, by its distance and by the processors."""
    asked, used = len(place.server.requests()), processor_of(place.server.pid)
    sample = job.run()
    asked, used = len(place.server.requests()) - asked, processor_of(place.server.pid) - used
    return (
        f"tagflow sends {asked} requests, {MOST} at once at most: their distance alone takes"
        f" {ms(asked / MOST * MILLISECONDS / 1000)}. One more run took {ms(sample.processor)} of the client's"
        f" processor, which Python uses one at a time, and {ms(used)} of the registry's, on the same processors."
    )


def many_tags(place: Place, report: Report) -> None:
    """Ten thousand tags and two thousand records: commands beside the tag list alone."""
    _crowded(place, report, TAGS)


def very_many_tags(place: Place, report: Report) -> None:
    """Fifty thousand tags."""
    _crowded(place, report, MANY_TAGS)


def _crowded(place: Place, report: Report, tags: int) -> None:
    yard = Yard(place.server, f"tags-{tags}", ("app",), place.path / f"tags-{tags}")
    yard.write_policy()
    yard.build([f"v1.{number}.0" for number in range(RUNS + 1)])
    for number in range(RUNS + 1):
        place.job(f"tagflow promote v1.{number}.0 --to dev", yard).run()
    place.job(f"tagflow promote v1.{RUNS}.0 --to test", yard).run()
    store = open_store(place.server, f"{yard.namespace}/app")
    crowd(store, place.server.root / "storage", environment="test", tags=tags, records=RECORDS)
    url = f"http://{yard.server.host}/v2/{yard.namespace}/app/tags/list"
    fetch = f"python -c \"import urllib.request as u; u.urlopen('{url}').read()\""
    found = in_turns(
        {
            "the tag list alone": lambda _: place.job(fetch, yard),
            "status": lambda _: place.job("tagflow status", yard),
            "promote": lambda n: place.job(f"tagflow promote v1.{n}.0 --to test", yard),
            "rollback": lambda _: place.job("tagflow rollback test", yard),
        },
        RUNS,
    )
    alone = found["the tag list alone"]
    rows = [
        (name, ms(seconds(it)), times(ratio(it, alone)), f"{max(s.memory for s in it):.0f} MiB")
        for name, it in found.items()
    ]
    report.add(f"{tags:,} tags and {RECORDS:,} records in one repository", ("", "time", "of the list", "memory"), rows)


def thousands_of_images(place: Place, report: Report) -> None:
    """One policy of a thousand images, and one of five thousand."""
    rows = []
    for count, commands in THOUSANDS.items():
        yard = Yard(
            place.server, f"all-{count}", tuple(f"svc-{it}" for it in range(count)), place.path / f"all-{count}"
        )
        yard.write_policy()
        yard.build(["v1.0.0"])
        for command in commands:
            before = len(place.server.requests())
            sample = place.job(f"tagflow {command}", yard).run()
            asked = len(place.server.requests()) - before
            rows.append(
                (
                    f"{count:,}",
                    f"`{command}`",
                    ms(sample.seconds),
                    ms(sample.processor),
                    f"{sample.memory:.0f} MiB",
                    asked,
                )
            )
    report.add("Thousands of images", ("images", "command", "time", "processor", "memory", "requests"), rows)


def verify_many_versions(place: Place, report: Report) -> None:
    """Every name of many versions against the history, and whether what may run is whole."""
    yard = Yard(place.server, "verify", tuple(f"svc-{number}" for number in range(VERIFIED)), place.path / "verify")
    versions = [f"v1.{number}.0" for number in range(VERSIONS)]
    yard.write_policy()
    yard.build(versions)
    for version in versions:
        place.job(f"tagflow promote {version} --to dev", yard).run()
    before = len(place.server.requests())
    sample = place.job("tagflow verify dev", yard).run()
    asked = len(place.server.requests()) - before
    rows = [
        ("`verify dev`", ms(sample.seconds), ms(sample.processor), f"{sample.memory:.0f} MiB", asked, asked / VERIFIED)
    ]
    head = ("", "time", "processor", "memory", "requests", "for each image")
    title = f"verify of {VERIFIED} images of two platforms, each with {VERSIONS} versions in one environment"
    report.add(title, head, rows)
