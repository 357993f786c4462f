"""tagflow as a library: the flows of the command line as methods, with frozen values instead of text.

Everything is imported where it is called: ``import tagflow`` costs nearly nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tagflow.domain.policy import Rule
    from tagflow.flows.context import Context
    from tagflow.flows.decision import Decision, Outcome
    from tagflow.flows.doctor import Diagnosis
    from tagflow.flows.history import Chronicle
    from tagflow.flows.pull import Pulled
    from tagflow.flows.repair import Repaired
    from tagflow.flows.status import Row
    from tagflow.flows.verify import Finding
    from tagflow.flows.versions import Next
    from tagflow.wiring import Surroundings

_LOG = logging.getLogger("tagflow")


class Tagflow:
    """The promotions of one policy file.

    ``policy`` is promotion.yaml (None: $TAGFLOW_POLICY, else the nearest one upward). ``actor`` is who is recorded
    (empty: as on the command line). ``timeout`` is in seconds, for each call. ``environ`` stands for the environment
    variables. Warnings go to the logger ``tagflow``, each request to the same as debug messages.

    Every method is one run, like one command: it reads the policy and the registries anew and keeps nothing. It raises
    :class:`tagflow.TagflowError`, whose class says the exit status of the command and whose ``code`` says what.
    """

    def __init__(
        self,
        policy: str | Path | None = None,
        *,
        actor: str = "",
        timeout: float | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._policy, self._actor, self._timeout = policy, actor, timeout
        self._environ = os.environ if environ is None else environ

    # --- what moves names ----------------------------------------------------------------------------------------

    def push(self, version: str, sources: Mapping[str, str], *, reason: str = "", dry_run: bool = False) -> Outcome:
        """Bring images in as a version, and promote them to the first environment.

        ``sources`` says where each image comes from, as on the command line: ``{"frontend": "oci:build/frontend"}``.
        """
        import tempfile

        from tagflow.domain.plan import Request
        from tagflow.flows.push import Workspace, decide_push, parse_deliveries

        arguments = [f"{name}={source}" for name, source in sources.items()]
        context = self._context(writes=not dry_run)
        environment = context.policy.environments[0].name
        request = Request("push", environment, (version, *arguments), reason=reason)
        with tempfile.TemporaryDirectory(prefix="tagflow-") as scratch:
            work = Workspace(Path.cwd(), Path(scratch), dry_run)
            decision = decide_push(context, version, parse_deliveries(arguments), request, work)
            return _finish(context, decision, dry_run=dry_run)

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
    ) -> Outcome:
        """Promote images; each target is ``VERSION``, ``NAME`` or ``NAME=VERSION``, or all images with ``everything``.

        ``save_plan`` writes the plan for :meth:`apply` and changes nothing.
        """
        from tagflow.domain.plan import Request
        from tagflow.flows.promote import decide_promote

        context = self._context(writes=not dry_run and save_plan is None)
        request = Request("promote", to, targets, everything, from_, tuple(dict.fromkeys(overrides)), reason)
        return _finish(context, decide_promote(context, request), dry_run=dry_run, save_plan=save_plan)

    def rollback(
        self,
        environment: str,
        *targets: str,
        reason: str = "",
        dry_run: bool = False,
        save_plan: str | Path | None = None,
    ) -> Outcome:
        """Go back to what ran before the last release, or to the versions named."""
        from tagflow.domain.plan import Request
        from tagflow.flows.rollback import decide_rollback

        context = self._context(writes=not dry_run and save_plan is None)
        request = Request("rollback", environment, targets, reason=reason)
        return _finish(context, decide_rollback(context, request), dry_run=dry_run, save_plan=save_plan)

    def apply(self, plan: str | Path) -> Outcome:
        """Carry out a saved plan, if everything is still as it was."""
        from tagflow.flows.apply import decide_apply

        context = self._context(writes=True)
        return _finish(context, decide_apply(context, Path(plan)))

    def repair(self, *environments: str) -> Repaired:
        """Mend what :meth:`verify` finds and what needs no judgement."""
        from tagflow.flows.repair import repair

        return repair(self._context(writes=True), environments)

    # --- what only looks -----------------------------------------------------------------------------------------

    def status(self, *names: str) -> list[Row]:
        """Which version runs where; narrowed by environments, images, versions or digests."""
        from tagflow.flows.status import status

        return status(self._context(), names)

    def history(self, environment: str, *names: str, limit: int | None = None) -> Chronicle:
        """Who moved what, when and why; newest first."""
        from tagflow.flows.history import history

        return history(self._context(), environment, names, limit)

    def verify(self, *environments: str) -> list[Finding]:
        """Every name that does not stand where the history says."""
        from tagflow.flows.verify import verify

        return verify(self._context(), environments)

    def doctor(self) -> list[Diagnosis]:
        """A look at every registry of the policy."""
        from tagflow import wiring
        from tagflow.flows.doctor import doctor

        return doctor(*wiring.examiner(self._path(), self._surroundings()))

    def pull(self, what: str, *names: str) -> list[Pulled]:
        """Pull what an environment runs, or a version, through the Docker Engine, by digest."""
        from tagflow.flows.pull import pull

        return pull(self._context(), what, names)

    def next_version(self, part: Literal["major", "minor", "patch", "prerelease"] = "patch") -> Next:
        """The version after the highest of all images."""
        from tagflow.flows.versions import next_version

        return next_version(self._context(), part)

    def tags(self, version: str, *environments: str) -> list[str]:
        """The tags that a version gets; no network."""
        from tagflow.flows.versions import computed_tags

        _, found = computed_tags(self._context(), version, environments)
        return [str(it.tag) for it in found]

    # --- the outside world ---------------------------------------------------------------------------------------

    def _path(self) -> Path:
        from tagflow import wiring

        return wiring.policy_path(self._policy, self._environ)

    def _context(self, *, writes: bool = False) -> Context:
        from tagflow import wiring

        return wiring.context(self._path(), self._surroundings(writes))

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


def _finish(
    context: Context, decision: Decision, *, dry_run: bool = False, save_plan: str | Path | None = None
) -> Outcome:
    from tagflow.flows import release
    from tagflow.flows.apply import save_plan as save

    planned = release.settle(context, decision)
    if save_plan is not None:
        save(decision.plan, Path(save_plan))
    return planned if dry_run or save_plan is not None else release.carry_out(context, decision)
