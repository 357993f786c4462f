"""Approvals of saved plans: those that a registry and files hold, against what the policy asks for."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from msgspec import Struct

from tagflow.context import Context
from tagflow.domain.own_tags import approval_tag, approves
from tagflow.domain.plan import Plan, Request
from tagflow.domain.policy import Environment
from tagflow.domain.records import CREATED, stamp
from tagflow.domain.reference import Repository
from tagflow.errors import NotFound, Refused, StoreError, UsageError
from tagflow.execute.compose import put_artifact
from tagflow.observe.observer import Observer
from tagflow.stores.artifact import artifact, as_image
from tagflow.stores.port import Manifest, TypeRefused
from tagflow.trust.approvals import Approval, Evaluation, Tally, evaluate, fault
from tagflow.trust.crypto import signed_by
from tagflow.trust.envelope import LARGEST
from tagflow.workers import each

ARTIFACT_TYPE = "application/vnd.tagflow.approval.v1+json"
PREFIX = "io.tagflow.approval."
ENVELOPES = f"{PREFIX}envelopes"
"""The annotation with the documents, a line each."""
_MOST, _BATCH = 2_000, 200
"""How many tags of one plan are read, and how many at a time: who may push could write any number of them."""
_TRIES = 100_000
_GIVE = "Give the file that `tagflow approve FILE --out` wrote for this plan."
_WRONG = {
    "none": "is no approval",
    "another plan": "is an approval of another plan",
    "forged": "is not signed by the key that it names",
}
_SAVE = ("--save-plan", "plan.json")
_THEN = "then `tagflow approve plan.json` by those who may, then `tagflow apply plan.json`."


ENOUGH = Evaluation((), ())
"""Nothing is missing."""


class Document(Struct, frozen=True):
    """An approval that somebody gives in a file, and what that file is called."""

    name: str
    text: str


def nothing(environment: Environment) -> Evaluation:
    """What the rules come to where nobody has approved."""
    return Evaluation(tuple(Tally(rule, ()) for rule in environment.approvals), ())


def way_to_save(request: Request, environment: Environment) -> str:
    """What to do instead of a promotion that somebody has to approve: without what the policy lets nobody override."""
    if request.command == "push":
        save = shlex.join(["tagflow", "promote", request.targets[0], "--to", request.environment, *_SAVE])
        return f"Push under the version tag with any tool, then save a plan: `{save}`, {_THEN}"
    words = ["tagflow", "promote", *request.targets, *(["--all"] if request.everything else [])]
    words += ["--to", request.environment]
    words += ["--from", request.source] if request.source else []
    words += [word for rule in request.overrides if rule in environment.overrides for word in ("--override", rule)]
    words += ["--reason", request.reason] if request.reason else []
    return f"Save a plan: `{shlex.join([*words, *_SAVE])}`, {_THEN}"


def needed(environment: Environment, plan: Plan) -> bool:
    """Whether a plan has to be approved: rollbacks never, nor what changes nothing, nor where that is set aside."""
    waived = "approvals" in plan.request.overrides and "approvals" in environment.overrides
    return bool(environment.approvals) and plan.request.command in ("push", "promote") and plan.changes and not waived


def kept_in(context: Context, environment: Environment, plan: Plan) -> Repository:
    """Where the approvals of a plan are kept: with its first image."""
    first = next(iter([*(step.image for step in plan.steps), *(move.image for move in plan.moves)]))
    return context.policy.repository(context.image(first), environment)


def weigh(
    context: Context,
    observer: Observer,
    plan: Plan,
    plan_id: str,
    documents: Sequence[Document] = (),
    *,
    ever: bool = False,
) -> Evaluation:
    """The approvals of a plan, given as ``documents`` and in the registry, against the rules of its environment.

    One request where the latest approval in the registry holds all that are needed; none where those given are enough.
    ``ever``: they counted before, when its release began: none of them expires any more.

    :raises TagflowError: as :func:`check_documents`.
    """
    environment = context.environment(plan.request.environment)
    check_documents(context, environment, plan_id, documents)
    given = [document.text for document in documents]
    check = cache(signed_by)  # what is read later is held against the rules together with what was

    def judge(documents: Iterable[str]) -> Evaluation:
        return evaluate(
            plan_id,
            environment.approvals,
            context.policy.signers,
            documents,
            now=context.now(),
            expire=None if ever else environment.approvals_expire,
            check=check,
        )

    found = judge(given)
    if not found.missing:
        return found
    kept = read_kept(context, observer, environment, plan, plan_id, lambda them: not judge([*given, *them]).missing)
    return judge([*given, *kept])


def read_kept(
    context: Context,
    observer: Observer,
    environment: Environment,
    plan: Plan,
    plan_id: str,
    enough: Callable[[list[str]], bool],
) -> list[str]:
    """The documents of a plan in its repository, until they are enough. Each approval brings those before it along and
    sorts after them, so that mostly one request is: one of each who is asked, and no more is read. Where so many stand
    there that not all are read, that is told."""
    repository = kept_in(context, environment, plan)
    most = len({name for rule in environment.approvals for name in rule.of})
    tags = sorted((tag for tag in observer.tags(repository) if approves(tag, plan_id)), reverse=True)
    store = context.stores(repository)

    def read(tag: str) -> list[str]:
        try:
            return store.get(tag).annotations.get(ENVELOPES, "").splitlines()[:most]
        except (NotFound, StoreError) as error:
            if isinstance(error, StoreError) and not error.code.startswith("manifest."):
                raise
            return []

    found: list[str] = []
    for start, end in ((0, 1), *((it, it + _BATCH) for it in range(1, min(len(tags), _MOST), _BATCH))):
        found += [text for lines in each(read, tags[start:end], threads=context.threads) for text in lines]
        if enough(found):
            return list(dict.fromkeys(found))
    if len(tags) > _MOST:
        context.warn(
            f"{len(tags)} approvals of this plan are in {repository}, and only {_MOST} were read: somebody writes them"
            " there. Approve into files (`tagflow approve PLAN --out FILE`), and carry the plan out with them"
            " (`tagflow apply PLAN --approval FILE`)."
        )
    return list(dict.fromkeys(found))


def write_kept(context: Context, observer: Observer, repository: Repository, plan_id: str, documents: list[str]) -> str:
    """Keep documents under a tag of their own; returns ``REPOSITORY:TAG``."""
    highest = max((tag for tag in observer.tags(repository) if approves(tag, plan_id)), default="")
    annotations = {CREATED: stamp(context.now()), f"{PREFIX}plan": plan_id, ENVELOPES: "\n".join(documents)}
    try:
        tag = _keep(context, repository, plan_id, annotations, highest)
    except TypeRefused:
        tag = _keep(context, repository, plan_id, as_image(ARTIFACT_TYPE, annotations), highest)
    return f"{repository}:{tag}"


def _keep(context: Context, repository: Repository, plan_id: str, annotations: Mapping[str, str], highest: str) -> str:
    manifest, tag = _sorting_last(plan_id, annotations, highest)
    put_artifact(context, context.stores(repository), manifest, tag, first=False)
    return tag


def _sorting_last(plan_id: str, annotations: Mapping[str, str], highest: str) -> tuple[Manifest, str]:
    """A manifest whose tag sorts after all others of the plan: a tag carries digits of a hash, so some are tried."""
    for number in range(_TRIES):
        manifest = artifact(ARTIFACT_TYPE, {**annotations, f"{PREFIX}try": str(number)})
        tag = approval_tag(plan_id, manifest.digest)
        if tag > highest:
            break
    return manifest, tag


def read_documents(paths: Iterable[Path]) -> list[Document]:
    """The approvals in files, as `approve --out` writes them.

    :raises UsageError: ``approval.invalid`` where one cannot be read.
    """
    found = []
    for path in paths:
        try:
            with path.open("rb") as file:
                text = file.read(LARGEST).decode()
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is no text"
            raise UsageError(
                "approval.invalid",
                f"cannot read {path}: {reason}",
                hint="Name a file with an approval in it.",
            ) from exc
        found.append(Document(str(path), text.strip()))
    return found


def check_documents(context: Context, environment: Environment, plan_id: str, given: Iterable[Document]) -> None:
    """Refuse what is given as an approval of a plan and can be none, whoever else has approved. One that has expired
    is just not counted.

    :raises UsageError: ``approval.invalid``.
    :raises Refused: ``approval.not_a_signer``.
    """
    for document in given:
        wrong = fault(plan_id, environment.approvals, context.policy.signers, document.text)
        if wrong == "not asked":
            asked = ", ".join(dict.fromkeys(name for rule in environment.approvals for name in rule.of))
            raise Refused(
                "approval.not_a_signer",
                f"{document.name} is signed by none of those who approve plans for {environment.name}: {asked}",
                hint="Leave it out, or have it signed with a key that `approvals` of the policy names.",
            )
        if wrong is not None:
            raise UsageError("approval.invalid", f"{document.name} {_WRONG[wrong]}", hint=_GIVE)


def names_of(counted: Iterable[Approval]) -> tuple[str, ...]:
    """What a record says of the approvals that counted."""
    return tuple(f"{approval.names[0]}@sha256:{approval.digest}" for approval in counted)


def refuse_missing(environment: Environment, evaluation: Evaluation, hint: str) -> Refused:
    """The refusal that says who has approved and who has not."""
    tallies: Sequence[Tally] = evaluation.missing
    lines = [f"{environment.name}: {tally}" for tally in tallies]
    return Refused(
        "approval.missing",
        "\n".join([*lines, *(f"not counted: {why}" for why in evaluation.ignored)]),
        hint=hint,
        details=[
            {
                "code": "approval.missing",
                "environment": environment.name,
                "need": tally.rule.need,
                "have": list(tally.have),
                "of": list(tally.rule.of),
            }
            for tally in tallies
        ],
    )
