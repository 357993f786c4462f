"""Forty images in six environments: what people read stays a screen."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from tagflow.cli import wiring
from tagflow.cli.hints import merged, shorter
from tagflow.cli.line import read
from tagflow.cli.progress import counter
from tagflow.cli.render.status import status
from tagflow.cli.session import Session
from tagflow.cli.text import fold, width
from tagflow.config.load import load_policy_text
from tagflow.domain.reference import Repository
from tagflow.stores.layout.store import LayoutStore
from tagflow.verbs.verify import verify
from tests.cli.runner import POLICY, Desk, surroundings
from tests.engine.listener import Ledger

WORDS = (
    "adservice authservice billing cart catalog checkout currency email frontend gateway geo-service identity inventory"
    " jobs-runner kafka-bridge ledger loyalty mailer media-proxy metrics notifications offers orders payments pricing"
    " product-reviews promotions quotes recommendation reports returns search session-store shipping sitemap stock"
    " tax-calculator users wallet webhooks"
)
NAMES = WORDS.split()
ENVIRONMENTS = ("dev", "test", "staging", "prod-canary", "prod-eu", "prod-us")
LINES = (
    "version: 1",
    "registry: registry.example.com/shop",
    f"images: {{{', '.join(f'{it}: {it}' for it in NAMES)}}}",
    f"environments: {{{', '.join(f'{it}: ' for it in ENVIRONMENTS)}}}",
)
FORTY = load_policy_text("\n".join(LINES), base=Path())
NOW = datetime(2026, 11, 25, 21, tzinfo=UTC)


@dataclass
class Cell:
    """One cell, healthy unless it is said otherwise."""

    environment: str
    version: str | None = "v1.2"
    state: str = "recorded"
    found: str | None = None
    wanted: str | None = None
    way_on: str = ""
    holds: tuple[str, ...] = ()
    held: tuple[Any, ...] = ()
    digest: str | None = None
    since: datetime = NOW - timedelta(hours=3)
    by: str = "ann"
    frozen: Any = None
    proof: Any = None
    doubtful: int = 0
    beside: tuple[str, ...] = ()
    leads_back: bool = True
    came_by: Any = None
    changes: dict[str, Any] = field(default_factory=dict)


Odd = Callable[[str, str], dict[str, Any]]


def rows(odd: Odd = lambda _image, _environment: {}) -> list[Any]:
    """The matrix, with what is out of the ordinary."""
    made = []
    for image in NAMES:
        cells = []
        for environment in ENVIRONMENTS:
            given = odd(image, environment)
            label = given.get("version") or given.get("found") or "v1.2"
            cells.append(Cell(environment, **{"digest": f"sha256:{hash(image + label) % 16**12:064x}", **given}))
        made.append(SimpleNamespace(image=image, environments=tuple(cells)))
    return made


def shown(found: list[Any], monkeypatch: pytest.MonkeyPatch, room: int = 80) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(room))
    lines = status(found, FORTY, NOW).splitlines()
    assert max(map(width, lines)) <= room
    return lines


def each_its_own(image: str, environment: str) -> dict[str, Any]:
    return {"version": f"v{NAMES.index(image)}.{ENVIRONMENTS.index(environment)}.0"}


def mess(image: str, environment: str) -> dict[str, Any]:
    match image, environment:
        case "cart", "prod-us":
            return {"version": "v1.1"}
        case (("ledger" | "wallet"), "prod-eu"):
            way_on = "tagflow promote ledger=v1.3 wallet=v1.3 --to prod-eu"
            return {"version": None, "state": "interrupted", "found": "v1.2", "wanted": "v1.3", "way_on": way_on}
        case "search", "prod-us":
            return {"version": None, "state": "unrecorded", "found": "v1.2", "wanted": "v1.1"}
        case "stock", "prod-us":
            return {"version": None, "state": "late", "found": "v1.3", "wanted": "v1.2"}
        case "geo-service", "test":
            return {"version": None, "state": "broken"}
        case _, "staging":
            return {"frozen": SimpleNamespace(by="bob", at=NOW - timedelta(hours=1), reason="incident", until=None)}
        case _, "prod-eu":
            return {"holds": ("v1.3",)}
    return {}


def test_equal_images_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(rows(), monkeypatch)
    assert lines[0].split() == ["IMAGE", *ENVIRONMENTS]
    assert re.fullmatch(r"40 images( +v1\.2){6}", lines[1])
    assert "recorded" not in " ".join(lines)
    assert len(lines) < 10


@pytest.mark.parametrize("room", [80, 120])
def test_forty_that_differ_are_a_screen(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    lines = shown(rows(each_its_own), monkeypatch, room)
    assert len(lines) <= 45
    assert [line.split()[0] for line in lines[1:41]] == NAMES


@pytest.mark.parametrize("room", [80, 120])
def test_a_mess_is_a_screen(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    lines = shown(rows(mess), monkeypatch, room)
    assert len(lines) <= 45
    told = "\n".join(lines)
    for part in (
        "v1.2 (→ v1.3 interrupted): ledger, wallet",
        "tagflow promote ledger=v1.3 wallet=v1.3 --to prod-eu",
        "tagflow rollback prod-eu",
        "v1.2 by hand (was v1.1): search",
        "tagflow rollback prod-us search=v1.1",
        "tagflow promote search=v1.2 --to prod-us",
        "v1.3 came late (should be v1.2): stock",
        "history broken: geo-service",
        "staging is frozen by bob, 1h ago: incident",
        "tagflow freeze staging --lift --reason WHY",
        "prod-eu holds v1.3 (38 images)",
    ):
        assert part in told
    assert re.search(r"^cart .*v1\.1\*$", told, re.M)


def test_states_stand_in_their_cells_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = "\n".join(shown(rows(mess), monkeypatch, 140))
    assert re.search(r"^ledger .* v1\.2 \(→ v1\.3 interrupted\) ", wide, re.M)
    assert re.search(r"^ledger .* v1\.2! ", "\n".join(shown(rows(mess), monkeypatch)), re.M)


def test_a_name_that_is_too_long_stands_above_its_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    long, found = "x" * 60, rows(each_its_own)
    found[3].image = long
    lines = shown(found, monkeypatch)
    assert [line.split()[0] for line in lines[1:4]] == NAMES[:3]
    at = lines.index(long)
    assert len(lines[at + 1].split()) == len(ENVIRONMENTS)


def test_a_narrow_terminal_has_a_line_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(line.split() == ["prod-canary", "v1.2"] for line in shown(rows(), monkeypatch, 40))


def test_a_release_that_is_ahead_has_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def ahead(_image: str, environment: str) -> dict[str, Any]:
        return {"version": "v1.10" if environment == "dev" else "v1.9"}

    lines = shown(rows(ahead), monkeypatch)
    assert "    tagflow promote v1.10 --to test" in lines
    assert len([line for line in lines if line.startswith("    tagflow")]) == 1


def test_what_is_held_or_lower_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def held(_image: str, environment: str) -> dict[str, Any]:
        return {"version": "v1.3", "holds": ()} if environment == "dev" else {"version": "v1.2", "holds": ("v1.3",)}

    def lower(_image: str, environment: str) -> dict[str, Any]:
        return {"version": "v1.1" if environment == "dev" else "v1.2"}

    def held_before(_image: str, environment: str) -> dict[str, Any]:
        return {"version": "v1.3", "holds": ("v1.3",)} if environment == "dev" else {"version": "v1.2"}

    def held_as_another(_image: str, environment: str) -> dict[str, Any]:
        digest = "sha256:" + "ab" * 32
        there = {"version": "v1.3", "digest": digest, "held": (SimpleNamespace(digest=digest, version="v1.3-rc.1"),)}
        return there if environment == "dev" else {"version": "v1.2"}

    for odd in (held, lower, held_before, held_as_another):
        assert not any("tagflow promote" in line for line in shown(rows(odd), monkeypatch))


def test_what_is_held_and_runs_is_told_with_the_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def held(count: int, **known: Any) -> Callable[[str, str], dict[str, Any]]:
        def odd(image: str, environment: str) -> dict[str, Any]:
            runs = environment == "prod-us" and image in NAMES[:count]
            return {"version": "v1.3", "holds": ("v1.3",)} | known if runs else {"version": "v1.2"}

        return odd

    for odd, command in (
        (held(40), "rollback prod-us"),
        (held(2), f"rollback prod-us {' '.join(NAMES[:2])}"),
        (held(9), "verify prod-us"),
        (held(40, leads_back=False), "verify prod-us"),
        (held(2, leads_back=False), "verify prod-us"),
        (held(2, state="interrupted"), "verify prod-us"),
    ):
        lines = shown(rows(odd), monkeypatch)
        [at] = [number for number, line in enumerate(lines) if "prod-us runs v1.3, which is held there" in line]
        assert f"tagflow {command}  # " in "\n".join(lines[at:])
        assert not any("prod-us holds" in line for line in lines)


def test_unknown_builds_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(image: str, environment: str) -> dict[str, Any]:
        if environment != "prod-us" or image not in NAMES[:10]:
            return {}
        digest = f"sha256:{NAMES.index(image):064x}"
        return {"version": None, "state": "unrecorded", "wanted": "v1.1", "digest": digest}

    lines = shown(rows(unknown), monkeypatch, 240)
    assert "! prod-us: unknown builds by hand (was v1.1) (10 images)" in lines
    [command] = [line for line in lines if "tagflow rollback" in line]
    assert command.endswith("  # puts it back")
    assert command.count("=v1.1") == 10


def test_what_was_released_beside_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def forked(image: str, environment: str) -> dict[str, Any]:
        return {"beside": ("v1.1 by bob",)} if environment == "prod-us" and image in NAMES[:10] else {}

    lines = shown(rows(forked), monkeypatch, 240)
    told = "! prod-us: v1.1 by bob was announced beside what runs, and neither had seen the other (10 images)"
    at = lines.index(told)
    assert lines[at + 1].strip() == "tagflow verify prod-us --repair  # joins the two histories"
    assert sum("beside" in line for line in lines) == 1


def test_a_version_that_nothing_tells_is_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(image: str, environment: str) -> dict[str, Any]:
        odd = image == "cart" and environment == "dev"
        return {"version": None, "state": "unrecorded", "digest": "sha256:" + "ab" * 32} if odd else {}

    lines = shown(rows(unknown), monkeypatch)
    assert any(line.startswith("cart") and "abababa" in line for line in lines)


class TestFold:
    def test_lines_that_differ_in_the_image_only(self) -> None:
        message = "\n".join(f"{name} v1 cannot go: it is not admitted to test" for name in NAMES)
        first, second = fold(message, NAMES).splitlines()
        assert first == "40 images: v1 cannot go: it is not admitted to test"
        assert second == f"  {', '.join(NAMES)}"

    def test_an_image_is_a_whole_word(self) -> None:
        assert fold("cart-api fails\ncart fails", ["cart", "cart-api"]) == "cart-api, cart: fails"

    @pytest.mark.parametrize(
        "text", ["registry/{}: a", "run `docker push {}`", "{}: `docker push {}`", "no '{}'", "oci:x:{}", "{}=v1 is"]
    )
    def test_what_only_one_name_fits_into_stays_apart(self, text: str) -> None:
        message = "\n".join(text.replace("{}", name) for name in ("web", "api"))
        assert fold(message, ["web", "api"]) == message

    def test_a_repository_that_is_called_as_its_image(self) -> None:
        message = "web has no v9 in oci:/x/web\napi has no v9 in oci:/x/api"
        assert fold(message, ["web", "api"]) == "web, api have no v9 in oci:/x/NAME"
        assert fold(message.splitlines()[0], ["web", "api"]) == message.splitlines()[0]

    def test_the_first_word_names_them(self) -> None:
        message = "/x/web: web is held, (web) of old\n/x/api: api is held, (api) of old"
        assert fold(message, ["web", "api"]) == "/x/NAME: web, api is held, (the image) of old"

    def test_indented_lines_belong_to_the_one_above(self) -> None:
        assert fold("a: gone:\n  blob 1\nb: gone:\n  blob 2", ["a", "b"]) == "a: gone:\n  blob 1\nb: gone:\n  blob 2"

    def test_thousands_are_counted(self) -> None:
        names = [f"image-{number}" for number in range(5000)]
        told = fold("\n".join(f"{name} fails" for name in names), names)
        assert told.startswith("5000 images: fails\n  image-0, ")
        assert told.endswith("… 4940 more")


class TestCommandsAsOne:
    def test_all_images_of_one_version(self) -> None:
        line = read(["promote", *(f"{name}=v1.2" for name in NAMES), "--to", "prod"])
        assert str(shorter(line, NAMES)) == "tagflow promote v1.2 --to prod"

    def test_but_for_some(self) -> None:
        line = read(["promote", *(f"{name}=v1.{int(name == 'cart')}" for name in NAMES), "--to", "prod"])
        assert str(shorter(line, NAMES)) == "tagflow promote v1.0 cart=v1.1 --to prod"

    def test_some_images_are_named(self) -> None:
        line = read(["rollback", "prod", "cart=v1.2", "email=v1.2"])
        assert shorter(line, NAMES) == line

    def test_nothing_to_come_to_is_no_version(self) -> None:
        line = read(["promote", "a=", "b=", "--to", "x"])
        assert shorter(line, ["a", "b"]) == line

    def test_hints_of_many_images(self) -> None:
        told = [f"Look at `tagflow status {name}`, or `tagflow push v1 {name}=SOURCE`." for name in ("a", "b")]
        assert merged(told, ["a", "b"]) == "Look at `tagflow status a b`, or `tagflow push v1 a=SOURCE b=SOURCE`."

    def test_commands_and_an_address_of_each(self) -> None:
        told = [f"`tagflow push v1 {it}=docker-daemon:{it}`, or push oci:/x/{it}:v1." for it in ("web", "api")]
        assert merged(told, ["web", "api"]) == (
            "`tagflow push v1 web=docker-daemon:web api=docker-daemon:api`, or push oci:/x/NAME:v1."
        )

    def test_commands_and_a_word_of_each(self) -> None:
        told = [f"First `tagflow status {it}`: {it} waits." for it in ("web", "api")]
        assert merged(told, ["web", "api"]) == "First `tagflow status web api`: web, api waits."


EIGHT = NAMES[:8]


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Eight images, more than are named one by one: v1.0 went to prod, then v1.1. Nothing changes it."""
    made = Desk(tmp_path_factory.mktemp("eight"))
    made.write(POLICY.replace("frontend: frontend, backend: back_end", ", ".join(f"{it}: {it}" for it in EIGHT)))
    for version in ("v1.0", "v1.1"):
        made.build(version, *EIGHT)
        for environment in ("dev", "test", "prod"):
            made.act("promote", version, "--to", environment, "--reason", f"the release {version}")
    return made


@pytest.fixture
def desk(eight: Desk, tmp_path: Path) -> Desk:
    """The same, to be changed."""
    return eight.copied(tmp_path)


def test_a_plan_says_the_same_once(desk: Desk) -> None:
    done = desk.quickly("rollback", "prod", "--dry-run")
    lines = done.out.splitlines()
    assert "  8 images  v1.1 → v1.0" in lines
    assert f"    {', '.join(EIGHT)}" in lines
    assert lines.count("    ~ prod") == 1
    assert len(lines) < 12


def test_the_last_line_says_what_went_where(desk: Desk) -> None:
    done = desk.quickly("rollback", "prod")
    assert re.fullmatch(r"✓ prod: v1\.1 → v1\.0 · 8 images · release \w+", done.out.splitlines()[-1])
    done = desk.quickly("promote", "v1.1", "--to", "prod", "--override", "hold", "--reason", "a setting")
    assert re.fullmatch(r"✓ prod: v1\.1 · 8 images · release \w+", done.out.splitlines()[-1])


def test_history_is_a_block_a_release(desk: Desk) -> None:
    blocks = desk.quickly("history", "prod").out.split("\n\n")
    assert len(blocks) == 2
    first = blocks[0].splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\dZ  promote  by ann  release 2 \(", first[0])
    assert first[1:] == ["  “the release v1.1”", "  v1.0 → v1.1  all 8 images"]


def test_history_names_the_images_of_a_part(desk: Desk) -> None:
    desk.act("rollback", "prod", *EIGHT[:5])
    first = desk.quickly("history", "prod").out.split("\n\n")[0].splitlines()
    assert first[1:] == ["  v1.1 → v1.0  5 images", f"    {', '.join(EIGHT[:5])}"]


def test_history_names_no_image_of_a_freeze_of_all(desk: Desk) -> None:
    desk.act("freeze", "prod", "--reason", "incident")
    first = desk.quickly("history", "prod").out.split("\n\n")[0].splitlines()
    assert first[1:] == ["  “incident”", "  all 8 images"]


def test_what_stays_is_one_line_of_a_plan(desk: Desk) -> None:
    done = desk.quickly("promote", "v1.1", "--to", "prod")
    assert f"  unchanged: {', '.join(EIGHT)}" in done.out.splitlines()
    assert done.out.splitlines()[-1] == "Nothing to do."
    assert len(done.out.splitlines()) < 8


def test_history_of_one_image_has_digests(desk: Desk) -> None:
    told = desk.quickly("history", "prod", "cart").out
    assert re.search(r"^  v1\.0 → v1\.1  cart  [0-9a-f]{12}  #2$", told, re.M)


def test_the_summary_of_a_job_has_one_row(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "summary"
    desk.act_with(("rollback", "prod"), GITHUB_STEP_SUMMARY=str(path))
    head, _, folded = path.read_text().partition("<details>")
    assert "| 8 images | <code>v1.1</code> → <code>v1.0</code> |" in head
    assert head.count("\n| <code>") == 0
    assert folded.count("\n| <code>") == 8


def test_what_is_missing_everywhere_is_told_once(desk: Desk) -> None:
    digest = str(desk.tag("cart", "v1.0")).removeprefix("sha256:")
    (desk.path / "registry" / "cart" / "blobs" / "sha256" / digest).unlink()
    lines = desk.quickly("verify").out.splitlines()
    assert lines[0] == "content.missing  cart in dev, test, prod"
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("hold prod v9 --reason x", "error[version.not_found]: 8 images have no v9"),
        ("rollback dev v1.0; rollback dev", "error[rollback.nothing]: 8 images in dev: nothing ran before"),
    ],
)
def test_a_reason_of_many_images_is_told_once(desk: Desk, typed: str, told: str) -> None:
    *before, last = typed.split("; ")
    for command in before:
        desk.act(*command.split())
    assert desk.quickly(*last.split()).err.splitlines()[:2] == [told, f"  {', '.join(EIGHT)}"]


def test_what_verify_did_not_look_into_is_said(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(POLICY)
    for number in range(4):
        desk.through(f"v1.{number}", "dev")
    told = desk.quickly("verify")
    older = "2 older images that a rollback may go back to"
    assert told.err == f"note: {older}: names looked at, content only with --deep\n"
    assert told.out == "Everything is as the history says.\n"
    assert desk.quickly("verify", "--deep").err == ""
    desk.through("v1.4", "dev")
    assert "note: 4 older images that" in desk.quickly("verify", "-o", "json").err


def test_what_a_person_must_do_names_no_address_of_many(desk: Desk) -> None:
    for image in EIGHT:
        store = LayoutStore(Repository(f"oci:{desk.path}/registry", image))
        store.put(store.get("v1.0"), "v1.1-test")
    lines = desk.quickly("verify", "test").out.splitlines()
    told = "  repair   a person must move v1.1-test back, with the tool that moved it"
    at = lines.index("anchor.moved  8 images in test: v1.1-test")
    assert lines[at + 1 : at + 3] == [f"  {', '.join(EIGHT)}", told]


def test_a_repair_of_many_images_is_told_once(desk: Desk) -> None:
    for image in EIGHT:
        store = LayoutStore(Repository(f"oci:{desk.path}/registry", image))
        store.put(store.get("v1.0"), "latest")
    would = desk.quickly("verify", "--repair", "--dry-run").err.splitlines()
    assert would[:2] == ["prod: 8 images: would put latest right", f"  {', '.join(EIGHT)}"]
    done = desk.quickly("verify", "--repair").err.splitlines()
    assert done == ["repaired: 8 images: put latest right", f"  {', '.join(EIGHT)}"]


def test_verify_counts_what_it_asks(desk: Desk) -> None:
    told = Ledger()
    with chdir(desk.path), patch.dict(os.environ, surroundings(desk.path, {}), clear=True):
        verify(wiring.context(Session("verify"), questions=told), ["prod"])
    assert told.expected == told.travelled > 8 * 6, "records, tags and parts of eight images"


def test_a_counter_appears_where_it_takes_longer_than_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, now = io.StringIO(), iter([0.0, 0.1, 5.0, 5.1])
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with counter("checking", lambda: next(now)) as progress:
        progress.expect(3)
        progress.advance(1)
        assert screen.getvalue() == ""
        progress.advance(1)
        assert "2/3" in screen.getvalue()


def test_no_counter_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with counter("checking", lambda: float("inf")) as progress:
        progress.expect(1)
        progress.advance(1)
    assert capsys.readouterr().err == ""


def test_a_finding_of_many_images_is_one(desk: Desk) -> None:
    for image in EIGHT:
        path = desk.path / "registry" / image / "index.json"
        path.write_text(re.sub(r'\{[^{}]*(\{[^{}]*)?"v1\.0-prod"[^{}]*\}[^{}]*\},?', "", path.read_text()))
    done = desk.quickly("verify", "prod")
    assert done.status == 5
    assert len(done.out.splitlines()) < 8
    assert "8 images in prod" in done.out
    assert desk.json("verify", "prod")["error"]["code"] == "verify.findings"
