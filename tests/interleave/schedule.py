"""The scheduler: several runs, each in a thread that hands over before each request; one of them moves at a time.

A run is a function of the answers that it got. So a schedule is told whole by the decisions at its *points*: before
each request that another run could interfere with, and wherever the running one ends or sleeps. The default is to go
on.
"""

from __future__ import annotations

import re
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

from tagflow.errors import TagflowError
from tests.interleave.reader import FENCE, MOVES, RECORD, Change, End, Snapshot, read_record
from tests.interleave.registry import Call, Lost, Registry

R = TypeVar("R")

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GAP = 3600.0
"""Seconds that a suspended machine is gone."""

Kind = Literal["run", "next", "tick", "land", "kill", "lost", "down", "gap"]
How = Literal["", "done", "never", "late"]
"""What becomes of a PUT whose answer is lost: it took effect, it never arrives, it arrives later."""

DEAD = -1


class Kill(BaseException):
    """The process is gone."""


@dataclass(frozen=True)
class Choice:
    """One decision. ``run``: another one goes on instead (``next``: where this one could not go on). ``tick``: time
    passes until the first sleeper wakes, although somebody could go on. ``land``: a late PUT arrives. The others befall
    the request that is about to be sent: the process dies, the answer is lost, so are all later ones, or the machine
    is suspended before it."""

    kind: Kind
    index: int = 0
    how: How = ""

    @property
    def costs(self) -> tuple[int, int]:
        """Switches and faults."""
        if self.kind in ("run", "tick"):
            return 1, 0
        return (0, 0) if self.kind in ("next", "land") else (0, 1)

    def __str__(self) -> str:
        return f"{self.kind}{self.index}{':' if self.how else ''}{self.how}"


Deviations = Mapping[int, Choice]
"""Point → what is decided there. At all other points the default is taken."""


@dataclass(frozen=True)
class Budget:
    """How many switches and faults a schedule may still have."""

    switches: int
    faults: int = 0

    def __str__(self) -> str:
        counted = ((self.switches, "switch", "switches"), (self.faults, "fault", "faults"))
        return " and ".join(f"{count} {one if count == 1 else many}" for count, one, many in counted if count)

    def after(self, choice: Choice) -> Budget:
        switches, faults = choice.costs
        return Budget(self.switches - switches, self.faults - faults)

    @property
    def is_spent(self) -> bool:
        return self.switches < 0 or self.faults < 0


@dataclass(frozen=True)
class Command:
    """What one run does. ``act`` gets its surroundings; what it raises is its end."""

    name: str
    told: str
    act: Callable[[Surroundings], object]
    claims: bool = True
    """Whether an exit 0 says that what it announced is complete."""


@dataclass(frozen=True)
class Surroundings:
    """What the scheduler gives to a run."""

    name: str
    registry: Registry
    gate: Any
    now: Callable[[], datetime]
    elapsed: Callable[[], float]
    sleep: Callable[[float], None]
    new_id: Callable[[], str]


@dataclass
class _Run:
    """A run under way."""

    index: int
    command: Command
    wake: threading.Lock = field(default_factory=threading.Lock)
    pending: Call | None = None
    asleep_until: float | None = None
    ended: bool = False
    status: int = 0
    down: bool = False
    answers: int = 0
    """A hash of all answers so far: what the run will do next follows from it."""
    ids: int = 0
    under: dict[str, str] = field(default_factory=dict)
    """Repository and environment → the last record that it wrote."""
    announced: dict[str, str] = field(default_factory=dict)
    listed: dict[str, float] = field(default_factory=dict)
    told: str = ""

    @property
    def is_ready(self) -> bool:
        return not self.ended and self.asleep_until is None


@dataclass(frozen=True)
class _Flying:
    """A PUT that was sent and has not arrived."""

    run: int
    call: Call
    until: float
    under: str
    age: float


@dataclass(frozen=True)
class Step:
    """What is told of a schedule afterwards."""

    number: int
    run: str
    call: Call | None
    text: str
    answer: Any = None


@dataclass(frozen=True)
class Options:
    """A point beyond the given deviations: what else could have been decided there."""

    point: int
    key: object
    budget: Budget
    choices: tuple[Choice, ...]


Learn = set[tuple[int, bool, tuple[Any, str]]]
"""(run, whether it wrote, what) of all requests that were ever seen."""
Shared = frozenset[tuple[Any, str]]
"""The names that one run writes and another reads or writes: only there does an order make a difference."""


@dataclass(frozen=True)
class Limits:
    """``fence``: no late PUT arrives after it, and no machine stands still between its look and its PUT. ``brief``: of
    all faults only that a run dies at a PUT, or that one answer is lost."""

    fence: bool = True
    brief: bool = False


class Execution:
    """One schedule, carried out."""

    def __init__(
        self,
        registry: Registry,
        commands: Sequence[Command],
        deviations: Deviations,
        budget: Budget,
        *,
        limits: Limits = Limits(),
        seed: str = "",
        footprint: Learn | None = None,
        shared: Shared | None = None,
        everywhere: bool = False,
        every_order: bool = False,
        seen: Callable[[object, Budget], bool] | None = None,
        choose: Callable[[Sequence[Choice]], Choice | None] | None = None,
    ) -> None:
        self.registry, self.limits, self.seed = registry, limits, seed
        self.deviations, self.budget = deviations, budget
        self.last_point = max(deviations, default=-1)
        self.footprint = footprint if footprint is not None else set()
        self._shared = shared_names(self.footprint) if shared is None else shared
        self._everywhere, self._seen, self._choose = everywhere, seen, choose
        self._every_order = every_order
        self.before = {name: dict(it.tags) for name, it in registry.contents.items()}
        self.runs = [_Run(index, command) for index, command in enumerate(commands)]
        self.clock = 0.0
        self.point = -1
        self.steps: list[Step] = []
        self.changes: list[Change] = []
        self.ends: list[End] = []
        self.options: list[Options] = []
        self.taken: dict[int, Choice] = {}
        self.flying: list[_Flying] = []
        self.calls = 0
        self.faults = 0
        self.outlived = False
        self.slow = False
        self.pruned = False
        self._events = 0
        self._passed_over: dict[int, Call] = {}
        """Runs that were interrupted before a request, and that request, as long as nobody did anything that makes a
        difference to it: to let them go on now is the same as to have let them send it first."""
        self._stopping = False
        self._done = threading.Lock()
        self._author: tuple[_Run, _Flying | None] | None = None
        registry.heard = self._heard

    # --- the whole -------------------------------------------------------------------------------------------------

    def run(self) -> Execution:
        """Carry the schedule out to its end."""
        for run in self.runs:
            run.wake.acquire()
        self._done.acquire()
        threads = [threading.Thread(target=self._thread, args=(run,), daemon=True) for run in self.runs]
        for thread in threads:
            thread.start()
        self._go_on(None)
        self._done.acquire()
        for thread in threads:
            thread.join()
        if not self.pruned:
            for flying in list(self.flying):
                self._land(flying)
        return self

    def snapshot(self) -> Snapshot:
        """All tags and manifests at the end."""
        return _snapshot(self.registry, {name: it.tags for name, it in self.registry.contents.items()})

    def snapshot_before(self) -> Snapshot:
        """All tags at the beginning."""
        return _snapshot(self.registry, self.before)

    # --- in the thread of a run ------------------------------------------------------------------------------------

    def _thread(self, run: _Run) -> None:
        run.wake.acquire()
        gate = _Gate(self, run)
        around = Surroundings(
            name=run.command.name,
            registry=self.registry,
            gate=gate,
            now=lambda: START + timedelta(seconds=self.clock + run.index / 8),
            elapsed=lambda: self.clock,
            sleep=gate.sleep,
            new_id=lambda: self._new_id(run),
        )
        try:
            if not self._stopping:
                run.command.act(around)
        except Kill:
            run.status = DEAD
        except TagflowError as error:
            run.status, run.told = error.exit_status, f"{error.code}: {error.message}"
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is a bug that the reader tells of
            run.status, run.told = 1, "".join(traceback.format_exception(error))
        run.ended = True
        if self._stopping:
            if all(it.ended for it in self.runs):
                self._done.release()
            else:
                next(it for it in self.runs if not it.ended).wake.release()
            return
        self._say(run, None, _ending(run))
        claimed = dict(run.announced) if run.command.claims else {}
        self.ends.append(End(len(self.steps), run.command.name, run.status, claimed, run.command.claims))
        self._events = hash((self._events, run.index, run.status))
        self._go_on(run)

    def _new_id(self, run: _Run) -> str:
        run.ids += 1
        return f"{run.command.name}{run.ids}{self.seed}"

    def ask(self, run: _Run, call: Call, effect: Callable[[], R]) -> R:
        """A request of a run."""
        if self._stopping or run.ended:
            raise Kill
        run.pending = call
        self.footprint.add((run.index, call.writes, call.what))
        if call.writes and call.tag not in self.before.get(call.repository, {}):
            self.footprint.add((run.index, True, (call.repository, "")))
        fate: Choice | None = None
        if self._everywhere or call.what in self._shared or (call.writes and self.budget.faults):
            fate = self._point(run)
        run.pending = None
        return self._carry_out(run, call, effect, fate)

    def sleep(self, run: _Run, seconds: float) -> None:
        """A run waits."""
        if self._stopping or run.ended:
            raise Kill
        run.asleep_until = self.clock + max(0.001, seconds)
        self._point(run)

    # --- decisions -------------------------------------------------------------------------------------------------

    def _point(self, run: _Run) -> Choice | None:
        """Let others move, until it is this run's turn; what befalls its request."""
        while True:
            choice = self._decide(run)
            if choice.kind in ("kill", "lost", "down", "gap"):
                return choice
            if choice.kind == "land":
                self._land(self.flying[choice.index])
                continue
            if choice.kind == "tick":
                self._tick()
                self.slow = True
                continue
            if choice.index == run.index:
                return None
            if choice.kind == "run" and run.pending is not None:
                self._passed_over[run.index] = run.pending
            self._hand_over(run, self.runs[choice.index])

    def _go_on(self, ended: _Run | None) -> None:
        """Somebody else goes on after a run has ended (None: at the beginning)."""
        while any(not it.ended for it in self.runs):
            try:
                choice = self._decide(ended)
            except _Stopped:
                return
            if choice.kind == "land":
                self._land(self.flying[choice.index])
            elif choice.kind == "tick":
                self._tick()
                self.slow = True
            else:
                self.runs[choice.index].wake.release()
                return
        self._done.release()

    def _hand_over(self, run: _Run, other: _Run) -> None:
        other.wake.release()
        run.wake.acquire()
        if self._stopping:
            raise Kill

    def _decide(self, run: _Run | None) -> Choice:
        while not any(it.is_ready for it in self.runs):
            self._tick()
        default, others = self._choices(run)
        if default.index in self._passed_over and self._seen is not None and self.point > self.last_point:
            self.pruned = True
            self._stop(run)
        if not others:
            return default
        self.point += 1
        chosen = self.deviations.get(self.point)
        if chosen is not None:
            if chosen not in others:
                raise AssertionError(f"point {self.point}: {chosen} is not among {[*map(str, others)]}")
        elif self._choose is not None:
            chosen = self._choose([it for it in others if not self.budget.after(it).is_spent])
        elif self.point > self.last_point and self._seen is not None:
            key = self._key(run)
            if self._seen(key, self.budget):
                self.pruned = True
                self._stop(run)
            affordable = tuple(it for it in others if not self.budget.after(it).is_spent)
            self.options.append(Options(self.point, key, self.budget, affordable))
        if chosen is None:
            return default
        self.budget = self.budget.after(chosen)
        self.taken[self.point] = chosen
        return chosen

    def _choices(self, run: _Run | None) -> tuple[Choice, list[Choice]]:
        """What happens if nobody interferes, and all else that might."""
        ready = [it for it in self.runs if it.is_ready]
        going_on = run is not None and run.is_ready
        first = run if run is not None and run.is_ready else ready[0]
        others = [
            Choice("run" if going_on else "next", it.index)
            for it in ready
            if it is not first and (self._every_order or it.index not in self._passed_over)
        ]
        sleepers = [it.asleep_until for it in self.runs if it.asleep_until is not None and not it.ended]
        if sleepers and self._may_pass(min(sleepers)):
            others.append(Choice("tick"))
        call = run.pending if run is not None and going_on else None
        for index, flying in enumerate(self.flying):
            if call is None or flying.call.what == call.what or (call.kind == "list" and self._is_new(flying.call)):
                others.append(Choice("land", index))
        if run is not None and call is not None and not run.down:
            others += self._fates(run, call)
        return Choice("run", first.index), others

    def _fates(self, run: _Run, call: Call) -> list[Choice]:
        gap = [Choice("gap")] if self._may_pass(self.clock + GAP, run) else []
        if call.writes:
            hows: list[How] = ["done", "never", "late"]
            found = [
                Choice("kill"),
                Choice("kill", how="late"),
                Choice("lost", how="done"),
                Choice("lost", how="late"),
            ]
            if self.limits.brief:
                return found
            found += [Choice("down", how=how) for how in hows]
            return found if self.limits.fence and is_fenced(call.tag) else [*found, *gap]
        return [] if self.limits.brief else [Choice("down", how="never"), *gap]

    def _may_pass(self, until: float, beside: _Run | None = None) -> bool:
        """Whether time may pass that far although somebody (``beside`` one) is about to send something, or sent it."""
        if not self.limits.fence:
            return True
        if any(it.until <= until for it in self.flying):
            return False
        return all(
            it.pending is None
            or not it.pending.writes
            or not is_fenced(it.pending.tag)
            or self._deadline(it, it.pending) > until
            for it in self.runs
            if it.is_ready and it is not beside
        )

    def _deadline(self, run: _Run, call: Call) -> float:
        return run.listed.get(str(call.repository), self.clock) + FENCE

    def _is_new(self, call: Call) -> bool:
        return call.tag not in self.registry.content(call.repository).tags

    def _tick(self) -> None:
        """Time passes until the first sleeper wakes; what is on its way arrives before its fence."""
        until = min(it.asleep_until for it in self.runs if it.asleep_until is not None and not it.ended)
        if self.limits.fence:
            for flying in [it for it in self.flying if it.until <= until]:
                self._land(flying)
        self._passed_over.clear()
        self.clock = max(self.clock, until)
        for run in self.runs:
            if run.asleep_until is not None and run.asleep_until <= self.clock:
                run.asleep_until = None

    def _stop(self, run: _Run | None) -> None:
        """Everything that follows has been seen: end all runs."""
        self._stopping = True
        if run is None or run.ended:
            next(it for it in self.runs if not it.ended).wake.release()
            raise _Stopped
        raise Kill

    # --- what happens ----------------------------------------------------------------------------------------------

    def _carry_out(self, run: _Run, call: Call, effect: Callable[[], R], fate: Choice | None) -> R:
        self.calls += 1
        self._matters(run, call)
        if run.down:
            self._say(run, call, "gets no answer: the network is down")
            run.answers = hash((run.answers, call, "down"))
            raise Lost
        if fate is not None and fate.kind == "gap":
            self.faults += 1
            self.slow = True
            self._say(run, call, f"is suspended for {GAP:.0f} s")
            self._pass(GAP)
            fate = None
        if fate is not None:
            self._fail(run, call, effect, fate)
        if (
            call.writes
            and is_fenced(call.tag)
            and self.clock - run.listed.get(str(call.repository), self.clock) > FENCE
        ):
            self.outlived |= not self.limits.fence
        before = self.registry.trace
        answer = self._effect(run, effect, None)
        run.answers = hash((run.answers, call, answer, self.clock))
        if call.kind == "list":
            run.listed[str(call.repository)] = self.clock
        if before != self.registry.trace and not RECORD.fullmatch(call.tag):
            self._events = hash((self._events, run.index, call))
        self._say(run, call, "", answer)
        return answer

    def _fail(self, run: _Run, call: Call, effect: Callable[[], R], fate: Choice) -> None:
        self.faults += 1
        self._passed_over.clear()
        if fate.how == "done":
            self._effect(run, effect, None)
            self._events = hash((self._events, run.index, call))
        elif fate.how == "late":
            name = str(call.repository)
            listed = run.listed.get(name, self.clock)
            self.flying.append(_Flying(run.index, call, listed + FENCE, self._under(run, call), self.clock - listed))
        run.answers = hash((run.answers, call, fate))
        told = {"": "was not sent", "done": "took effect", "never": "never arrives", "late": "is on its way"}[fate.how]
        if fate.kind == "kill":
            self._say(run, call, f"dies; the request {told}")
            raise Kill
        run.down = fate.kind == "down"
        self._say(run, call, f"gets no answer{', nor ever again' if run.down else ''}; the request {told}")
        raise Lost

    def _land(self, flying: _Flying) -> None:
        self.flying.remove(flying)
        self._passed_over.clear()
        if self.clock > flying.until:
            self.outlived = True
        run = self.runs[flying.run]
        self._effect(run, lambda: self.registry.change(flying.call), flying)
        self._events = hash((self._events, flying))
        self._say(run, flying.call, "arrives late")

    def _matters(self, run: _Run, call: Call) -> None:
        """What others were about to ask may be answered otherwise now, or itself change the answer to this."""
        self._passed_over.pop(run.index, None)
        for index, other in list(self._passed_over.items()):
            same = call.what == other.what and (call.writes or other.writes)
            listing = call.repository == other.repository and (
                (call.kind == "list" and other.writes) or (other.kind == "list" and call.writes)
            )
            if same or listing:
                del self._passed_over[index]

    def _pass(self, seconds: float) -> None:
        if self.limits.fence:
            for flying in list(self.flying):
                self._land(flying)
        self._passed_over.clear()
        self.clock += seconds
        for run in self.runs:
            if run.asleep_until is not None and run.asleep_until <= self.clock:
                run.asleep_until = None

    def _effect(self, run: _Run, effect: Callable[[], R], flying: _Flying | None) -> R:
        self._author = (run, flying)
        try:
            return effect()
        finally:
            self._author = None

    def _heard(self, call: Call, before: Any) -> None:
        """A tag was changed."""
        if self._author is None:
            return
        run, flying = self._author
        name = str(call.repository)
        record = RECORD.fullmatch(call.tag)
        if record and call.digest is not None:
            spot = f"{name} {record[1]}"
            written = read_record(call.tag, self.registry.content(call.repository).manifests[call.digest].content)
            run.under[spot] = call.tag
            if written.action in MOVES or (spot not in run.announced and written.action != "adopt"):
                run.announced[spot] = call.tag
        self.changes.append(
            Change(
                step=len(self.steps),
                run=run.command.name,
                repository=name,
                tag=call.tag,
                before=before or "",
                after=call.digest or "",
                under=flying.under if flying else self._under(run, call),
                late=flying is not None,
                age=flying.age if flying else self.clock - run.listed.get(name, self.clock),
            )
        )

    def _under(self, run: _Run, call: Call) -> str:
        return run.under.get(f"{call.repository} {call.tag}", "")

    def _say(self, run: _Run, call: Call | None, text: str, answer: Any = None) -> None:
        self.steps.append(Step(len(self.steps), run.command.name, call, text, answer))

    def _key(self, run: _Run | None) -> object:
        """The same key: the same things can happen from here on, and the same has been promised."""
        return (
            -1 if run is None else run.index,
            tuple(
                (it.ended, it.status) if it.ended else (it.answers, it.pending, it.asleep_until, it.down)
                for it in self.runs
            ),
            self.registry.trace,
            self.clock,
            tuple(self.flying),
            tuple(sorted(self._passed_over)),
            self._events,
        )


class _Stopped(BaseException):
    """Everything that follows has been seen, and no run is there to be told."""


@dataclass(frozen=True)
class _Gate:
    execution: Execution
    own: _Run

    def call(self, call: Call, effect: Callable[[], R]) -> R:
        return self.execution.ask(self.own, call, effect)

    def sleep(self, seconds: float) -> None:
        self.execution.sleep(self.own, seconds)


_FLOATING = re.compile(r"latest|v\d+(\.\d+)?")


def is_fenced(tag: str) -> bool:
    """Whether a PUT of the tag must not be sent long after a look. Records may come at any time, and floating tags are
    looked at again afterwards."""
    return not RECORD.fullmatch(tag) and not _FLOATING.fullmatch(tag)


def shared_names(footprint: Learn) -> Shared:
    """What is shared, of all that was ever seen."""
    writers: dict[tuple[Any, str], set[int]] = {}
    users: dict[tuple[Any, str], set[int]] = {}
    for run, wrote, what in footprint:
        users.setdefault(what, set()).add(run)
        if wrote:
            writers.setdefault(what, set()).add(run)
    return frozenset(what for what, by in writers.items() if len(users[what]) > 1)


def _snapshot(registry: Registry, tags: Mapping[Any, Mapping[str, Any]]) -> Snapshot:
    manifests = {
        str(digest): manifest.content for it in registry.contents.values() for digest, manifest in it.manifests.items()
    }
    return Snapshot({str(name): dict(it) for name, it in tags.items()}, manifests)


def _ending(run: _Run) -> str:
    if run.status == DEAD:
        return "is gone"
    told = run.told.strip().splitlines()
    return f"ends with exit {run.status}" + (f": {told[-1] if run.status == 1 else told[0]}" if told else "")
