"""The ledger: what became of each move. The message of an interrupt is read from it, at any moment."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from threading import Lock

from tagflow.domain.plan import Move


class Progress(Enum):
    """How far a move has come."""

    PENDING = "not begun"
    BEGUN = "sent, and not known to be done"
    DONE = "done"
    PUT_BACK = "done, and put back"


class Ledger:
    """Every move of one run. Safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._progress: dict[Move, Progress] = {}
        self._looked: set[Move] = set()
        self._placed: set[Move] = set()
        self._stopped = False

    def begin(self, move: Move) -> bool:
        """Note that a move is being sent; False once the run was interrupted: nothing more may begin then."""
        with self._lock:
            if self._stopped:
                return False
            self._progress[move] = Progress.BEGUN
            return True

    def done(self, move: Move) -> None:
        """Note that a tag stands where it is wanted."""
        with self._lock:
            self._progress[move] = Progress.DONE

    def failed(self, move: Move) -> None:
        """Note that a move certainly did not take place."""
        with self._lock:
            self._progress.pop(move, None)

    def put_back(self, move: Move) -> None:
        """Note that a tag stands where it was before, or where somebody else put it since."""
        with self._lock:
            self._progress[move] = Progress.PUT_BACK

    def stop(self) -> None:
        """Let nothing more begin: what moved is being told to the user."""
        with self._lock:
            self._stopped = True

    def look(self, move: Move) -> None:
        """Note that the tag was just seen where the move expects it."""
        with self._lock:
            self._looked.add(move)

    def looked(self, moves: Iterable[Move]) -> bool:
        """Whether all these tags were just seen where they are expected."""
        with self._lock:
            return self._looked.issuperset(moves)

    def place(self, moves: Iterable[Move]) -> None:
        """Note that tags were put in one request: each is still to be checked."""
        with self._lock:
            self._looked.difference_update(moves)
            self._placed.update(moves)

    def placed(self, move: Move) -> bool:
        """Whether a tag was put together with others."""
        with self._lock:
            return move in self._placed

    @property
    def changed(self) -> list[Move]:
        """The moves that took place and were not put back."""
        return self._in(Progress.DONE)

    @property
    def doubtful(self) -> list[Move]:
        """The moves that were sent and whose end is not known (yet)."""
        return self._in(Progress.BEGUN)

    @property
    def compensated(self) -> bool:
        """Whether anything was put back."""
        return bool(self._in(Progress.PUT_BACK))

    def _in(self, progress: Progress) -> list[Move]:
        with self._lock:
            return [move for move, reached in self._progress.items() if reached is progress]
