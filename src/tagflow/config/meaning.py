"""What a document means: :class:`~tagflow.config.document.Document` → :class:`~tagflow.domain.policy.Policy`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar, get_args

from msgspec import UNSET, Struct

from tagflow.config import values
from tagflow.config.check import Checked, Places
from tagflow.config.document import Document, NotifyEntry, SignerEntry
from tagflow.config.environment import ApprovalEntry, Day, EnvironmentEntry, FreezeEntry, GateEntry
from tagflow.config.nodes import Mark, Mistakes
from tagflow.config.values import suggestion
from tagflow.domain.keys import Signer, parse_ssh
from tagflow.domain.policy import (
    GATE_TIMEOUT,
    ApprovalRule,
    Environment,
    Freeze,
    Gate,
    Image,
    Notice,
    Policy,
    Templates,
)
from tagflow.domain.reference import Registry
from tagflow.domain.times import parse_duration
from tagflow.errors import UsageError

T = TypeVar("T")

NOWHERE = Registry("")
"""Stands in for a registry that could not be read."""

_DAYS: tuple[Day, ...] = get_args(Day)


class Listed(Struct, frozen=True):
    """An image as some file lists it."""

    image: Image
    named: Mark
    placed: Mark


def read_policy(checked: Checked[Document], images: Sequence[Listed], base: str, mistakes: Mistakes) -> Policy:
    """The policy; what is wrong with it is noted and left out. ``oci:DIR`` is relative to the directory ``base``."""
    return _Reader(checked.value, checked.places, base, mistakes).policy(tuple(listed.image for listed in images))


class _Reader:
    def __init__(self, document: Document, places: Places, base: str, mistakes: Mistakes) -> None:
        self._document = document
        self._places = places
        self._base = base
        self._mistakes = mistakes
        self._signers: dict[str, Signer] = {}

    def policy(self, images: tuple[Image, ...]) -> Policy:
        document = self._document
        registry = self._registry(document.registry, ("registry",))
        hosts = (
            self._read(("insecure_registries", index), values.host, text)
            for index, text in enumerate(document.insecure_registries)
        )
        self._read_signers()
        notices = (self._notice(entry, ("notify", index)) for index, entry in enumerate(document.notify))
        return Policy(
            registry=registry,
            images=images,
            environments=self._environments(registry),
            templates=self._templates(),
            engine=document.engine,
            history=self._read(("history", "repository"), values.history_template, document.history.repository)
            or "{repository}",
            referrers=document.referrers,
            insecure_registries=tuple(host for host in hosts if host is not None),
            create_repositories=document.create_repositories,
            notify=tuple(notice for notice in notices if notice is not None),
            signers=tuple(self._signers.values()),
        )

    def _templates(self) -> Templates:
        tags = self._document.tags
        version = self._read(("tags", "version"), lambda text: values.template(text, "version"), tags.version)
        combined = self._read(
            ("tags", "combined"), lambda text: values.template(text, "version", "environment"), tags.combined
        )
        usual = Templates()
        written = version or usual.version
        floating = usual.floating + written.partition("{version}")[2]
        if tags.floating is not UNSET:
            read = self._read(("tags", "floating"), lambda text: values.template(text, "floating"), tags.floating)
            floating = read or floating
        return Templates(written, combined or usual.combined, floating, tags.versions)

    def _environments(self, registry: Registry) -> tuple[Environment, ...]:
        found: list[Environment] = []
        above: list[str] = []
        for name, entry in self._document.environments.items():
            path = ("environments", name)
            valid = self._read(path, values.environment_name, name, mark=self._places.key(*path))
            environment = self._environment(name, entry or EnvironmentEntry(), registry, above)
            above.append(name)
            if valid is not None:
                found.append(environment)
        return tuple(found)

    def _environment(self, name: str, entry: EnvironmentEntry, registry: Registry, above: list[str]) -> Environment:
        path = ("environments", name)
        first = not above
        if first:
            self._sourceless(name, path)
        downgrades = first if entry.downgrades is UNSET else entry.downgrades == "allow"
        return Environment(
            name=name,
            registry=registry if entry.registry is UNSET else self._registry(entry.registry, (*path, "registry")),
            sources=() if first else self._sources(entry, path, above),
            prereleases=entry.prereleases == "allow",
            downgrades=downgrades,
            soak=None if entry.soak is UNSET else self._read((*path, "soak"), parse_duration, entry.soak),
            freeze=self._freezes(entry, path),
            platforms=tuple(entry.platforms),
            labels=tuple(entry.labels),
            gates=self._gates(entry, path),
            floating=tuple(entry.floating),
            overrides=tuple(entry.overrides),
            lines=entry.lines,
            signed_by=() if entry.signed_by is UNSET else self._known(entry.signed_by, (*path, "signed_by")),
            approvals=tuple(
                self._approvals(rule, (*path, "approvals", index)) for index, rule in enumerate(entry.approvals)
            ),
            approvals_expire=None
            if entry.approvals_expire is UNSET
            else self._read((*path, "approvals_expire"), parse_duration, entry.approvals_expire),
        )

    def _sourceless(self, name: str, path: tuple[str, ...]) -> None:
        for key, why in (("from", "is promoted from none"), ("soak", "has none above it to soak in")):
            if self._places.has(*path, key):
                message = f"{name!r} is the first environment: it {why}"
                self._mistakes.add(self._places.key(*path, key), message, f"Remove {key!r}, or list {name!r} lower.")

    def _sources(self, entry: EnvironmentEntry, path: tuple[str, ...], above: list[str]) -> tuple[str, ...]:
        if entry.sources is UNSET:
            return (above[-1],)
        for index, source in enumerate(entry.sources):
            if source not in above:
                self._not_above(source, path[-1], above, self._places.value(*path, "from", index))
        return tuple(source for source in entry.sources if source in above)

    def _not_above(self, source: str, name: str, above: list[str], mark: Mark) -> None:
        if source == name:
            self._mistakes.add(mark, f"{name!r} cannot be promoted from itself", suggestion("", above))
        elif source in self._document.environments:
            message = f"{source!r} stands below {name!r}, and an environment is promoted from those above it"
            self._mistakes.add(mark, message, f"List {source!r} above {name!r}.")
        else:
            self._mistakes.add(mark, f"there is no environment {source!r}", suggestion(source, above))

    def _read_signers(self) -> None:
        for name, entry in self._document.signers.items():
            signer = self._signer(name, entry)
            if signer is not None:
                self._signers[name] = signer

    def _signer(self, name: str, entry: SignerEntry) -> Signer | None:
        path = ("signers", name)
        if self._places.has(*path, "key") == self._places.has(*path, "ssh"):
            message = "a signer has either a `key` or an `ssh` key"
            self._mistakes.add(self._places.value(*path), message, "Write {key: FILE} or {ssh: LINE}.")
            return None
        key = None
        if entry.key is not UNSET:
            key = self._read((*path, "key"), lambda text: values.key_file(text, self._base), entry.key)
        elif entry.ssh is not UNSET:
            key = self._read((*path, "ssh"), parse_ssh, entry.ssh)
        return None if key is None else Signer(name, key)

    def _known(self, names: Sequence[str], path: tuple[str | int, ...]) -> tuple[str, ...]:
        for index, name in enumerate(names):
            if name not in self._document.signers and not self._places.has("signers", name):
                hint = suggestion(name, self._document.signers) if self._document.signers else "List it in `signers`."
                self._mistakes.add(self._places.value(*path, index), f"there is no signer {name!r}", hint)
        return tuple(names)

    def _approvals(self, entry: ApprovalEntry, path: tuple[str | int, ...]) -> ApprovalRule:
        names = self._known(entry.of, (*path, "of"))
        keys = {self._signers[name].key.identity if name in self._signers else name for name in names}
        if len(keys) < entry.need:
            has = "is 1 key" if len(keys) == 1 else f"are {len(keys)} different keys"
            message = f"{entry.need} must approve, but in `of` there {has}"
            hint = f"Write `need: {len(keys)}`, or name more signers: two names with one key count as one."
            self._mistakes.add(self._places.value(*path, "need"), message, hint)
        return ApprovalRule(entry.need, names)

    def _freezes(self, entry: EnvironmentEntry, path: tuple[str, ...]) -> tuple[Freeze, ...]:
        windows = (self._freeze(window, (*path, "freeze", index)) for index, window in enumerate(entry.freeze))
        return tuple(window for window in windows if window is not None)

    def _freeze(self, entry: FreezeEntry, path: tuple[str | int, ...]) -> Freeze | None:
        zone = self._read((*path, "timezone"), values.zone, entry.timezone)
        written = {key for key in ("days", "from", "to") if self._places.has(*path, key)}
        if written not in ({"days"}, {"from", "to"}):
            message = "a freeze window is either `days`, or `from` and `to`"
            hint = "Write {days: [sat, sun]} or {from: 2026-12-20, to: 2027-01-02}."
            self._mistakes.add(self._places.value(*path), message, hint)
            return None
        first = None if entry.first is UNSET else entry.first
        last = None if entry.last is UNSET else entry.last
        if first and last and first > last:
            message = f"this window ends on {last}, before it begins on {first}"
            self._mistakes.add(self._places.value(*path, "to"), message, "`to` is the last day.")
        days = () if entry.days is UNSET else entry.days
        return None if zone is None else Freeze(zone, frozenset(map(_DAYS.index, days)), first, last)

    def _gates(self, entry: EnvironmentEntry, path: tuple[str, ...]) -> tuple[Gate, ...]:
        gates: dict[str, Gate] = {}
        for index, gate in enumerate(entry.gates):
            place: tuple[str | int, ...] = (*path, "gates", index)
            if gate.name in gates:
                message = f"two gates of {path[-1]!r} are called {gate.name!r}"
                self._mistakes.add(self._places.value(*place, "name"), message, "Rename one.")
            gates[gate.name] = self._gate(gate, place)
        return tuple(gates.values())

    def _gate(self, entry: GateEntry, path: tuple[str | int, ...]) -> Gate:
        argv = self._read((*path, "run"), values.gate_command, entry.run) or ()
        timeout = self._read((*path, "timeout"), parse_duration, entry.timeout)
        if timeout == timedelta():
            self._mistakes.add(
                self._places.value(*path, "timeout"), "a gate needs some time", "Write, for example, 5m."
            )
        return Gate(entry.name, argv, timeout or GATE_TIMEOUT)

    def _notice(self, entry: NotifyEntry, path: tuple[str | int, ...]) -> Notice | None:
        written = [key for key in ("webhook", "run") if self._places.has(*path, key)]
        if len(written) != 1:
            message = "an entry of `notify` is either a `webhook` or a command to `run`"
            self._mistakes.add(self._places.value(*path), message, "Write {webhook: URL} or {run: COMMAND}.")
            return None
        if entry.webhook is not UNSET:
            return Notice(webhook=self._read((*path, "webhook"), values.webhook, entry.webhook) or "")
        if entry.run is not UNSET:
            return Notice(argv=self._read((*path, "run"), values.command, entry.run) or ())
        return None

    def _registry(self, text: str, path: tuple[str, ...]) -> Registry:
        if not text:
            return NOWHERE
        return self._read(path, lambda written: values.registry(written, self._base), text) or NOWHERE

    def _read(
        self, path: tuple[str | int, ...], read: Callable[[str], T], text: str, *, mark: Mark | None = None
    ) -> T | None:
        try:
            return read(text)
        except UsageError as error:
            self._mistakes.add_error(mark or self._places.value(*path), error)
            return None
