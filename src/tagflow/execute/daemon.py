"""engine: docker: the image travels through the daemon, where layers may go no other way. Names never do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from tagflow.context import Context
from tagflow.decide.decision import Origin
from tagflow.decide.selection import Choice
from tagflow.domain.own_tags import scratch_tag
from tagflow.domain.plan import Step
from tagflow.domain.reference import Digest, Repository
from tagflow.errors import Refused, TagflowError
from tagflow.stores.artifact import write_empty
from tagflow.stores.port import Store
from tagflow.workers import attempt, each


def changed_by_daemon(
    context: Context, choices: Sequence[Choice], origins: Mapping[str, Origin], opened: Mapping[Repository, Store]
) -> list[TagflowError]:
    """The refusals of what a daemon would surely change, before anything is pushed; none under another engine."""
    if context.policy.engine != "docker":
        return []

    def check(choice: Choice) -> None:
        origin = origins.get(choice.image)
        source = origin.repository if origin else choice.source
        if not _travels(source, choice.seen.target.repository) or not choice.digest:
            return
        store = opened.get(source) or context.stores(source)
        reason = context.engine().would_change(store.get(choice.digest))
        if reason:
            raise _refusal(choice.image, choice.digest, reason)

    results = attempt(check, choices, threads=4)
    return [result for result in results if isinstance(result, TagflowError)]


def through_daemon(
    context: Context, steps: Sequence[Step], origins: Mapping[str, Origin], target: Mapping[str, Repository]
) -> None:
    """Let images travel through the daemon under a scratch tag, and compare.

    :raises Refused: ``engine.would_change_digest``; no name has moved then.
    """
    if context.policy.engine != "docker":
        return

    def send(step: Step) -> None:
        repository = target[step.image]
        source = origins[step.image].repository if step.image in origins else repository
        entering = step.action in ("push", "promote", "adopt", "admit")
        digest = step.subject or step.digest
        if not entering or digest is None or not _travels(source, repository):
            return
        tag, store = scratch_tag(digest), context.stores(repository)
        prepare(store)
        arrived = context.engine().transfer(source, digest, repository, tag, context.progress)
        clear(store, tag, arrived)
        if arrived != digest:
            raise _refusal(step.image, digest, f"the Docker Engine made it {arrived}")

    each(send, steps, threads=4)


def prepare(store: Store) -> None:
    """Bring in the blob that records name before the daemon pushes: a repository that is not there is created where the
    policy says so, or told of as the registry's API tells, and not after all layers have travelled.

    :raises StoreError: ``repository.not_found``, ``registry.denied``, as :meth:`Store.write_blob`.
    """
    write_empty(store)


def clear(store: Store, tag: str, digest: Digest) -> None:
    """Remove a scratch tag where the registry can; one too many harms nobody."""
    with suppress(TagflowError):
        store.untag(tag, digest)


def _travels(source: Repository, target: Repository) -> bool:
    """Whether a daemon can pull from one and push to the other: it knows no OCI layout."""
    return not source.is_layout and not target.is_layout and not source.host.startswith("docker-archive:")


def _refusal(image: str, digest: Digest, reason: str) -> Refused:
    message = f"{image}: {digest} would not come through the Docker Engine as it is: {reason}"
    return Refused(
        "engine.would_change_digest",
        message,
        hint="`engine: auto` or `engine: registry` in the policy moves it byte for byte.",
        details=[{"code": "engine.would_change_digest", "image": image, "message": message}],
    )
