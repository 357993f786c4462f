"""What must hold after a run that met trouble: what was said is what is there, nothing recorded is gone."""

from __future__ import annotations

from dataclasses import dataclass

from tests.cli.runner import Done
from tests.releases.stage import IMAGES, MOVABLE, Stage, Tags, movable, records, shape_of


@dataclass(frozen=True)
class Verb:
    """One command under test: the state that it begins with, and the version that it brings to an environment.

    ``again`` finishes it where it is not the command itself.
    """

    state: str
    command: tuple[str, ...]
    wanted: str
    environment: str = "prod"
    again: tuple[str, ...] = ()


def outcome_is_what_was_said(stage: Stage, verb: Verb, before: Tags, done: Done) -> None:
    """All-new with 0; all-old with 6; with 7 exactly the tags that the message and the document list."""
    after = stage.tags()
    moved = {key: digest for key, digest in movable(after).items() if before.get(key) != digest}
    document = done.document
    assert document["exit_code"] == done.status
    if done.status == 0:
        assert document["result"]["applied"]
        assert_all_new(verb, after)
        return
    assert not (document["result"] or {}).get("applied")
    if done.status == 6:
        assert moved == {}
        return
    told = {(it["repository"], it["tag"]): it for it in document["error"]["details"] if "tag" in it}
    for image in IMAGES:
        for tag in MOVABLE:
            key, name = (image, tag), (stage.repository(image), tag)
            if name not in told:
                assert key not in moved, f"{name} moved and was not told of"
                continue
            it = told[name]
            assert it["before"] == before.get(key)
            assert after.get(key) == it["now"] if it["sure"] else after.get(key) in (it["before"], it["now"])
            assert f"{name[0]}:{tag} was at {it['before'] or 'no digest'}" in document["error"]["message"]
    assert {name for name, it in told.items() if it["sure"]} <= {(stage.repository(i), tag) for i, tag in moved}


def finish(stage: Stage, verb: Verb, before: Tags, between: Tags) -> None:
    """The same command again ends all-new; nothing that was ever recorded is gone, and `verify` has no finding."""
    shape = shape_of(verb.command[0], between)
    if shape in stage.finished:
        return
    complete = all(is_there(verb, between, image) for image in IMAGES)
    if verb.command[0] == "rollback" and complete:
        # Complete but for its answer: the VERSION is named, for twice would go one further back.
        stage.done(*verb.command, verb.wanted)
    else:
        stage.done(*(verb.again or verb.command))
    stage.done("verify", "--deep")
    after = stage.tags()
    assert_all_new(verb, after)
    for seen in (before, between):
        assert {key: after.get(key) for key in seen if key[1] not in MOVABLE} == {
            key: digest for key, digest in seen.items() if key[1] not in MOVABLE
        }
    for image, found in records(after).items():
        assert [it.sequence for it in found] == list(range(1, len(found) + 1)), image
    stage.finished.add(shape)


def assert_all_new(verb: Verb, tags: Tags) -> None:
    """The environment and what floats with it are at the wanted version, for all images."""
    for image in IMAGES:
        wanted = tags[image, verb.wanted]
        assert tags[image, verb.environment] == wanted
        if verb.environment == "prod":
            assert tags[image, "latest"] == wanted
            assert tags[image, "v1"] == wanted


def is_there(verb: Verb, tags: Tags, image: str) -> bool:
    """Whether an image has arrived."""
    return verb.wanted in {tag for name, tag in tags if name == image} and (
        tags[image, verb.environment] == tags[image, verb.wanted]
    )
