"""apply: what was saved, looked at and approved is what is carried out, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from tagflow.context import Context
from tagflow.domain.history import Entry
from tagflow.domain.plan import Outcome
from tagflow.domain.snapshot import Target, target_of
from tagflow.domain.standing import Interrupted
from tagflow.errors import Conflict, Overtaken, ReleaseInterrupted, StoreError, TagflowError, UsageError, on_one_line
from tagflow.observe.observer import Observer
from tagflow.verbs.plans import Proposal, SavedPlan, read_plan
from tagflow.verbs.promote import propose_promote
from tagflow.verbs.release import Options, conclude
from tagflow.verbs.rollback import propose_rollback

_CARRIED_OUT = "it was carried out already"
_ANEW = "Make a new plan, and have it approved again."


def apply(context: Context, path: Path, options: Options | None = None) -> Outcome:
    """Carry out a saved plan.

    :raises TagflowError: ``plan.stale`` where anything is not as it expects; every other reason why not.
    """
    try:
        return conclude(context, lambda: propose_apply(context, path), options or Options())
    except Overtaken as error:  # whatever came first, the plan is stale now
        error.hint = f"Look at `tagflow status`. {_ANEW}"
        raise


def propose_apply(context: Context, path: Path) -> Proposal:
    """Decide again what a saved plan decided; it must come out the same.

    The plan of a release that was begun and not finished is finished.

    :raises UsageError: ``plan.not_found``, ``plan.invalid`` where the file was changed or is no plan.
    :raises Conflict: ``plan.stale`` where the policy or what the plan expects is not as it was.
    """
    saved = read_plan(path)
    if saved.policy != context.policy_digest:
        raise _stale("the policy is not the one that the plan was made for")
    propose = propose_promote if saved.request.command == "promote" else propose_rollback
    try:
        proposal = propose(_ordered(context, saved), saved.request)
    except TagflowError as error:
        if isinstance(error, StoreError | UsageError):
            raise
        raise _stale(_done(context, saved) or error.message, error) from error
    begun = [it for it in proposal.decision.refusals if isinstance(it, ReleaseInterrupted)]
    if begun:
        raise _stale(begun[0].message, begun[0])
    plan = proposal.decision.plan
    finishes = plan.resumes is not None and _began(proposal, saved)
    if finishes and any(it.seen.doubted for it in proposal.decision.prospects.values()):
        raise _doubted(plan.request.environment)
    if plan.id != saved.id and not finishes:
        raise _stale(_done(context, saved) or _moved(saved, proposal))
    return Proposal(proposal.decision, proposal.observer, proposal.opened, proposal.recheck, saved.id)


def _ordered(context: Context, saved: SavedPlan) -> Context:
    """The same, with the images in the order that they had: it does not count in a policy, and it does in a plan."""
    moves = (move["image"] for move in saved.document.get("moves", ()))
    turn = {image: number for number, image in enumerate(dict.fromkeys(moves))}
    images = sorted(context.policy.images, key=lambda image: turn.get(image.name, len(turn)))
    return replace(context, policy=replace(context.policy, images=tuple(images)))


def _began(proposal: Proposal, saved: SavedPlan) -> bool:
    """Whether the unfinished release that a proposal finishes is the one that this plan began."""
    return any(entry.record.plan == saved.id for entry in proposal.decision.begun)


def _doubted(environment: str) -> Conflict:
    """The refusal of a plan that looks as if it had not ended: it may have, and have been taken back since."""
    error = _stale(
        "it was begun, and above its records stand some that do not count: one may hide that it was taken back"
    )
    error.hint = (
        f"`tagflow verify {environment}` tells more, `tagflow rollback {environment}` abandons it.\n{error.hint}"
    )
    return error


def _done(context: Context, saved: SavedPlan) -> str:
    """That the plan was carried out already, and by whom; empty where the heads do not tell of it."""
    for entry in _arrived(context, saved):
        # An abort of this plan's own run names it, too: that one was put back.
        if entry.record.plan == saved.id and entry.record.action != "abort":
            return f"{_CARRIED_OUT}, by {on_one_line(entry.record.actor)} at {entry.record.at:%Y-%m-%d %H:%M}Z"
    return ""


def _arrived(context: Context, saved: SavedPlan) -> Iterator[Entry]:
    """The heads of what is not under way any more, and what they carry on: a note names no plan."""
    environment = context.environment(saved.request.environment)
    observer = Observer(context)
    targets: list[Target] = [target_of(context.policy, image, environment) for image in context.policy.images]
    try:
        snapshot = observer.observe(targets)
    except TagflowError:
        return
    for seen in snapshot.all_in(environment):
        if isinstance(seen.standing.position, Interrupted):
            continue
        for head in seen.standing.heads:
            yield head
            if head.record.follows is not None:
                yield from observer.read(seen.target.history, [head.record.follows]).values()


def _moved(saved: SavedPlan, proposal: Proposal) -> str:
    """What is not where the plan expects it: which image was moved meanwhile, by whom, from which version to which."""
    environment = proposal.decision.plan.request.environment
    then = {step["image"]: step for step in saved.document.get("steps", ())}
    gone = [
        f"{step.image}: {environment} runs {step.previous_version or step.previous_digest or 'nothing'}"
        f"{_by(proposal, step.image)}, where the plan expects"
        f" {then[step.image]['previous_version'] or then[step.image]['previous_digest'] or 'nothing'}"
        for step in proposal.decision.plan.steps
        if step.image in then and then[step.image]["previous_digest"] != step.previous_digest
    ]
    there = {step.image for step in proposal.decision.plan.steps}
    runs = {choice.image: choice.seen.standing.digest for choice in proposal.decision.choices}
    gone += [
        f"{image}: {environment} runs {step['version'] or step['digest']} already{_by(proposal, image)}"
        for image, step in then.items()
        if image not in there and runs.get(image) == step["digest"]
    ]
    if gone or proposal.decision.refusals:
        # An image of which a rule says no is in no plan: that is the reason, not where its tag stands.
        return "\n".join([*gone, *dict.fromkeys(it.message for it in proposal.decision.refusals)])
    expected = {(move["repository"], move["tag"]): move for move in saved.document.get("moves", ())}
    found = {(move.repository, move.tag): move for move in proposal.decision.plan.moves}
    moved = [
        f"{repository}:{tag} is at {move.before or 'no digest'},"
        f" expected at {expected[repository, tag]['before'] or 'none'}"
        for (repository, tag), move in found.items()
        if (repository, tag) in expected and expected[repository, tag]["before"] != move.before
    ]
    if moved:
        return "\n".join(moved)
    steps = {step["image"]: step for step in saved.document.get("steps", ())}
    changed = [
        step.image
        for step in proposal.decision.plan.steps
        if list(steps.get(step.image, {}).get("heads", ())) != list(step.heads)
    ]
    told = f" of {', '.join(changed)}" if changed else ""
    return f"tags or history{told} are not where it expects them"


def _by(proposal: Proposal, image: str) -> str:
    """Who moved an image last, and when, as far as its head record is known."""
    seen = [it.seen for it in proposal.decision.entering if it.image == image]
    seen += [it.seen for name, it in proposal.decision.prospects.items() if name == image]
    seen += [it.seen for it in proposal.decision.choices if it.image == image]
    standing = seen[0].standing if seen else None
    # What somebody moved by hand is the work of nobody whom a record names.
    head = standing.head if standing and standing.head and standing.head.record.digest == standing.digest else None
    return f", by {on_one_line(head.record.actor)} at {head.record.at:%Y-%m-%d %H:%M}Z" if head else ""


def _stale(why: str, cause: TagflowError | None = None) -> Conflict:
    """The refusal; where a release was begun and not finished, with the ways out of that first."""
    hint = f"{cause.hint}\n{_ANEW}" if isinstance(cause, ReleaseInterrupted) else _ANEW
    if why.startswith(_CARRIED_OUT):
        hint = "Nothing is left to do."
    told = why if "\n" not in why else f"\n{why}"  # a line each: those that say the same can be told once
    return Conflict("plan.stale", f"the plan is stale: {told}", hint=hint)
