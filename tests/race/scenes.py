"""Scenes in which two people, or more, act at once. Each was seen to go wrong; each is played move by move, on a
registry and on layouts, and some once more with nobody held, as it comes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tests.cli.runner import Done
from tests.race.site import MEDIA, Medium, Site, code
from tests.race.storm import Storm
from tests.servers import require

CONFLICT = (3, 5)
"""Refused by what is true by now, or overtaken."""
Play = Callable[[Site], None]


@dataclass(frozen=True)
class Scene:
    """``case``: the kind of trouble, as docs/reliability.md lists it. ``short``: `make test` plays it too."""

    case: int
    name: str
    play: Play
    media: Sequence[Medium] = MEDIA
    needs: tuple[str, ...] = ()
    short: bool = False


CASES = {
    1: "what was rolled back, held or frozen meanwhile",
    2: "two builds of one version",
    3: "`verify` sees an environment that does not run its version",
    4: "two builds of one version, neither of which may block it",
    5: "a release that was abandoned while its PUT was on its way",
    6: "what is put back, and was promoted by another meanwhile",
    7: "two promotions of different versions",
    8: "a rollback during the last phase of a promotion",
    9: "thirty jobs, one an image, six at a time",
    10: "a rollback to the same bytes",
    11: "a rollback that is tried again",
    12: "six commands at once, of which two are killed",
}
SCENES: dict[str, Scene] = {}


def _scene(
    case: int, *values: str, media: Sequence[Medium] = MEDIA, needs: tuple[str, ...] = (), short: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A scene; with ``values`` one for each, which it is given. ``short``: those of them that `make test` plays."""

    def note(play: Callable[..., None]) -> Callable[..., None]:
        told = play.__name__.replace("_", " ")
        for value in values or ("",):
            name = f"{told}: {value}" if values else told
            given = partial(play, value=value) if values else play
            SCENES[name] = Scene(case, name, given, media, needs, value in short)
        return play

    return note


def _ready(site: Site, *names: str, more: str = "") -> None:
    """v1.0.0 in prod, v1.1.0 and v1.2.0 to be promoted."""
    site.write_policy(*names, more=more, only=True)
    site.through("v1.0.0", "prod")
    for version in ("v1.1.0", "v1.2.0"):
        site.build(version)


def _clean(site: Site) -> None:
    """Neither the independent reader nor `verify` finds anything."""
    assert site.wrongs() == []
    done = site.tagflow("verify")
    assert done.status == 0, done.out


def _one_wins(*both: Done) -> int:
    """Exactly one ended with 0, the other because of it; which."""
    statuses = [it.status for it in both]
    assert statuses.count(0) == 1, [(it.status, it.err) for it in both]
    assert all(it in (0, *CONFLICT) for it in statuses), [(it.status, it.err) for it in both]
    return statuses.index(0)


# --- 1. what was rolled back, held or frozen meanwhile ---------------------------------------------------------------


def _meanwhile(site: Site, what: str) -> None:
    """What others do while a promotion of v1.1.0 to prod waits."""
    if what == "rolled back":
        site.done("promote", "v1.1.0", "--to", "prod", "--yes")
        site.done("rollback", "prod", "--yes")
    elif what == "frozen":
        site.done("freeze", "prod", "--reason", "an incident")
    else:
        site.done("hold", "prod", "v1.1.0", "--reason", "leaks")


@_scene(1, "rolled back", "frozen", "held")
def version_stays_away_though_a_gate_had_begun(site: Site, value: str) -> None:
    _ready(site, more=site.gated())
    before = site.at("prod")
    gate = site.gate()
    first = site.start("promote", "v1.1.0", "--to", "prod", held=gate)
    gate.arrived()
    _meanwhile(site, value)
    gate.release()
    assert first.wait().status in CONFLICT
    assert site.at("prod") == before
    _clean(site)


@_scene(1, "rolled back", "frozen", "held")
def version_stays_away_though_a_question_was_open(site: Site, value: str) -> None:
    _ready(site)
    before = site.at("prod")
    question = site.question()
    first = site.start("promote", "v1.1.0", "--to", "prod", held=question)
    question.arrived()
    _meanwhile(site, value)
    question.release()
    assert first.wait().status in CONFLICT
    assert site.at("prod") == before
    _clean(site)


# --- 2, 4. two builds of one version ---------------------------------------------------------------------------------


def _one_build(site: Site) -> None:
    """Whoever won, all names of v1.4.0 are one build, and it is not blocked: the same push again has nothing to do."""
    won = {site.at("v1.4.0"), site.at("v1.4.0-dev"), site.at("dev")}
    assert len(won) == 1
    assert None not in won
    _clean(site)
    site.done("promote", "v1.4.0", "--to", "prod")
    assert {site.at("prod"), site.at("v1.4.0-prod")} == won


@_scene(2, "_tagflow.dev.*", "v1.4.0", "v1.4.0-dev", short=["v1.4.0"])
def two_builds_one_held_before(site: Site, value: str) -> None:
    """One is held before it announces itself, or before one of its anchors; the other runs to its end."""
    site.through("v1.0.0", "dev")
    held = site.hold(value)
    first = site.start("push", "v1.4.0", site.source("web", "a"), held=held)
    held.arrived()
    second = site.tagflow("push", "v1.4.0", site.source("web", "b"))
    held.release()
    _one_wins(first.wait(), second)
    _one_build(site)


@_scene(2, media=["registry"], needs=("skopeo",))
def version_that_another_tool_pushes_between_two_tries(site: Site) -> None:
    assert site.proxy is not None
    assert site.server is not None
    site.through("v1.0.0", "dev")
    theirs = site.build("v1.4.0", seed="theirs", tag="elsewhere")["web"]
    where = f"docker://{site.server.host}/{site.namespace}/web"

    def overtake() -> None:
        arguments = ["--src-tls-verify=false", "--dest-tls-verify=false", f"{where}:elsewhere", f"{where}:v1.4.0"]
        subprocess.run([require("skopeo"), "copy", "-q", *arguments], check=True)

    site.proxy.add(method="PUT", path="/manifests/v1.4.0$", status=503, strike=overtake)
    before = site.at("dev")
    done = site.tagflow("push", "v1.4.0", site.source("web", "ours"))
    assert done.status in CONFLICT, done.err
    assert site.at("v1.4.0") == theirs
    assert site.at("dev") == before


@_scene(4)
def two_builds_that_both_decided_before_either_wrote(site: Site) -> None:
    """The second had decided before the first announced itself, and goes on while the first is between two anchors."""
    site.through("v1.0.0", "dev")
    announcing = site.hold("_tagflow.dev.*")
    second = site.start("push", "v1.4.0", site.source("web", "b"), held=announcing)
    announcing.arrived()
    anchoring = site.hold("v1.4.0-dev")
    first = site.start("push", "v1.4.0", site.source("web", "a"), held=anchoring)
    anchoring.arrived()
    announcing.release()
    other = second.wait()
    anchoring.release()
    _one_wins(first.wait(), other)
    _one_build(site)


@_scene(4)
def two_builds_one_announced_when_the_other_had_won(site: Site) -> None:
    """The first has won its election, and is between two anchors, when the second announces itself: whichever of them
    sorts first, the second gives way."""
    site.through("v1.0.0", "dev")
    announcing = site.hold("_tagflow.dev.*")
    second = site.start("push", "v1.4.0", site.source("web", "b"), held=announcing)
    announcing.arrived()
    anchoring = site.hold("v1.4.0-dev")
    first = site.start("push", "v1.4.0", site.source("web", "a"), held=anchoring)
    anchoring.arrived()
    announcing.release()
    site.wait_for(lambda: len(site.records("dev")) > 2)
    anchoring.release()
    assert _one_wins(first.wait(), second.wait()) == 0
    _one_build(site)


@_scene(4)
def two_builds_as_it_comes(site: Site) -> None:
    site.through("v1.0.0", "dev")
    sources = [site.source("web", seed) for seed in "ab"]
    site.hurry()
    both = [site.start("push", "v1.4.0", source) for source in sources]
    _one_wins(*(it.wait() for it in both))
    _one_build(site)


# --- 3. verify sees it -----------------------------------------------------------------------------------------------


@_scene(3)
def verify_finds_that_an_environment_does_not_run_its_version(site: Site) -> None:
    """As two pushes of one version once left it: v1.4.0 and v1.4.0-dev are one build, and dev is the other."""
    site.build("v1.4.0", seed="b")
    site.done("promote", "v1.4.0", "--to", "dev")
    lost = site.tags("web")
    record = next(tag for tag in lost if tag.startswith("_tagflow.dev."))
    kept = {tag: site.store("web").get(tag) for tag in (record, "dev")}
    site.forget("web")
    site.done("push", "v1.4.0", site.source("web", "a"))
    ours = site.at("v1.4.0")
    site.build("v1.4.0", seed="b", tag="other")  # its layers
    store = site.store("web")
    store.put(kept["dev"], "dev")
    store.put(kept[record], record)
    found = site.tagflow("verify")
    assert found.status == 5
    assert "running.unanchored" in {it["problem"] for it in found.result["findings"]}
    site.tagflow("verify", "--repair")
    assert site.at("v1.4.0") == site.at("v1.4.0-dev") == ours
    assert site.at("latest") in (None, ours)


# --- 5. an abandoned release comes back ------------------------------------------------------------------------------


@_scene(5)
def abandoned_release_does_not_come_back(site: Site) -> None:
    _ready(site)
    before = site.at("prod")
    held = site.hold("prod")
    first = site.start("promote", "v1.1.0", "--to", "prod", held=held)
    held.arrived()
    site.done("rollback", "prod")
    held.release()
    assert first.wait().status == 5
    assert site.at("prod") == before
    _clean(site)


# --- 6. putting back undoes somebody else's --------------------------------------------------------------------------


@_scene(6)
def putting_back_leaves_what_somebody_else_was_told(site: Site) -> None:
    """A promotion of three images fails in one when another has moved; somebody else, who had decided before, promotes
    that one."""
    _ready(site, "api", "web", "worker")
    before = site.at("prod", "api")
    announcing = site.hold("_tagflow.prod.*", "api")
    second = site.start("promote", "api=v1.1.0", "--to", "prod", held=announcing)
    announcing.arrived()
    moved, failing = site.hold("prod", "api", when="after"), site.hold("prod", "worker", then="fail")
    first = site.start("promote", "v1.1.0", "--to", "prod", held=moved, failing=failing)
    moved.arrived()
    moved.release()
    failing.arrived()
    announcing.release()
    other = second.wait()
    failing.release()
    assert first.wait().status != 0
    assert site.at("prod", "api") == (site.at("v1.1.0", "api") if other.status == 0 else before)
    _clean(site)


# --- 7. two promotions, both green -----------------------------------------------------------------------------------


@_scene(7, "_tagflow.prod.*", "v1.1.0-prod", "prod")
def two_promotions_one_held_before(site: Site, value: str) -> None:
    _ready(site)
    held = site.hold(value)
    first = site.start("promote", "v1.1.0", "--to", "prod", held=held)
    held.arrived()
    second = site.tagflow("promote", "v1.2.0", "--to", "prod")
    held.release()
    won = _one_wins(first.wait(), second)
    assert site.at("prod") == site.at(("v1.1.0", "v1.2.0")[won])
    _clean(site)


@_scene(7)
def two_promotions_that_both_had_looked(site: Site) -> None:
    """Each had decided before the other announced itself; one is held right before it moves the tag."""
    _ready(site)
    announcing = site.hold("_tagflow.prod.*")
    second = site.start("promote", "v1.2.0", "--to", "prod", held=announcing)
    announcing.arrived()
    moving = site.hold("prod")
    first = site.start("promote", "v1.1.0", "--to", "prod", held=moving)
    moving.arrived()
    announcing.release()
    other = second.wait()
    moving.release()
    won = _one_wins(first.wait(), other)
    assert site.at("prod") == site.at(("v1.1.0", "v1.2.0")[won])
    _clean(site)


@_scene(7)
def two_promotions_as_it_comes(site: Site) -> None:
    """Where one had ended before the other looked, both may end with 0: then the later one stands."""
    _ready(site)
    site.hurry()
    both = [site.start("promote", version, "--to", "prod") for version in ("v1.1.0", "v1.2.0")]
    done = [it.wait() for it in both]
    won = [version for version, it in zip(("v1.1.0", "v1.2.0"), done, strict=True) if it.status == 0]
    assert won, [(it.status, it.err) for it in done]
    assert all(it.status in (0, *CONFLICT) for it in done), [(it.status, it.err) for it in done]
    assert site.at("prod") in {site.at(version) for version in won}
    _clean(site)


# --- 8. a rollback during the last phase -----------------------------------------------------------------------------


@_scene(8)
def rollback_during_the_last_phase_of_a_promotion(site: Site) -> None:
    _ready(site)
    before = site.at("prod")
    held = site.hold("latest")
    first = site.start("promote", "v1.1.0", "--to", "prod", held=held)
    held.arrived()
    second = site.tagflow("rollback", "prod")
    held.release()
    assert (first.wait().status, second.status) == (0, 0)
    assert {site.at("prod"), site.at("latest"), site.at("v1")} == {before}
    _clean(site)


# --- 9. a matrix of jobs ---------------------------------------------------------------------------------------------

_JOBS, _AT_ONCE = 30, 6


def _matrix(site: Site, jobs: Sequence[tuple[str, ...]]) -> None:
    """All of these commands, six at a time; each must succeed."""
    running = [site.start(*job) for job in jobs[:_AT_ONCE]]
    for number, job in enumerate(jobs):
        done = running[number].wait()
        assert done.status == 0, (job, done.status, done.err)
        if len(running) < len(jobs):
            running.append(site.start(*jobs[len(running)]))


@_scene(9)
def matrix_of_jobs_one_image_each(site: Site) -> None:
    """In every other round they would wait for one another, if they had to."""
    names = [f"app-{number:02}" for number in range(_JOBS)]
    site.write_policy(*names)
    waiting = ("--wait", "5m") if site.number % 2 else ()
    sources = [site.source(name, "a") for name in names]
    site.hurry()
    _matrix(site, [("push", "v1.0.0", source, *waiting) for source in sources])
    _matrix(site, [("promote", f"{name}=v1.0.0", "--to", "prod", *waiting) for name in names])
    for name in names:
        assert site.at("prod", name) == site.at("v1.0.0", name) is not None
    _clean(site)


# --- 10. a rollback that changes nothing -----------------------------------------------------------------------------


@_scene(10)
def rollback_passes_over_what_is_the_same_bytes(site: Site) -> None:
    site.write_policy(only=True)
    site.through("v2.0.0", "prod")
    before = site.at("prod")
    for version in ("v3.0.0-rc.5", "v3.0.0"):
        site.build(version, seed="the same")
        site.done("promote", version, "--to", "prod")
    site.done("rollback", "prod")
    assert site.at("prod") == before
    site.build("v3.0.1", seed="the same")
    again = site.tagflow("promote", "v3.0.1", "--to", "prod")
    assert (again.status, code(again)) == (3, "promotion.held")
    assert site.at("prod") == before


# --- 11. a rollback tried again --------------------------------------------------------------------------------------


@_scene(11)
def rollback_tried_again_does_not_bring_in_what_failed(site: Site) -> None:
    """The first release of two images: one cannot be moved, and no tag can be removed there."""
    site.write_policy("api", "web", only=True)
    site.build("v1.0.0")
    fixed = site.refusal("prod", "api", "web", removal=True)
    held = site.refusal("prod", "web")
    first = site.start("promote", "v1.0.0", "--to", "prod", held=held, failing=fixed).wait()
    assert first.status in (6, 7), first.out
    for failing in (fixed, None):
        site.tagflow("rollback", "prod", failing=failing)
        assert site.at("prod", "web") is None


@_scene(11)
def rollback_that_failed_once_goes_where_it_was_to_go(site: Site) -> None:
    """prod was set back by hand; the first try of a rollback fails."""
    _ready(site, "api", "web")
    site.done("promote", "v1.1.0", "--to", "prod")
    site.store("web").move("prod", site.store("web").get("v1.0.0"), site.store("web").resolve("prod"))
    planned = site.done("rollback", "prod", "--dry-run").result["plan"]["moves"]
    wanted = {"api": site.at("prod", "api"), "web": site.at("prod", "web")}
    wanted |= {it["image"]: it["to"] for it in planned if it["kind"] == "environment"}
    failed = site.tagflow("rollback", "prod", failing=site.refusal("prod", "api", "web"))
    assert failed.status in (6, 7), failed.out
    if site.proxy is not None:
        site.proxy.clear()
    site.tagflow("rollback", "prod")
    assert {name: site.at("prod", name) for name in ("api", "web")} == wanted
    _clean(site)


# --- 12. the storm ---------------------------------------------------------------------------------------------------


@_scene(12)
def storm(site: Site) -> None:
    weather = Storm(site)
    weather.prepare()
    for judge in (weather.blow, weather.calm):
        wrongs = judge()
        assert not wrongs, "; ".join(map(str, wrongs))
