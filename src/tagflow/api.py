"""tagflow as a library: the flows of the command line as methods, with frozen values instead of text.

Everything is imported where it is called: ``import tagflow`` costs nearly nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from msgspec.structs import replace

if TYPE_CHECKING:
    from tagflow.context import Context
    from tagflow.decide.finding import Finding
    from tagflow.domain.plan import Outcome
    from tagflow.domain.policy import Rule
    from tagflow.domain.stats import Stats
    from tagflow.verbs.approvals import Document
    from tagflow.verbs.approve import Approved
    from tagflow.verbs.diff import Diff
    from tagflow.verbs.doctor import Diagnosis
    from tagflow.verbs.history import History
    from tagflow.verbs.past import Past
    from tagflow.verbs.pin import Pinning
    from tagflow.verbs.pull import Pulled
    from tagflow.verbs.release import Options
    from tagflow.verbs.repair import Repaired
    from tagflow.verbs.running import Running
    from tagflow.verbs.status import Row
    from tagflow.verbs.versions import Next
    from tagflow.wiring import Surroundings

_LOG = logging.getLogger("tagflow")
_Word = TypeVar("_Word", bound=str)
_Form = Literal["tag@digest", "digest", "tag"]
_Part = Literal["major", "minor", "patch", "prerelease"]


class Tagflow:
    """The promotions of one policy file.

    ``policy`` is promotion.yaml (None: $TAGFLOW_POLICY, else the nearest one upward). ``actor`` is who is recorded
    (empty: as on the command line). ``timeout`` is in seconds, for each call. ``environ`` stands for the environment
    variables. Warnings go to the logger ``tagflow``, each request to the same as debug messages.

    Every method is one run, like one command: it reads the policy and the registries anew and keeps nothing. It raises
    :class:`tagflow.TagflowError`, whose class says the exit status of the command and whose ``code`` says what.

    A moment without a time zone is refused (``time.invalid``), and so is a duration, or a number of seconds, below zero
    or above ten years (``duration.invalid``); a word that is none of those to choose from is ``usage.invalid``.
    """

    def __init__(
        self,
        policy: str | Path | None = None,
        *,
        actor: str = "",
        timeout: float | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._policy, self._actor = policy, actor
        self._timeout = None if timeout is None else _span(timeout, "timeout").total_seconds()
        self._environ = os.environ if environ is None else environ

    # --- what moves names ----------------------------------------------------------------------------------------

    def push(
        self,
        version: str,
        sources: Mapping[str, str],
        *,
        reason: str = "",
        dry_run: bool = False,
        wait: float = 0,
        receipt: str | Path | None = None,
    ) -> Outcome:
        """Bring images in as a version, and promote them to the first environment.

        ``sources`` says where each image comes from, as on the command line: ``{"frontend": "oci:build/frontend"}``.
        """
        import tempfile

        from tagflow.domain.plan import Request
        from tagflow.verbs.push import Workspace, first_environment, push

        arguments = [f"{name}={source}" for name, source in sources.items()]
        with self._context(writes=not dry_run) as context:
            request = Request("push", first_environment(context), (version, *arguments), reason=reason)
            with tempfile.TemporaryDirectory(prefix="tagflow-") as scratch:
                work = Workspace(Path.cwd(), Path(scratch), dry_run)
                return push(context, request, work, _options(dry_run, None, wait, receipt))

    def promote(
        self,
        *targets: str,
        to: str,
        from_: str = "",
        everything: bool = False,
        overrides: Sequence[Rule] = (),
        reason: str = "",
        dry_run: bool = False,
        save_plan: str | Path | None = None,
        wait: float = 0,
        receipt: str | Path | None = None,
    ) -> Outcome:
        """Promote images; each target is ``VERSION``, ``NAME`` or ``NAME=VERSION``, or all images with ``everything``.

        ``save_plan`` writes the plan for :meth:`apply` and changes nothing; ``receipt`` the heads for :meth:`verify`.
        """
        from tagflow.domain.plan import Request
        from tagflow.verbs.promote import promote

        with self._context(writes=not dry_run and save_plan is None) as context:
            request = Request("promote", to, targets, everything, from_, tuple(dict.fromkeys(overrides)), reason)
            return promote(context, request, _options(dry_run, save_plan, wait, receipt))

    def rollback(
        self,
        environment: str,
        *targets: str,
        reason: str = "",
        dry_run: bool = False,
        save_plan: str | Path | None = None,
        wait: float = 0,
        receipt: str | Path | None = None,
    ) -> Outcome:
        """Go back to what ran before the last release, or to the versions named."""
        from tagflow.domain.plan import Request
        from tagflow.verbs.rollback import rollback

        with self._context(writes=not dry_run and save_plan is None) as context:
            request = Request("rollback", environment, targets, reason=reason)
            return rollback(context, request, _options(dry_run, save_plan, wait, receipt))

    def apply(
        self,
        plan: str | Path,
        *,
        dry_run: bool = False,
        approvals: Sequence[str | Path] = (),
        receipt: str | Path | None = None,
    ) -> Outcome:
        """Carry out a saved plan, if everything is still as it was. ``approvals`` are files beside the registry's."""
        from tagflow.verbs.apply import apply

        documents: tuple[Document, ...] = ()
        if approvals:
            from tagflow.verbs.approvals import read_documents

            documents = tuple(read_documents(Path(path) for path in approvals))
        options = replace(_options(dry_run, receipt=receipt), approvals=documents)
        with self._context(writes=not dry_run) as context:
            return apply(context, Path(plan), options)

    def approve(self, plan: str | Path, *, out: str | Path | None = None) -> Approved:
        """Approve a saved plan with the key of $TAGFLOW_SIGN_KEY: in the registry, or in the file ``out``."""
        from tagflow.verbs.approve import approve_plan

        with self._context(writes=out is None) as context:
            return approve_plan(context, Path(plan), None if out is None else Path(out))

    def hold(self, environment: str, *versions: str, reason: str, lift: bool = False) -> Outcome:
        """Take versions out of promotion to an environment, or let them in again; each is VERSION or NAME=VERSION."""
        from tagflow.domain.plan import Request
        from tagflow.verbs.notes import hold

        with self._context(writes=True) as context:
            return hold(context, Request("hold", environment, versions, reason=reason), lift=lift)

    def freeze(self, environment: str, *, reason: str, until: datetime | None = None, lift: bool = False) -> Outcome:
        """Let nothing be promoted to an environment (``until``: an aware datetime), or end that."""
        from tagflow.domain.plan import Request
        from tagflow.errors import UsageError
        from tagflow.verbs.notes import freeze

        if lift and until is not None:
            hint = "Leave `until` out: what is lifted ends now."
            raise UsageError("usage.invalid", "lift and until exclude each other", hint=hint)
        request = Request("freeze", environment, reason=reason)
        end = None if until is None else _moment(until)
        with self._context(writes=True) as context:
            return freeze(context, request, lift=lift, until=end)

    def repair(self, *environments: str, dry_run: bool = False) -> Repaired:
        """Mend what :meth:`verify` finds and what needs no judgement."""
        from tagflow.verbs.repair import repair

        with self._context(writes=not dry_run) as context:
            return repair(context, environments, dry_run=dry_run)

    # --- what only looks -----------------------------------------------------------------------------------------

    def status(self, *names: str) -> list[Row]:
        """Which version runs where; narrowed by environments, images, versions or digests."""
        from tagflow.verbs.status import status

        with self._context() as context:
            return status(context, names)

    def status_at(self, moment: datetime, *names: str) -> Past:
        """Which version ran where at a moment (aware), by the history."""
        from tagflow.verbs.past import status_at

        with self._context() as context:
            return status_at(context, _moment(moment), names)

    def history(
        self, environment: str, *names: str, limit: int | None = None, since: datetime | None = None
    ) -> History:
        """Who moved what, when and why; newest first: ``limit`` releases at most, ``since`` a moment (aware)."""
        from tagflow.verbs.history import history

        with self._context() as context:
            return history(context, environment, names, limit, None if since is None else _moment(since))

    def verify(self, *environments: str, expect: str | Path | None = None, deep: bool = False) -> list[Finding]:
        """Every name that does not stand where the history says; and what was lost since a receipt was written.
        ``deep``: whether everything that a rollback may go back to is whole, not only what runs and what is next."""
        from tagflow.verbs.verify import verify

        with self._context() as context:
            return verify(context, environments, None if expect is None else Path(expect), deep=deep)

    def doctor(self) -> list[Diagnosis]:
        """A look at every registry of the policy."""
        from tagflow import wiring
        from tagflow.verbs.doctor import doctor

        return doctor(*wiring.examiner(self._path(), self._surroundings()))

    def diff(self, before: str, after: str, *names: str) -> Diff:
        """What differs between two environments or versions, down to the commits."""
        from tagflow.verbs.diff import diff

        with self._context() as context:
            return diff(context, before, after, names)

    def stats(self, environment: str, since: datetime | timedelta = timedelta(days=30)) -> Stats:
        """Deployments, lead time, change failures and time to restore: so far back, or since a moment (aware)."""
        from tagflow.verbs.stats import stats

        begin = _span(since, "since") if isinstance(since, timedelta) else _moment(since)
        with self._context() as context:
            return stats(context, environment, context.now() - begin if isinstance(begin, timedelta) else begin)

    def verify_running(self, environment: str, printed: bytes) -> Running:
        """What runs, as kubectl or docker printed it in JSON, against what an environment should run."""
        from tagflow.domain.running import read_running
        from tagflow.verbs.running import check_running

        said = "what was printed"
        seen = read_running(printed, said)

        with self._context() as context:
            return check_running(context, environment, seen, said)

    def pin(
        self,
        environment: str,
        *files: str | Path,
        form: _Form = "tag@digest",
        check: bool = False,
        dry_run: bool = False,
    ) -> Pinning:
        """Write what an environment runs into deployment files; only the bytes of the references change.

        ``check`` raises where a file differs, ``dry_run`` only says what would change.
        """
        from tagflow.verbs.pin import pin_files

        form = _known(form, get_args(_Form), "form")
        mode: Literal["write", "check", "show"] = "check" if check else "show" if dry_run else "write"
        with self._context() as context:
            return pin_files(context, environment, [Path(file) for file in files], form, mode)

    def pull(self, what: str, *names: str) -> list[Pulled]:
        """Pull what an environment runs, or a version, through the Docker Engine, by digest."""
        from tagflow.verbs.pull import pull

        with self._context() as context:
            return pull(context, what, names)

    def next_version(self, part: _Part | None = None, *, images: Sequence[str] = ()) -> Next:
        """The version after the highest of all images, or of some. ``part`` is what goes up: by default patch, with
        natural versions the last number.
        """
        from tagflow.verbs.versions import next_version

        part = None if part is None else _known(part, get_args(_Part), "part of a version")
        with self._context() as context:
            return next_version(context, part, images)

    def tags(self, version: str, *environments: str) -> list[str]:
        """The tags that a version gets; no network."""
        from tagflow.verbs.versions import computed_tags

        with self._context() as context:
            _, found = computed_tags(context, version, environments)
        return [str(it.tag) for it in found]

    # --- the outside world ---------------------------------------------------------------------------------------

    def _path(self) -> Path:
        from tagflow import wiring

        return wiring.policy_path(self._policy, self._environ)

    def _context(self, *, writes: bool = False) -> AbstractContextManager[Context]:
        """What a verb is given, for one call: a program lives on, and so would its connections."""
        from tagflow import wiring

        return closing(wiring.context(self._path(), self._surroundings(writes)))

    def _surroundings(self, writes: bool = False) -> Surroundings:
        from tagflow import wiring

        return wiring.Surroundings(
            environ=self._environ,
            warn=_LOG.warning,
            trace=_LOG.debug,
            seconds=self._timeout,
            writes=writes,
            actor=self._actor,
        )


def _options(
    dry_run: bool, save_plan: str | Path | None = None, wait: float = 0, receipt: str | Path | None = None
) -> Options:
    from tagflow.verbs.release import Options

    return Options(
        dry_run,
        None if save_plan is None else Path(save_plan),
        wait=_span(wait, "wait"),
        receipt=None if receipt is None else Path(receipt),
    )


def _known(word: str, known: Sequence[_Word], what: str) -> _Word:
    """A word, if it is one of those that are known.

    :raises UsageError: ``usage.invalid``.
    """
    from tagflow.errors import UsageError

    found = next((it for it in known if it == word), None)
    if found is None:
        raise UsageError("usage.invalid", f"{word!r} is no {what}", hint=f"Use {', '.join(known)}.")
    return found


def _moment(moment: datetime) -> datetime:
    """A moment that tagflow can compare with any other, in UTC.

    :raises UsageError: ``time.invalid``.
    """
    from tagflow.domain.times import kept_moment
    from tagflow.errors import UsageError

    if not isinstance(moment, datetime):  # a date, or text: a program is not always checked
        raise UsageError("time.invalid", f"{moment!r} is no datetime", hint="Give an aware datetime.")
    return kept_moment(moment)


def _span(given: timedelta | float, name: str) -> timedelta:
    """A duration, or a number of seconds, as a duration that can be added to any moment; ``name`` is the argument.

    :raises UsageError: ``duration.invalid``.
    """
    from tagflow.domain.times import LONGEST, format_duration
    from tagflow.errors import UsageError

    seconds: object = given.total_seconds() if isinstance(given, timedelta) else given
    if (
        not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST.total_seconds()
    ):  # what is not a number is in no range
        limit = f"from 0 to {LONGEST.total_seconds():.0f} seconds ({format_duration(LONGEST)})"
        raise UsageError("duration.invalid", f"{name}={given} is no duration", hint=f"Give one {limit}.")
    return timedelta(seconds=seconds)
