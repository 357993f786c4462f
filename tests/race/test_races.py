"""Two people act at once. Each case was seen to go wrong; each is played move by move, on a registry and on layouts."""

from __future__ import annotations

import subprocess

import pytest

from tests.marks import LONG, mostly_long
from tests.race.site import Site, code
from tests.servers import require

CONFLICT = (3, 5)
"""Refused by what is true by now, or overtaken."""


def _ready(site: Site, *names: str, more: str = "") -> None:
    """v1.0.0 in dev and prod, v1.1.0 and v1.2.0 in dev."""
    site.write_policy(*names, more=more)
    site.through("v1.0.0", "dev", "prod")
    site.through("v1.1.0", "dev")
    site.through("v1.2.0", "dev")


def _clean(site: Site) -> None:
    """Neither the independent reader nor `verify` finds anything."""
    assert site.wrongs() == []
    done = site.tagflow("verify")
    assert done.status == 0, done.out


# --- 1. what was rolled back comes back ------------------------------------------------------------------------------


@LONG
def test_version_rolled_back_while_a_gate_runs_stays_away(site: Site) -> None:
    _ready(site, more=site.gated())
    before = site.at("prod")
    gate = site.gate()
    first = site.start("promote", "v1.1.0", "--to", "prod", held=gate)
    gate.arrived()
    site.done("promote", "v1.1.0", "--to", "prod")
    site.done("rollback", "prod")
    gate.release()
    assert first.wait().status in CONFLICT
    assert site.at("prod") == before
    _clean(site)


@LONG
def test_freeze_that_begins_while_a_gate_runs_holds(site: Site) -> None:
    _ready(site, more=site.gated())
    before = site.at("prod")
    gate = site.gate()
    first = site.start("promote", "v1.1.0", "--to", "prod", held=gate)
    gate.arrived()
    site.done("freeze", "prod", "--reason", "an incident")
    gate.release()
    assert first.wait().status in CONFLICT
    assert site.at("prod") == before
    _clean(site)


@LONG
def test_hold_that_is_written_while_a_gate_runs_holds(site: Site) -> None:
    _ready(site, more=site.gated())
    before = site.at("prod")
    gate = site.gate()
    first = site.start("promote", "v1.1.0", "--to", "prod", held=gate)
    gate.arrived()
    site.done("hold", "prod", "v1.1.0", "--reason", "leaks")
    gate.release()
    assert first.wait().status in CONFLICT
    assert site.at("prod") == before
    _clean(site)


# --- 2, 4. version tags are overwritten, or bricked ------------------------------------------------------------------


@pytest.mark.parametrize("tag", mostly_long(["_tagflow.dev.*", "v1.4.0", "v1.4.0-dev"], "v1.4.0"))
def test_two_builds_of_one_version(site: Site, tag: str) -> None:
    """One is held before it announces itself, or before one of its anchors; the other runs to its end."""
    site.through("v1.0.0", "dev")
    held = site.hold(tag)
    first = site.start("push", "v1.4.0", site.source("web", "a"), held=held)
    held.arrived()
    second = site.tagflow("push", "v1.4.0", site.source("web", "b"))
    held.release()
    statuses = [first.wait().status, second.status]
    assert sorted(statuses)[0] == 0, statuses
    assert sorted(statuses)[1] in CONFLICT, statuses
    assert len({site.at("v1.4.0"), site.at("v1.4.0-dev"), site.at("dev")}) == 1
    _clean(site)


@LONG
def test_two_builds_that_both_decided_before_either_wrote(site: Site) -> None:
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
    statuses = [first.wait().status, other.status]
    assert sorted(statuses)[0] == 0, statuses
    assert sorted(statuses)[1] in CONFLICT, statuses
    assert len({site.at("v1.4.0"), site.at("v1.4.0-dev"), site.at("dev")}) == 1
    _clean(site)


@pytest.mark.skopeo
@LONG
@pytest.mark.registry
def test_version_that_another_tool_pushes_between_two_tries(registry_site: Site) -> None:
    site = registry_site
    skopeo, proxy = require("skopeo"), site.proxy
    assert proxy is not None
    assert site.server is not None
    site.through("v1.0.0", "dev")
    theirs = site.build("v1.4.0", seed="theirs", tag="elsewhere")["web"]
    where = f"docker://{site.server.host}/{site.namespace}/web"

    def overtake() -> None:
        arguments = ["--src-tls-verify=false", "--dest-tls-verify=false", f"{where}:elsewhere", f"{where}:v1.4.0"]
        subprocess.run([skopeo, "copy", "-q", *arguments], check=True)

    proxy.add(method="PUT", path="/manifests/v1.4.0$", status=503, strike=overtake)
    before = site.at("dev")
    done = site.tagflow("push", "v1.4.0", site.source("web", "ours"))
    assert done.status in CONFLICT, done.err
    assert site.at("v1.4.0") == theirs
    assert site.at("dev") == before


# --- 3. verify sees it -----------------------------------------------------------------------------------------------


@LONG
def test_verify_finds_that_an_environment_does_not_run_its_version(site: Site) -> None:
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


@LONG
def test_abandoned_release_does_not_come_back(site: Site) -> None:
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


@LONG
@pytest.mark.registry
def test_putting_back_leaves_what_somebody_else_was_told(registry_site: Site) -> None:
    site = registry_site
    proxy = site.proxy
    assert proxy is not None
    _ready(site, "api", "web", "worker")
    before = site.at("prod", "api")
    announcing = site.hold("_tagflow.prod.*", "api")
    second = site.start("promote", "api=v1.1.0", "--to", "prod", held=announcing)
    announcing.arrived()
    moved, held = site.hold("prod", "api", when="after"), site.hold("prod", "worker")
    proxy.add(**moved.fault)
    held.fault = {**held.fault, "status": 403}
    first = site.start("promote", "v1.1.0", "--to", "prod", held=held)
    moved.arrived()
    moved.release()
    held.arrived()
    announcing.release()
    other = second.wait()
    held.release()
    assert first.wait().status != 0
    assert site.at("prod", "api") == (site.at("v1.1.0", "api") if other.status == 0 else before)
    _clean(site)


# --- 7. two promotions, both green -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["_tagflow.prod.*", "v1.1.0-prod", "prod"])
@LONG
def test_two_promotions_of_different_versions(site: Site, tag: str) -> None:
    _ready(site)
    held = site.hold(tag)
    first = site.start("promote", "v1.1.0", "--to", "prod", held=held)
    held.arrived()
    second = site.tagflow("promote", "v1.2.0", "--to", "prod")
    held.release()
    statuses = [first.wait().status, second.status]
    assert sorted(statuses)[0] == 0, statuses
    assert sorted(statuses)[1] in CONFLICT, statuses
    assert site.at("prod") == site.at("v1.1.0" if statuses[0] == 0 else "v1.2.0")
    _clean(site)


@LONG
def test_two_promotions_that_both_had_looked(site: Site) -> None:
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
    statuses = [first.wait().status, other.status]
    assert sorted(statuses)[0] == 0, statuses
    assert sorted(statuses)[1] in CONFLICT, statuses
    assert site.at("prod") == site.at("v1.1.0" if statuses[0] == 0 else "v1.2.0")
    _clean(site)


# --- 8. a rollback during the last phase -----------------------------------------------------------------------------


@LONG
def test_rollback_during_the_last_phase_of_a_promotion(site: Site) -> None:
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


@LONG
def test_matrix_of_jobs_one_image_each(site: Site) -> None:
    names = tuple(f"app-{number}" for number in range(6))
    site.write_policy(*names)
    pushing = [site.start("push", "v1.0.0", site.source(name, "a")) for name in names]
    assert [it.wait().status for it in pushing] == [0] * len(names)
    promoting = [site.start("promote", f"{name}=v1.0.0", "--to", "prod") for name in names]
    assert [it.wait().status for it in promoting] == [0] * len(names)
    assert {site.at("prod", name) for name in names} == {site.at("v1.0.0", name) for name in names}
    _clean(site)


# --- 10. a rollback that changes nothing -----------------------------------------------------------------------------


@LONG
def test_rollback_passes_over_what_is_the_same_bytes(site: Site) -> None:
    site.through("v2.0.0", "dev", "prod")
    before = site.at("prod")
    for version in ("v3.0.0-rc.5", "v3.0.0"):
        site.build(version, seed="the same")
        for environment in ("dev", "prod"):
            site.done("promote", version, "--to", environment)
    site.done("rollback", "prod")
    assert site.at("prod") == before
    site.build("v3.0.1", seed="the same")
    site.done("promote", "v3.0.1", "--to", "dev")
    again = site.tagflow("promote", "v3.0.1", "--to", "prod")
    assert (again.status, code(again)) == (3, "promotion.held")
    assert site.at("prod") == before


# --- 11. a rollback tried again --------------------------------------------------------------------------------------


@LONG
@pytest.mark.registry
def test_rollback_tried_again_does_not_bring_in_what_failed(registry_site: Site) -> None:
    """The first release of two images: one cannot be moved, and no tag can be removed there."""
    site = registry_site
    proxy = site.proxy
    assert proxy is not None
    site.write_policy("api", "web")
    site.through("v1.0.0", "dev")
    proxy.add(method="PUT", path="/web/manifests/prod$", status=403, times=1_000)
    proxy.add(method="DELETE", path="/manifests/", status=405, times=1_000)
    first = site.tagflow("promote", "v1.0.0", "--to", "prod")
    assert first.status in (6, 7), first.out
    proxy.faults[:] = [it for it in proxy.faults if it.method == "DELETE"]
    for _ in range(3):
        site.tagflow("rollback", "prod")
        assert site.at("prod", "web") is None


@LONG
@pytest.mark.registry
def test_rollback_that_failed_once_goes_where_it_was_to_go(registry_site: Site) -> None:
    """prod was set back by hand; the first try of a rollback fails."""
    site = registry_site
    proxy = site.proxy
    assert proxy is not None
    _ready(site, "api", "web")
    site.done("promote", "v1.1.0", "--to", "prod")
    site.store("web").move("prod", site.store("web").get("v1.0.0"), site.store("web").resolve("prod"))
    planned = site.done("rollback", "prod", "--dry-run").result["plan"]["moves"]
    wanted = {it["image"]: it["to"] for it in planned if it["kind"] == "environment"}
    wanted = {"api": site.at("prod", "api"), "web": site.at("prod", "web")} | wanted
    proxy.add(method="PUT", path="/(api|web)/manifests/prod$", status=403, times=1_000)
    failed = site.tagflow("rollback", "prod")
    assert failed.status in (6, 7), failed.out
    proxy.clear()
    site.tagflow("rollback", "prod")
    assert {name: site.at("prod", name) for name in ("api", "web")} == wanted
    _clean(site)
