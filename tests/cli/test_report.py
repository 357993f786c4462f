"""`status --html`: one page, read in a real browser as a person reads it, and written so that nothing can hurt it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tagflow.cli.report.page import render
from tagflow.domain.reference import Repository, digest_of
from tagflow.stores.layout.store import LayoutStore
from tagflow.verbs.history import Present
from tagflow.verbs.report import Report, Timeline
from tagflow.verbs.status import Cell, Row
from tests import images
from tests.browser import Page, browser
from tests.cli.runner import Desk
from tests.cli.test_many import ENVIRONMENTS, NAMES
from tests.marks import LONG

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'&\x1b[31m\u202e"
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Two images: a promotion, a rollback with a hold, a promotion of one image, one moved by hand."""
    desk = Desk(tmp_path_factory.mktemp("scene"))
    desk.write(POLICY)
    desk.through("v1.0", "dev", "test", "prod")
    desk.through("v1.1", "dev", "test", "prod")
    assert desk.quickly("rollback", "prod", "--reason", "the start page is blank").status == 0
    desk.through("v1.2", "dev")
    assert desk.quickly("promote", "frontend=v1.2", "--to", "test", TAGFLOW_ACTOR="bob").status == 0
    store = LayoutStore(Repository(f"oci:{desk.path}/registry", "back_end"))
    images.index(store, seed="by hand", tag="test")
    return desk


POLICY = """\
version: 1
registry: oci:./registry
images: {frontend: frontend, backend: back_end}
environments: {dev: {}, test: {}, prod: {floating: [latest]}}
"""


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(window: Page, scene: Desk, tmp_path: Path) -> Page:
    """The page of the scene, opened."""
    path = tmp_path / "status.html"
    assert scene.quickly("status", "--html", str(path)).status == 0
    window.open(path)
    return window


def row(page: Page, image: str) -> list[str]:
    return page.shown(f'tr[data-image="{image}"] td')


def test_matrix(page: Page) -> None:
    assert page.shown("thead th") == ["Image", "dev", "test", "prod"]
    dev, test, prod = row(page, "frontend")
    assert re.fullmatch(r"A v1\.2 \d+[smh]", dev)
    assert re.fullmatch(r"A v1\.2 \d+[smh]", test)
    assert prod.startswith("B v1.0")
    assert "by hand" in row(page, "backend")[1]
    assert page.shown(".counts li") == ["2 images", "3 environments", "1 moved by hand", "1 held version"]


def test_a_phone_shows_whole_versions(page: Page, tmp_path: Path) -> None:
    page.picture(tmp_path / "phone.png", width=390, height=844)
    cut = page.run(
        "Array.from(document.querySelectorAll('.cell .version:not(.unknown)'))"
        ".filter((it) => it.scrollWidth > it.clientWidth).length"
    )
    assert cut == 0
    assert page.shown(".cell .age") == []
    page.call("Emulation.clearDeviceMetricsOverride")


def test_a_cell_says_more_when_it_is_opened(page: Page) -> None:
    page.click('tr[data-image="frontend"] [data-env="test"] summary')
    assert re.search(r"^A v1\.2 \d+[smh] [0-9a-f]{12} since [\d: -]+Z by bob What happened", row(page, "frontend")[1])
    page.click('tr[data-image="frontend"] [data-env="prod"] summary')
    assert "holds v1.1 the start page is blank, by ann" in row(page, "frontend")[2]
    assert page.run("document.querySelector('tr[data-image=backend] [data-env=test] details').open") is False


def test_a_cell_says_more_while_it_has_the_focus(page: Page, tmp_path: Path) -> None:
    page.picture(tmp_path / "shot.png", width=1280, height=860)
    height = "document.querySelector('tr[data-image=frontend]').offsetHeight"
    before = page.run(height)
    page.run("document.querySelector('tr[data-image=frontend] [data-env=test] summary').focus({focusVisible: true})")
    assert "by bob" in page.shown('tr[data-image="frontend"] [data-env="test"] .more')[0]
    assert page.run(height) == before


def test_environments_come_first_each_with_what_it_runs(page: Page) -> None:
    dev, test, prod = page.shown(".flow li")
    assert re.fullmatch(r"dev v1\.2 all 2 promote \d+[smh]", dev)
    assert re.fullmatch(r"test v1\.2 1 of 2 promote \d+[smh] 1 by hand", test)
    assert re.fullmatch(r"prod v1\.0 all 2 rollback \d+[smh] v1\.1 held", prod)
    order = "['.flow', '#controls', '#matrix', '.timelines'].map((it) => document.querySelector(it).offsetTop)"
    assert page.run(order) == sorted(page.run(order))


def test_filter(page: Page) -> None:
    page.press("/")
    page.type("frontend v1.2")
    assert page.shown("tbody th") == ["frontend"]
    assert page.shown("#found") == ["1 of 2 images, 2 of 10 events"]
    page.press("Escape")
    assert page.shown("tbody th") == ["backend", "frontend"]  # out of the ordinary first
    page.run("state.value = 'attention'; state.dispatchEvent(new Event('change'))")
    assert page.shown("tbody th") == ["backend"]
    page.click("#clear")
    page.run("new Promise((done) => setTimeout(done))")
    assert page.shown("tbody th") == ["backend", "frontend"]
    page.click('[data-chip="test"]')
    assert page.shown("thead th") == ["Image", "dev", "prod"]
    assert page.shown(".timeline h3") == ["prod", "dev"]


def test_timeline(page: Page) -> None:
    events = page.shown("#env-prod .event")
    assert [re.search(r"push|promote|rollback|adopt|abort|drift", it)[0] for it in events] == [  # type: ignore[index]
        "rollback", "promote", "promote",
    ]  # fmt: skip
    assert "the start page is blank" in events[0]
    assert events[0].startswith("↩ rollback v1.1 → v1.0 ")
    assert "frontend v1.1 → v1.0" in events[0]
    assert "holds v1.1" in events[0]
    assert "drift" in page.shown("#env-test .event")[0]
    page.run("action.value = 'rollback'; action.dispatchEvent(new Event('change'))")
    assert [len(page.shown(f"#env-{name} .event")) for name in ("dev", "test", "prod")] == [0, 0, 1]
    assert page.shown("#env-dev .none") == ["No event matches."]


def test_follow_a_cell_to_its_timeline(page: Page) -> None:
    page.click('tr[data-image="backend"] [data-env="prod"] summary')
    page.click('tr[data-image="backend"] [data-env="prod"] a')
    assert page.run("document.activeElement.id") == "env-prod"
    assert page.run("location.hash") == "#env-prod"
    assert all("backend" in it and "frontend" not in it for it in page.shown("#env-prod .event"))


def test_nothing_from_outside_and_no_complaint(page: Page) -> None:
    assert [it["request"]["url"] for it in page.heard("Network.requestWillBeSent")] == [page.run("location.href")]
    assert page.heard("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled") == []


def test_every_control_has_a_name(page: Page) -> None:
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    named = {
        "button",
        "link",
        "searchbox",
        "combobox",
        "table",
        "columnheader",
        "rowheader",
        "search",
        "region",
        "group",
    }
    found = [(it["role"]["value"], it.get("name", {}).get("value", "")) for it in nodes if not it["ignored"]]
    # A cell that unfolds is a group, which its summary names.
    assert [it for it in found if it[0] in named - {"group"} and not it[1]] == []
    assert ("group", "Environments") in found
    assert {role for role, _ in found} >= named
    assert ("table", "Which version of each image runs in each environment") in found


@pytest.fixture
def past(window: Page, tmp_path: Path) -> Page:
    """A page of four releases a day apart: v1.0, v1.1, back to v1.0, v1.2 for one image."""
    days = [0]
    desk = Desk(tmp_path, lambda: START + timedelta(days=days[0]))
    desk.write(POLICY)
    desk.through("v1.0", "dev", "test", "prod")
    days[0] = 1
    desk.through("v1.1", "dev", "test", "prod")
    days[0] = 2
    assert desk.quickly("rollback", "prod").status == 0
    days[0] = 3
    desk.through("v1.2", "dev", "test")
    days[0] = 4
    assert desk.quickly("promote", "frontend=v1.2", "--to", "prod").status == 0
    days[0] = 5
    assert desk.quickly("status", "--html", str(tmp_path / "past.html")).status == 0
    window.open(tmp_path / "past.html")
    return window


def store_of(desk: Desk, path: str) -> LayoutStore:
    return LayoutStore(Repository(f"oci:{desk.path}/registry", path))


def slide(page: Page, stop: int) -> list[list[str]]:
    """What the rows say at a stop of the slider."""
    page.run(f"document.getElementById('when').value = {stop}")
    page.run("document.getElementById('when').dispatchEvent(new Event('input'))")
    return [row(page, image) for image in ("frontend", "backend")]


def test_the_slider_shows_what_ran_when(past: Page) -> None:
    assert past.run("((slider) => [slider.max, slider.value])(document.getElementById('when'))") == ["5", "5"]
    assert slide(past, 0) == [["v1.0"] * 3, ["v1.0"] * 3]
    assert past.shown("#when-told") == ["2026-03-02 09:00Z"]
    assert slide(past, 1) == [["v1.1"] * 3, ["v1.1"] * 3]
    assert slide(past, 2) == [["v1.1", "v1.1", "v1.0"], ["v1.1", "v1.1", "v1.0"]]
    assert slide(past, 3) == [["v1.2", "v1.2", "v1.0"], ["v1.2", "v1.2", "v1.0"]]
    assert slide(past, 4) == [["v1.2", "v1.2", "v1.2"], ["v1.2", "v1.2", "v1.0"]]
    assert slide(past, 5)[0][0].startswith("A v1.2")
    assert past.shown("#when-told") == ["now"]
    slide(past, 0)
    past.click("#clear")
    past.run("new Promise((done) => setTimeout(done))")
    assert past.shown("#when-told") == ["now"]
    assert past.heard("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled") == []


def test_the_slider_where_not_all_releases_are_on_the_page(
    window: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an image ran does not depend on how often others were released; what ran before its oldest record that is
    shown is not known, and was something."""
    monkeypatch.setattr("tagflow.verbs.report.NEWEST", 2)
    days = [0]
    desk = Desk(tmp_path, lambda: START + timedelta(days=days[0]))
    desk.write(POLICY)
    for number, names in enumerate([("frontend", "backend"), ("backend",), ("backend",), ("frontend",)]):
        days[0] = number
        desk.build(f"v1.{number}", *names)
        targets = [f"{name}=v1.{number}" for name in names]
        assert desk.quickly("promote", *targets, "--to", "dev").status == 0
    days[0] = 20
    assert desk.quickly("status", "dev", "--html", "page.html").status == 0
    window.open(tmp_path / "page.html")
    assert slide(window, 0) == [["v1.0"], ["unknown"]]
    assert slide(window, 1) == [["v1.0"], ["v1.1"]]
    assert slide(window, 3) == [["v1.3"], ["v1.2"]]
    assert window.shown("#env-dev > .none") == ["3 older records are not shown: tagflow history dev tells more."]
    assert window.shown("#env-dev figcaption")[0].startswith("3 deployed since 2026-03-03 · ")


def test_a_record_that_cannot_be_read_is_not_told_as_an_older_one(window: Page, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(POLICY)
    desk.through("v1.0", "dev")
    [record] = [tag for tag in store_of(desk, "frontend").tags() if tag.startswith("_tagflow.dev")]
    digest = store_of(desk, "frontend").resolve(record)
    assert digest
    (tmp_path / "registry/frontend/blobs/sha256" / digest[7:]).write_bytes(b"damaged")
    assert desk.quickly("status", "--html", "page.html").status == 0
    window.open(tmp_path / "page.html")
    assert window.shown("#env-dev > .none") == []


def test_the_numbers_are_a_picture_without_scripts(past: Page, tmp_path: Path) -> None:
    past.open(tmp_path / "past.html", scripts=False)
    assert past.shown("#env-prod figcaption") == [
        "3 deployed in 12 weeks · 1 failed (33%) · lead time 0s · restored in 1d"
    ]
    assert past.run("document.querySelectorAll('#env-prod svg g').length") == 12
    bars = "Array.from(document.querySelectorAll('#env-prod .all'), (bar) => bar.getBoundingClientRect().height)"
    heights = past.run(bars)
    assert sum(height > 0 for height in heights) == 1  # all in the last week
    assert "deployments that were rolled back or aborted" in past.run("document.querySelector('.meanings').textContent")
    assert past.shown("#when") == []


def test_light_and_dark(page: Page) -> None:
    colours = "getComputedStyle(document.body).backgroundColor"
    assert page.run(colours) == "rgb(245, 246, 248)"
    page.click("#theme")
    assert page.run(colours) == "rgb(15, 19, 26)"


@pytest.mark.parametrize("width", [320, 390, 800, 1600])
@LONG
def test_fits_any_window(page: Page, tmp_path: Path, width: int) -> None:
    """The matrix scrolls in itself; the page never sideways."""
    page.picture(tmp_path / "shot.png", width=width, height=800)
    assert page.run("document.documentElement.scrollWidth") == width


def test_without_scripts_everything_is_there(page: Page, scene: Desk, tmp_path: Path) -> None:
    page.open(tmp_path / "status.html", scripts=False)
    assert len(page.shown(".event")) == 10
    assert len(page.shown("tbody tr")) == 2
    assert page.shown("#controls") == page.shown("#theme") == []


def test_hostile_names(window: Page, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(POLICY)
    desk.build("v1.0")
    assert desk.quickly("promote", "v1.0", "--to", "dev", "--reason", HOSTILE, TAGFLOW_ACTOR=HOSTILE).status == 0
    assert desk.quickly("status", "--html", "page.html").status == 0
    window.open(tmp_path / "page.html")
    assert window.run("document.title").startswith("What runs where")
    window.run("document.querySelectorAll('td details').forEach((it) => { it.open = true; })")
    assert "document.title='owned'" in window.shown("td .since")[0]
    assert "document.title='owned'" in window.shown(".reason")[0]
    assert "\\x1b[31m\\x202e" in window.shown(".reason")[0]
    assert window.run("document.images.length") == 0
    assert window.heard("Log.entryAdded", "Runtime.exceptionThrown") == []
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", (tmp_path / "page.html").read_text())


def test_hostile_names_that_no_policy_would_let_in(window: Page, tmp_path: Path) -> None:
    held = Cell("prod", HOSTILE, digest_of(b""), START, HOSTILE, "recorded", (HOSTILE,))
    timeline = Timeline("prod", (Present(HOSTILE, digest_of(b""), "unrecorded", 2),), (), 7)
    report = Report((Row(HOSTILE, (held,)),), (timeline,))
    (tmp_path / "page.html").write_text(render(report, registry=HOSTILE, made=START, version="1"))
    window.open(tmp_path / "page.html")
    assert window.run("document.title").startswith("What runs where: </script>")
    assert window.run("[document.images.length, document.scripts.length]") == [0, 1]
    assert window.run("document.querySelector('tbody tr').dataset.image").startswith("</script><script>")
    assert window.heard("Log.entryAdded", "Runtime.exceptionThrown") == []


def test_interrupted_release(window: Page, tmp_path: Path) -> None:
    """An environment tag at the digest before its head record: announced, and not arrived."""
    desk = Desk(tmp_path)
    desk.write(POLICY)
    desk.through("v1.0", "dev")
    desk.through("v1.1", "dev")
    store = LayoutStore(Repository(f"oci:{tmp_path}/registry", "frontend"))
    store.move("dev", store.get("v1.0"), store.resolve("v1.1"))
    assert desk.quickly("status", "frontend", "--html", "page.html").status == 0
    window.open(tmp_path / "page.html")
    assert row(window, "frontend")[0].startswith("A v1.0 → v1.1")
    assert ["interrupted" in it for it in window.shown("#env-dev .event")] == [True, False]
    assert "1 interrupted" in window.shown(".counts li")


def test_narrowed_and_as_json(scene: Desk, tmp_path: Path) -> None:
    path = tmp_path / "status.html"
    document = scene.json("status", "prod", "frontend", "--html", str(path))
    assert [cell["environment"] for cell in document["result"]["images"][0]["environments"]] == ["prod"]
    text = path.read_text()
    assert 'id="env-prod"' in text
    assert 'id="env-dev"' not in text
    assert "backend" not in text


def test_the_same_table_beside_it(scene: Desk, tmp_path: Path) -> None:
    at = datetime.now(UTC) + timedelta(minutes=1)
    desk = replace(scene, now=lambda: at)  # both tell an age
    plain = desk.quickly("status")
    done = desk.quickly("status", "--html", str(tmp_path / "a.html"))
    assert done.out == plain.out
    assert done.err == f"Wrote {tmp_path / 'a.html'}.\n"


@pytest.mark.parametrize("place", ["missing/page.html", ".", "promotion.yaml/page.html"])
def test_a_place_that_cannot_be_written_is_refused_first(desk: Desk, place: str) -> None:
    desk.write("version: 1\nregistry: 127.0.0.1:1\nimages: {app: app}\nenvironments: {dev: {}}\n")
    document = desk.json("status", "--html", place)
    assert document["exit_code"] == 6
    assert document["error"]["code"] == "file.unwritable"
    assert document["result"] is None


def test_an_old_page_stays_where_a_new_one_fails(desk: Desk) -> None:
    (desk.path / "page.html").write_text("old")
    desk.write("version: 1\nregistry: 127.0.0.1:1\nimages: {app: app}\nenvironments: {dev: {}}\n")
    assert desk.quickly("--timeout", "1s", "status", "--html", "page.html").status == 6
    assert (desk.path / "page.html").read_text() == "old"
    assert sorted(it.name for it in desk.path.iterdir() if "page" in it.name) == ["page.html"]


def test_a_symbolic_link_is_followed(scene: Desk, tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to(tmp_path / "real.html")
    assert scene.quickly("status", "--html", str(tmp_path / "link.html")).status == 0
    assert (tmp_path / "link.html").is_symlink()
    assert "What runs where" in (tmp_path / "real.html").read_text()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty images in six environments: most run the same, five do not."""
    rows = [Row(image, tuple(_cell(image, name) for name in ENVIRONMENTS)) for image in NAMES]
    timelines = [Timeline(name, (), (), 0) for name in ENVIRONMENTS]
    path = tmp_path_factory.mktemp("forty") / "page.html"
    path.write_text(render(Report(tuple(rows), tuple(timelines)), registry="registry.test", made=START, version="1"))
    return path


def _cell(image: str, environment: str) -> Cell:
    own = NAMES.index(image)
    version = f"v1.1.{own}" if own < 5 else "v1.2"
    return Cell(environment, version, digest_of(f"{image}{version}".encode()), START, "ann", "recorded", ())


class TestForty:
    """Forty images in six environments: the screen of a laptop, and of a phone."""

    def test_equal_images_are_one_row_that_unfolds(self, window: Page, path: Path) -> None:
        for scripts in (True, False):
            window.open(path, scripts=scripts)
            assert len(window.shown("tbody tr")) == 6
            assert window.shown(".fold th label") == ["35 images"]
            window.click(".fold input")
            assert len(window.shown("tbody tr")) == 41

    def test_what_is_looked_for_is_found_in_a_fold(self, window: Page, path: Path) -> None:
        window.open(path)
        window.press("/")
        window.type("webhooks")
        assert window.shown("tbody th") == ["webhooks"]
        window.press("Escape")
        assert len(window.shown("tbody tr")) == 6

    def test_twenty_images_and_six_environments_fit_a_laptop(self, window: Page, path: Path, tmp_path: Path) -> None:
        window.open(path)
        window.picture(tmp_path / "shot.png", width=1280, height=860)
        window.click(".fold input")
        window.run("window.scrollTo({top: 0, behavior: 'instant'})")
        whole = (
            "Array.from(document.querySelectorAll('tbody tr[data-image]')).filter((it) =>"
            " it.checkVisibility() && it.getBoundingClientRect().bottom <= innerHeight"
            " && it.getBoundingClientRect().right <= innerWidth).length"
        )
        assert window.run(whole) >= 20

    def test_a_phone_shows_the_state_first(self, window: Page, path: Path, tmp_path: Path) -> None:
        window.open(path)
        window.picture(tmp_path / "shot.png", width=390, height=844)
        last, form = "document.querySelector('.flow li:last-child')", "document.querySelector('#controls')"
        assert window.run(f"{last}.getBoundingClientRect().bottom <= innerHeight")
        assert window.run(f"{last}.getBoundingClientRect().bottom <= {form}.getBoundingClientRect().top")
        assert window.run("document.documentElement.scrollWidth") == 390
