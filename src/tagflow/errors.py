"""One exception tree. The class says the exit status, ``code`` says exactly what, ``hint`` what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, TypeVar

Detail = Mapping[str, object]
R = TypeVar("R")


class TagflowError(Exception):
    """Anything tagflow tells a user about. Never carries a secret.

    ``code`` is a stable string ``area.reason`` listed in docs/errors.md; ``details`` are JSON-ready mappings,
    one for each single reason where there are several.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, hint: str = "", details: Iterable[Detail] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.details = tuple(details)
        self.result: object | None = None
        """What was planned before it failed, or could be seen all the same, for the ``result`` of the JSON document."""
        self.causes: tuple[TagflowError, ...] = ()
        """The errors that it was put together from, where there are several."""

    def __reduce__(self) -> tuple[object, ...]:
        """Copied and pickled as it is: an exception would be made anew from its message alone, which no constructor of
        this tree takes, and what a process pool cannot read ends the pool."""
        return _unmade, (type(self), self.args), self.__dict__


def _unmade(kind: type[TagflowError], arguments: tuple[object, ...]) -> TagflowError:
    """An error whose attributes are still to come, whatever its constructor asks for."""
    return kind.__new__(kind, *arguments)


def with_extra(name: str) -> str:
    """What pip, pipx and uv take for tagflow with an extra. Where it comes from is part of it: by the name alone they
    would find another project in an index of packages."""
    return f"tagflow[{name}] @ git+https://github.com/tagflow/tagflow"


class InternalError(TagflowError):
    """A bug in tagflow."""

    exit_status = 1


class UsageError(TagflowError):
    """The command line, the policy file or a plan file is wrong."""

    exit_status = 2


class Refused(TagflowError):
    """The policy says no."""

    exit_status = 3


class NotFound(TagflowError):
    """A version, image, environment, source or predecessor does not exist."""

    exit_status = 4


class Conflict(TagflowError):
    """Somebody moved a tag meanwhile, a plan is stale, a release was interrupted."""

    exit_status = 5


class ReleaseInterrupted(Conflict):
    """A release of the same images was announced and is not finished (``release.interrupted``)."""

    def __init__(self, message: str, *, hint: str = "", details: Iterable[Detail] = ()) -> None:
        super().__init__("release.interrupted", message, hint=hint, details=details)


class Overtaken(Conflict):
    """Another release of the same images came first, or took this one back (``release.overtaken``)."""

    def __init__(self, message: str, *, hint: str = "", details: Iterable[Detail] = ()) -> None:
        super().__init__("release.overtaken", message, hint=hint, details=details)


class HistoryBroken(Conflict):
    """A record of one image cannot be believed (``history.broken``); ``repository`` and ``tag`` say which, ``why`` is
    the end of a sentence."""

    def __init__(self, repository: str, tag: str, why: str) -> None:
        super().__init__(
            "history.broken",
            f"{repository}: the record {tag} cannot be trusted: {why}",
            hint="`tagflow verify` tells more, and what to do where it is no record of tagflow's. tagflow never changes"
            " or removes one: look at who pushed it.",
        )
        self.repository, self.tag, self.why = repository, tag, why


class HistoryNewer(Conflict):
    """A later version of tagflow wrote the history of one image (``history.newer``): this one must not add to it."""

    def __init__(self, repository: str, tag: str) -> None:
        super().__init__(
            "history.newer",
            f"{repository}: a later version of tagflow wrote the record {tag}",
            hint="Upgrade tagflow on this machine.",
        )
        self.repository, self.tag = repository, tag


class HistoryElsewhere(Conflict):
    """The history of an environment lies beside the image, and the policy reads it somewhere else
    (``history.elsewhere``): what is held or frozen there would count no more."""

    def __init__(self, repository: str, tag: str, history: str) -> None:
        super().__init__(
            "history.elsewhere",
            f"{repository} has the record {tag}, and this policy keeps its history in {history}, where there is none",
            hint="Copy the records to where the policy looks for them (docs/policy.md, history.repository, has the"
            " command), or let history.repository say where they are.",
        )


class ContentMissing(NotFound):
    """An image is not whole any more (``content.missing``)."""

    def __init__(self, message: str, *, hint: str = "", details: Iterable[Detail] = ()) -> None:
        super().__init__("content.missing", message, hint=hint, details=details)


class StoreError(TagflowError):
    """A registry, the network, a credential, a disk or the daemon failed; no name differs from before."""

    exit_status = 6


class Unanswered(StoreError):
    """No answer, or one of something in between: what was asked for may still be carried out."""


class PartlyApplied(TagflowError):
    """Some environment or floating tag differs from before; the message lists each."""

    exit_status = 7


class Interrupted(TagflowError):
    """The user pressed Ctrl-C or the process was asked to terminate."""

    exit_status = 130


PRECEDENCE: tuple[type[TagflowError], ...] = (
    InternalError,
    Interrupted,
    PartlyApplied,
    UsageError,
    StoreError,
    NotFound,
    Conflict,
    Refused,
)
"""Where several apply, the first of these decides the exit status (store, not found, conflict, refused)."""


_MOST_HINTS = 3
"""Hundreds of images may fail for one reason each; what to do about it need not be said hundreds of times."""


def combine(errors: Sequence[TagflowError]) -> TagflowError:
    """One error out of many: the gravest decides code and status, all are told.

    >>> combine([Refused("promotion.held", "a"), NotFound("version.not_found", "b")]).exit_status
    4
    """
    if len(errors) == 1:
        return errors[0]
    ranked = sorted(errors, key=lambda error: PRECEDENCE.index(_kind(error)))
    first = ranked[0]
    hints = list(dict.fromkeys(error.hint for error in ranked if error.hint))[:_MOST_HINTS]
    details: list[Detail] = []
    for error in ranked:
        told = error.details or ({"code": error.code, "message": error.message},)
        details += [detail for detail in told if detail not in details]
    combined = _kind(first)(
        first.code,
        "\n".join(dict.fromkeys(error.message for error in ranked)),
        hint="\n".join(hints),
        details=details,
    )
    combined.causes = tuple(cause for error in ranked for cause in error.causes or (error,))
    return combined


_FEW = 3


def on_one_line(text: str) -> str:
    """What somebody wrote, within a message: behind a line break it would pass for a line of tagflow's own."""
    return " ".join(text.split())


def few(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are: forty in one line are read by nobody.

    >>> few(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more


def whole(found: R, errors: Sequence[TagflowError]) -> R:
    """What was found, where nothing could not be looked at.

    :raises TagflowError: the errors as one, with what was found as its ``result``: one repository that may not be read
        is no reason to say nothing of the others.
    """
    if errors:
        error = combine(errors)
        error.result = found
        raise error
    return found


def _kind(error: TagflowError) -> type[TagflowError]:
    return next(kind for kind in PRECEDENCE if isinstance(error, kind))


def suggestion(text: str, known: Iterable[str]) -> str:
    """``Did you mean 'staging'?`` where a known word is near, else an empty string: the beginning of a hint."""
    from difflib import get_close_matches

    near = get_close_matches(text, list(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else ""
