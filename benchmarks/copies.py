"""Images on their way to another registry."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.servers import RegistryServer, make_certificate, running_registry

from benchmarks import peers
from benchmarks.data import MIB, Yard, large_image, open_store
from benchmarks.lag import lagging
from benchmarks.measure import Job, in_turns, ratio, seconds
from benchmarks.report import Report, ms, times
from benchmarks.work import Place

RUNS = 3
TWENTY = 20


def one_large_image(place: Place, report: Report) -> None:
    """512 MiB in four layers."""
    _large(place, report, "plain HTTP", place.server, place.other)


def one_large_image_over_tls(place: Place, report: Report) -> None:
    """The same, encrypted on both ways."""
    authority, certificate, key = make_certificate(place.path / "tls")
    tls = {"certificate": str(certificate), "key": str(key)}
    with (
        running_registry(place.path / "tls-server", tls=tls) as server,
        running_registry(place.path / "tls-other", tls=tls) as other,
    ):
        _large(place, report, "TLS", server, other, SSL_CERT_FILE=str(authority))


def _large(
    place: Place, report: Report, way: str, server: RegistryServer, other: RegistryServer, **environ: str
) -> None:
    kind = "tls" if environ else "large"
    for number in range(RUNS):  # another one each time: some tools remember where they have seen a layer
        large_image(open_store(server, f"{kind}/app", **environ), f"v1.{number}.0", [128 * MIB] * 4)
    source = f"{server.host}/{kind}/app:v1.{{}}.0"

    def push(number: int) -> Job:
        yard = _target(other, place, f"{kind}-{number}", ["app"])
        return place.job(_line({"app": source.format(number)}), yard, **environ)

    def copy(tool: str, number: int) -> Job:
        namespace = f"{kind}-{tool}-{number}"
        line = peers.copy(tool, source.format(number), f"{other.host}/{namespace}:v1.0.0")
        return place.job(line, _target(other, place, namespace, ["app"]), **environ)

    contestants: dict[str, Callable[[int], Job]] = {"tagflow push": push}
    contestants |= {tool: partial(copy, tool) for tool in peers.movers()}
    note = (
        "tagflow's time has its start in it, the looks before and the tags, record and looks after:"
        f" {ms(_fixed(place, kind, server, other, **environ))} where the image is of 4 MiB. The bytes themselves are"
        " hashed by both registries and by every tool, so that the processors are the limit for all."
    )
    _compare(report, f"One image of 512 MiB in four layers, to another registry, over {way}", contestants, note)


def _fixed(place: Place, kind: str, server: RegistryServer, other: RegistryServer, **environ: str) -> float:
    """How long a push takes that hardly sends anything, in seconds."""
    large_image(open_store(server, f"{kind}/small", **environ), "v1.0.0", [MIB] * 4)
    sources = {"app": f"{server.host}/{kind}/small:v1.0.0"}

    def push(number: int) -> Job:
        return place.job(_line(sources), _target(other, place, f"{kind}-small-{number}", ["app"]), **environ)

    return seconds(in_turns({"small": push}, RUNS)["small"])


def twenty_images(place: Place, report: Report) -> None:
    """Twenty of 50 MiB, two layers each."""
    names = [f"svc-{number}" for number in range(TWENTY)]
    for name in names:
        large_image(open_store(place.server, f"twenty/{name}"), "v1.0.0", [25 * MIB] * 2)
    sources = {name: f"{place.server.host}/twenty/{name}:v1.0.0" for name in names}
    contestants: dict[str, Callable[[int], Job]] = {"tagflow push": lambda n: _push(place, f"twenty-{n}", sources)}
    if peers.has("crane"):
        listed = place.path / "twenty.txt"
        listed.write_text("".join(f"{name}\n" for name in names))
        line = f"xargs -P 4 -I@ crane copy {place.server.host}/twenty/@:v1.0.0 {place.other.host}/crane-{{}}/@:v1.0.0"
        contestants["crane copy, xargs -P 4"] = lambda n: place.job(
            f"{line.format(n)} < {listed}", _target(place.other, place, f"crane-{n}", names)
        )
    note = "tagflow writes a record and three tags for each, looks for signatures, and looks at what it wrote."
    _compare(report, "Twenty images of 50 MiB, to another registry", contestants, note)


def side_by_side(place: Place, report: Report) -> None:
    """Where each request takes 50 ms."""
    names = [f"svc-{number}" for number in range(10)]
    for name in names:
        large_image(open_store(place.server, f"far/{name}"), "v1.0.0", [MIB] * 4)
    with lagging(place.server.host, 50) as near, lagging(place.other.host, 50) as far:
        sources = {name: f"{near}/far/{name}:v1.0.0" for name in names}

        def one_by_one(n: int) -> Job:
            yard = _target(place.other, place, f"far-one-{n}", names, far)
            return place.job(" && ".join(_line({name: source}) for name, source in sources.items()), yard)

        found = in_turns(
            {"all in one push": lambda n: _push(place, f"far-{n}", sources, far), "one by one": one_by_one}, RUNS
        )
    rows = [(name, ms(seconds(it)), times(ratio(it, found["all in one push"]))) for name, it in found.items()]
    title = "Ten images of four small layers, where each request takes 50 ms"
    report.add(title, ("", "time", "as long"), rows)


def _compare(report: Report, title: str, contestants: dict[str, Callable[[int], Job]], note: str) -> None:
    found = in_turns(contestants, RUNS)
    mine = found["tagflow push"]
    rows = [
        (
            name,
            ms(seconds(it)),
            times(ratio(it, mine)),
            ms(max(s.processor for s in it)),
            f"{max(s.memory for s in it):.0f} MiB",
        )
        for name, it in found.items()
    ]
    report.add(title, ("", "time", "as long as tagflow", "processor", "memory"), rows, note)


def _push(place: Place, namespace: str, sources: dict[str, str], host: str = "") -> Job:
    return place.job(_line(sources), _target(place.other, place, namespace, list(sources), host))


def _line(sources: dict[str, str]) -> str:
    return "tagflow push v1.0.0 " + " ".join(f"{name}=docker://{source}" for name, source in sources.items())


def _target(other: RegistryServer, place: Place, namespace: str, names: list[str], host: str = "") -> Yard:
    yard = Yard(other, namespace, tuple(names), place.path / namespace)
    yard.write_policy(host)
    return yard
