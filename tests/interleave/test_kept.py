"""What a long exploration keeps for the next run of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.interleave.explore import Tally
from tests.interleave.kept import Piece, add, kept_file, read


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    path = kept_file(tmp_path / "build")
    assert list(read(path)) == []
    tally = Tally(schedules=3, states=2, calls=40, kills=1, lost=1, exits=Counter({"0/5": 2}))
    pieces = [Piece("push, push", "1 switch", 1, 2.5, tally), Piece("push, push", "", 0, 1.5, Tally())]
    for piece in pieces:
        add(path, piece)
    found = list(read(path))
    assert found == pieces
    assert [it.tally for it in found] == [tally, Tally()]


def test_a_line_that_was_cut_off_is_none(tmp_path: Path) -> None:
    path = kept_file(tmp_path)
    add(path, Piece("push, push", "1 switch", 0, 2.5, Tally()))
    with path.open("a", encoding="utf-8") as file:
        file.write('{"case": "push, pu')
    assert len(list(read(path))) == 1
